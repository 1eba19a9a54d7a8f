"""pfl-research: federated averaging by its SimulatedBackend, on PyTorch; in one process, or torchrun's."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from engines_peers.problem import Problem
from engines_peers.pytorch import adam, flat, network
from online.problem import LEARNING_RATE
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel


class Classifier(torch.nn.Module):
    """The network with the two methods that pfl-research asks for."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.layers = network(weights)
        self._criterion = torch.nn.BCEWithLogitsLoss()

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What training makes small."""
        return self._criterion(self.layers(x), y)

    def metrics(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, Weighted]:
        """What is reported of a device."""
        with torch.no_grad():
            return {"loss": Weighted(float(self.loss(x, y)) * len(y), len(y))}


class EndOfRound(TrainingProcessCallback):
    """Tells the weights after every round."""

    def __init__(self, tell: Callable[[np.ndarray], None]) -> None:
        self._tell = tell

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Tells them, and goes on."""
        self._tell(flat(model.pytorch_model.parameters()))
        return False, Metrics()


def run(folder: Path, step: str, rounds: int, cores: int | None, tell: Callable[[np.ndarray], None]) -> None:
    """Trains rounds + 1 times and tells the weights; pfl-research evaluates the devices in the first round."""
    problem = Problem.load(folder)
    x, y = torch.tensor(problem.x), torch.tensor(problem.y[..., None])
    devices = list(range(len(y)))
    data = FederatedDataset(
        lambda device: Dataset([x[device], y[device]], user_id=device), MinimizeReuseUserSampler(devices)
    )
    classifier = Classifier(problem.weights)
    model = PyTorchModel(
        classifier, partial(adam, step=step), central_optimizer=torch.optim.SGD(classifier.parameters(), 1.0)
    )
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds + 1,
            evaluation_frequency=rounds + 1,
            train_cohort_size=len(devices),
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(training_data=data, val_data=data),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=LEARNING_RATE, local_batch_size=1
        ),
        callbacks=[EndOfRound(tell)],
        send_metrics_to_platform=False,
    )
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        # What was measured has been reported; taking the group down now and then aborts the process.
        os._exit(0)

"""The network and its training as a user of PyTorch writes them; Flower and pfl-research carry both."""

from collections.abc import Iterable

import numpy as np
import torch
from online.problem import LEARNING_RATE, layers

torch.set_num_threads(1)  # the engines run as many devices at once as there are cores


def network(weights: np.ndarray) -> torch.nn.Sequential:
    """Builds the network with these weights: (parameters,) float32."""
    modules: list[torch.nn.Module] = []
    for matrix in layers(weights):
        linear = torch.nn.Linear(matrix.shape[0] - 1, matrix.shape[1])
        linear.weight.data = torch.tensor(matrix[:-1].T).contiguous()
        linear.bias.data = torch.tensor(matrix[-1])
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def flat(parameters: Iterable[torch.Tensor]) -> np.ndarray:
    """Returns the network's parameters as (parameters,) float32, in the order of `layers`."""
    return np.concatenate([part.detach().numpy().T.ravel() for part in parameters])


def adam(parameters: Iterable[torch.nn.Parameter], step: str, lr: float = LEARNING_RATE) -> torch.optim.Adam:
    """Returns Adam as PyTorch comes with it, or its faster form where `step` is "torch-fused"."""
    return torch.optim.Adam(parameters, lr, fused=step == "torch-fused" or None)


def train(model: torch.nn.Module, x: np.ndarray, y: np.ndarray, step: str) -> None:
    """Takes one step a sample, in the order given."""
    optimizer = adam(model.parameters(), step)
    criterion = torch.nn.BCEWithLogitsLoss()
    loader = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y[:, None]))
    for i in range(len(loader)):
        features, label = loader[i : i + 1]
        optimizer.zero_grad()
        criterion(model(features), label).backward()
        optimizer.step()

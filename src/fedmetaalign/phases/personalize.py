"""Phase 3 on the device: fine-tuning and the decision threshold (the paper's Algorithm 4, first half)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedmetaalign.evaluation.thresholds import Choice, best_f1
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, losses, scores
from fedmetaalign.model.online import ignore_steps, train
from fedmetaalign.phases.records import Record, record
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Optimizer, Personalize


@dataclass(frozen=True)
class Personal:
    """A device's own model.

    Attributes:
        weights: (parameters,) float32; the frozen layers are those of the global model, bit for bit.
        threshold: tau*, chosen on the validation part's scores.
        records: one an epoch.
    """

    weights: np.ndarray
    threshold: Choice
    records: list[Record]


def personalize(
    network: Network,
    device: Device,
    weights: np.ndarray,
    settings: Personalize,
    optimizer: Optimizer,
    seed: int,
    on_steps: Callable[[int], None] = ignore_steps,
) -> Personal:
    """Fine-tunes the last layers on D_tune and chooses the threshold on D_val.

    Args:
        network: the architecture.
        device: whose model this becomes; the support set of its part is D_tune, the query set D_val.
        weights: (parameters,) float32, the final global model.
        settings: the recipe's section; the learning rate gamma is the optimizer's where it gives none.
        optimizer: how to train.
        seed: the recipe's seed.
        on_steps: told of the steps taken.
    """
    part = device.parts["personalize"]
    trained = train(
        network,
        weights,
        part.support,
        learning_rate=settings.learning_rate or optimizer.learning_rate,
        epochs=settings.epochs,
        random=generator(seed, "stream", "personalize", device.name),
        frozen=frozen_layers(network, settings.freeze),
        on_steps=on_steps,
    )
    validation = scores(network, trained.weights, part.query.x)
    records = [record(3, epoch, device.name, support_loss=loss) for epoch, loss in enumerate(trained.losses, 1)]
    threshold = choose_threshold(part.query.y, validation, settings)
    records[-1] |= {
        "query_loss": float(losses(network, trained.weights, *part.query).mean()),
        "accuracy": float(np.mean((validation > threshold.threshold) == (part.query.y > 0))),
    }
    return Personal(trained.weights, threshold, records)


def frozen_layers(network: Network, freeze: float) -> int:
    """Returns how many layers stay fixed: four of eight; of an odd number, the smaller half."""
    return int(freeze * len(network.shapes))


def choose_threshold(y: np.ndarray, validation: np.ndarray, settings: Personalize) -> Choice:
    """Returns the threshold that the recipe asks for: the one with the best F1, or a fixed one."""
    if settings.threshold == "f1":
        return best_f1(y.astype(np.int8), validation)
    return Choice(settings.threshold, None, None)

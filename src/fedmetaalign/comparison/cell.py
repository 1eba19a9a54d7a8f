"""A cell of a comparison: one method, one learning rate, one seed, and all that is known of how it did."""

from collections.abc import Mapping
from dataclasses import dataclass

GLOBAL = "global"
"""The stage where phase 3 starts from one global model for all."""
MetricValues = Mapping[str, float | None]
"""What `evaluation.metrics.measure` returns."""

FINAL = "final"
"""The stage of the models that the devices end with."""


@dataclass(frozen=True)
class Stage:
    """How all devices do with the models of one stage, and what it took to get there.

    Attributes:
        devices: each device's metrics on its test set.
        steps: gradient steps spent up to here, over all devices and the server.
        bytes: bytes sent up to here, in both directions, over all devices.
        seconds: time spent up to here, in one process on one core.
    """

    devices: Mapping[str, MetricValues]
    steps: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """What one method came to with one learning rate and one seed.

    Attributes:
        method: the row's name: a method's, or that of a variant of one.
        seed: the recipe's.
        learning_rate: None where the method has none.
        validation: mean over the federated devices of the Brier score on their validation parts; what learning
            rates are chosen by. None where training diverged.
        stages: by name; `FINAL` is there unless training diverged, `GLOBAL` where phase 3 starts from one
            global model, and further ones, such as "serial", for figures.
        rounds: each device's test accuracy with the global model after every round, for a figure; empty where
            phase 3 does not start from one.
        unseen: devices that took no part in the federation and only received its model.
    """

    method: str
    seed: int
    learning_rate: float | None
    validation: float | None
    stages: Mapping[str, Stage]
    rounds: tuple[Mapping[str, float], ...] = ()
    unseen: tuple[str, ...] = ()

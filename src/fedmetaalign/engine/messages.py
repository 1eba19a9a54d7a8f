"""What a device can be asked to do, and what it answers: the same on every engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from fedmetaalign.engine.compression import Packed
from fedmetaalign.evaluation.result import Epoch, Result
from fedmetaalign.phases.local import Local, Update

Reply = TypeVar("Reply", covariant=True)


@dataclass(frozen=True)
class Request(Generic[Reply]):
    """Something a device can be asked; it answers with a `Reply`.

    Attributes:
        weights: (parameters,) float32, the global model as it stands.
        number: the round of the phase, from 1.
    """

    weights: np.ndarray
    number: int


@dataclass(frozen=True)
class Visit(Request[Local]):
    """Phase 1: train the weights that the tour hands over.

    Attributes:
        stop: numbers the tours from 1, over all rounds.
    """

    stop: int


@dataclass(frozen=True)
class Train(Request[Update]):
    """Phase 2: train the global weights, and tell the difference.

    Attributes:
        packed: the weights as they travel; None where they travel as they are.
    """

    packed: Packed | None = None


@dataclass(frozen=True)
class Finish(Request["Finished"]):
    """Phase 3: make the final global weights your own, deploy, and evaluate on held-out samples.

    Attributes:
        stages: (parameters,) float32 by phase, the global weights after it; the device evaluates them, too.
        devices: how many the federation has, which decides how long the device's model without it may train.
    """

    stages: Mapping[str, np.ndarray]
    devices: int


@dataclass(frozen=True)
class Finished:
    """All that leaves a device after phase 3: neither its samples nor its weights.

    Attributes:
        result: the device's entry in results.json.
        records: one an epoch of phase 3.
    """

    result: Result
    records: tuple[Epoch, ...]

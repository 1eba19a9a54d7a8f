"""Aggregation: what the devices of a round sent becomes one step of the global model.

A rule is a pure function from a `Cohort` to an `Aggregate`. It knows nothing of data sets, networks or who
carried the messages.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cohort:
    """What the devices of one round sent, in the order of their names.

    Attributes:
        deltas: (devices, parameters) float32, local weights minus the global weights they started from.
        scores: (devices,) float64 in (0, 1], s = 1 / (1 + query loss), as each device reports it.
        samples: (devices,) int64, samples that each device trained on.
    """

    deltas: np.ndarray
    scores: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class Aggregate:
    """What a rule makes of a cohort.

    Attributes:
        step: (parameters,) float64, to be added to the global weights times the server learning rate.
        weights: (devices,) float64, not negative, summing to one: each device's share in the step.
        alignment: (devices,) float64 in [-1, 1], cosine of each delta with the rule's reference direction;
            None where the rule has none.
    """

    step: np.ndarray
    weights: np.ndarray
    alignment: np.ndarray | None = None


Rule = Callable[[Cohort], Aggregate]

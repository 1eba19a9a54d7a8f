"""What a device says of a sample from the scores of its network: whether it is a fault, and of what kind, or
whether a sensor is.

Of two classes a network gives one score, the probability of a fault. Of more it gives the probability of each
class, in integers or float32; the probability of a fault is then 1 less the sum over the normal classes, each
operation in float32, as in the firmware. (Multiples of 1/256 are exact there.)
"""

from enum import IntEnum

import numpy as np

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import BINARY, Target


class Decision(IntEnum):
    """What a device says of a sample, in the numbers of the firmware."""

    NORMAL = 0
    FAULT = 1
    SENSOR_FAULT = 2

    @property
    def word(self) -> str:
        """In words: "normal", "fault" or "sensor fault"."""
        return self.name.lower().replace("_", " ")


def unnamed(outputs: int) -> Target:
    """Returns classes for a network that nobody has named them for; the first is normal."""
    return BINARY if outputs == 1 else Target(tuple(f"class {i}" for i in range(outputs)))


def fault_probability(scores: np.ndarray, labels: Target) -> np.ndarray:
    """Returns the probability of a fault, (rows,) float64.

    Args:
        scores: (rows,) or (rows, classes) float64, as `runtimes.scores` gives them.
        labels: the classes.
    """
    if labels.outputs == 1:
        return scores
    normal = np.zeros(len(scores), np.float32)
    for i in labels.normal:
        normal += scores[:, i].astype(np.float32)
    return (np.float32(1) - normal).astype(np.float64)


def predict(scores: np.ndarray, labels: Target, threshold: float) -> np.ndarray:
    """Returns which samples are faults, (rows,) bool (procedure Predict of the paper's Algorithm 4).

    Args:
        scores: as for `fault_probability`.
        labels: the classes.
        threshold: tau*; a sample is a fault if its probability of one is strictly greater.
    """
    return np.asarray(fault_probability(scores, labels) > threshold)


def decide(
    scores: np.ndarray, labels: Target, threshold: float, preparation: Preparation, raw: np.ndarray
) -> np.ndarray:
    """Returns what a device says of samples, (rows,) uint8 of `Decision`.

    A sample with a broken value is a sensor fault, or a fault where its score says so and the rule for missing
    values has filled the value. A score that is no number, since float inputs were too large, is a sensor
    fault.

    Args:
        scores: as for `fault_probability`.
        labels: the classes.
        threshold: as for `predict`.
        preparation: says which values are broken.
        raw: (rows, measured) float64, the samples.
    """
    fault = predict(scores, labels, threshold)
    broken = preparation.broken(raw).any(axis=1)
    hidden = broken & ~fault if preparation.missing.fills else broken
    hidden |= np.isnan(fault_probability(scores, labels))
    return np.where(hidden, Decision.SENSOR_FAULT, fault).astype(np.uint8)


def kinds(scores: np.ndarray, labels: Target) -> np.ndarray:
    """Returns the likeliest class of those that mean a fault, (rows,) int64; of equals the first."""
    return labels.kinds(scores)

"""What a device says of a sample from the scores of its network: whether it is a fault, and of what kind.

Of two classes a network gives one score, the probability of a fault. Of more it gives the probability of each
class, in integers or float32; the probability of a fault is then 1 less the sum over the normal classes, each
operation in float32, as in the firmware. (Multiples of 1/256 are exact there.)
"""

import numpy as np

from fedmetaalign.model.target import BINARY, Target


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


def kinds(scores: np.ndarray, labels: Target) -> np.ndarray:
    """Returns the likeliest class of those that mean a fault, (rows,) int64; of equals the first."""
    return labels.kinds(scores)

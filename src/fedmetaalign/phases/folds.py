"""Cross-fitting: parts of a device's samples, each of which some model has not seen."""

import numpy as np

from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.randomness import generator


def folds(samples: Samples, target: Target, count: int, seed: int, device: str) -> np.ndarray:
    """Deals samples to folds, faults and normal ones apart, so that each fold has its share of both.

    Args:
        samples: the device's.
        target: says which labels are faults.
        count: of the folds.
        seed: the recipe's.
        device: its name.

    Returns:
        (rows,) int64, the fold of each sample, from 0: of few samples some folds have none, and none has all of
        two or more.
    """
    random, faults = generator(seed, "folds", device), target.faults(samples.y)
    dealt = np.empty(len(samples), np.int64)
    for value in (0, 1):
        rows = random.permutation(np.flatnonzero(faults == value))
        dealt[rows] = (np.arange(len(rows)) + random.integers(count)) % count
    if (
        len(dealt) > 1 and (dealt == dealt[0]).all()
    ):  # one of each: what is left without the fold is not nothing
        dealt[faults == 1] = (dealt[0] + 1) % count
    return dealt


def taken(samples: Samples, rows: np.ndarray) -> Samples:
    """Returns some of the samples: (rows,) bool, or their numbers."""
    return Samples(samples.x[rows], samples.y[rows])

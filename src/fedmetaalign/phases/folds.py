"""Cross-fitting: parts of a device's samples, each of which some model has not seen."""

import numpy as np

from fedmetaalign.fleet.device import Period
from fedmetaalign.fleet.times.periods import deal
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.randomness import generator

SPELLS = 10
"""So many blocks of neighbouring samples make a fold of a device that is split by time."""


def folds(
    samples: Samples, target: Target, count: int, seed: int, device: str, period: Period | None = None
) -> np.ndarray:
    """Deals samples to folds, faults and normal ones apart, so that each fold has its share of both.

    Samples of which it is known when they were taken are dealt in blocks of neighbours: what a teacher says of
    a sample whose neighbour it was taught tells little of what it will say later.

    Args:
        samples: the device's.
        target: says which labels are faults.
        count: of the folds.
        seed: the recipe's.
        device: its name.
        period: when they were taken, where the device is split by time.

    Returns:
        (rows,) int64, the fold of each sample, from 0: of few samples some folds have none, and none has all of
        two or more.
    """
    random, faults = generator(seed, "folds", device), target.faults(samples.y)
    dealt = np.empty(len(samples), np.int64)
    if period is not None:
        order = np.argsort(period.train, kind="stable")
        shares = {str(fold): 1 / count for fold in range(count)}
        blocks = np.arange(len(samples)) // max(1, len(samples) // (count * SPELLS))
        found = deal(blocks, faults[order].astype(np.int64), shares, random)
        for fold in range(count):
            dealt[order[found[str(fold)]]] = fold
        return dealt
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

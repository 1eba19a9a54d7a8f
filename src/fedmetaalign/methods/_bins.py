"""Where boosted trees may cut a feature: edges between bins, from what each device says of its own values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST = 255
"""Bins of a feature, as scikit-learn has them; a device's sketch has no more values of one."""


@dataclass(frozen=True)
class Sketch:
    """The values of a feature on a device, rising, and how many samples each stands for.

    Attributes:
        values: (n,) float64: all distinct ones up to `MOST`, else so many quantiles.
        weights: (n,) float64, samples.
    """

    values: np.ndarray
    weights: np.ndarray


def sketch(values: np.ndarray) -> Sketch:
    """Sketches the values of a feature, (rows,), at least one."""
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    if len(distinct) <= MOST:
        return Sketch(distinct, counts.astype(np.float64))
    middles = (np.arange(MOST) + 0.5) * len(values) / MOST
    return Sketch(distinct[np.searchsorted(counts.cumsum(), middles)], np.full(MOST, len(values) / MOST))


def edges(sketches: Sequence[Sketch]) -> np.ndarray:
    """Returns where one bin ends and the next begins, rising: a value equal to an edge is below it.

    As in scikit-learn, these are the middles between neighbours where there are few values, and quantiles, the
    mean of two where a share falls between them, where there are many.

    Args:
        sketches: of one feature, one a device.
    """
    values, place = np.unique(np.concatenate([each.values for each in sketches]), return_inverse=True)
    if len(values) <= MOST:
        return np.asarray((values[:-1] + values[1:]) / 2)
    below = np.bincount(place, np.concatenate([each.weights for each in sketches])).cumsum()
    shares = below[-1] * np.arange(1, MOST) / MOST
    at = np.searchsorted(below, shares)
    after = np.minimum(np.where(below[at] > shares, at, at + 1), len(values) - 1)
    return np.unique((values[at] + values[after]) / 2)


def binned(x: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the bin of each value, (rows, inputs) int64; `edges` has those of each input."""
    return np.stack([np.searchsorted(own, x[:, i]) for i, own in enumerate(edges)], axis=1)


def parted(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Returns the parts, of these lengths, that values were joined from."""
    return np.split(values, np.cumsum(lengths)[:-1])

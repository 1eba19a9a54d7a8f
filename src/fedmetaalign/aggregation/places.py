"""Who stands where when values are sorted, with equal values sharing the places that they take together."""

import numpy as np


def shares(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Returns each row's share of the places first, ..., last - 1 of every sorted column.

    Without sharing, the order in which devices are listed would decide between equals.

    Args:
        values: (rows, columns).
        first: place, from 0.
        last: one past the last place, at most the number of rows.

    Returns:
        (rows, columns) float64; each column sums to one.
    """
    from scipy.stats import rankdata  # which takes a fifth of a run's start, and most runs have no use for

    below = rankdata(values, "min", axis=0) - 1
    through = rankdata(values, "max", axis=0)
    held = np.minimum(through, last) - np.maximum(below, first)
    return np.asarray(np.maximum(held, 0) / (through - below) / (last - first))

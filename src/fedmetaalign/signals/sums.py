"""Sums in a stated order, so that all machines round alike."""

import numpy as np

BLOCK = 32
"""Samples that are added up before their sum is: longer sums would lose digits."""


def total(x: np.ndarray) -> np.ndarray:
    """Adds up the first axis: each block of `BLOCK` from its first number, then the blocks from the first.

    Args:
        x: (numbers, ...) float32; the last block may be shorter.

    Returns:
        (...) float32.
    """
    whole = len(x) - len(x) % BLOCK
    result = serial(serial(np.moveaxis(x[:whole].reshape(-1, BLOCK, *x.shape[1:]), 1, 0)))
    return result + serial(x[whole:]) if whole < len(x) else result


def serial(x: np.ndarray) -> np.ndarray:
    """Adds up the first axis, (numbers, ...) float32, one number after another from 0 on."""
    result = np.zeros(x.shape[1:], np.float32)
    for part in x:
        result += part
    return result

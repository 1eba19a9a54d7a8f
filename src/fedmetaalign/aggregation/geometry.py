"""Lengths and angles of deltas, defined where a vector is zero."""

import numpy as np

from fedmetaalign.aggregation import Cohort

NO_DIRECTION = 1e-6
"""A sum shorter than this share of its longest part is what float32 rounding, 6e-8, leaves of zero."""


def norms(vectors: np.ndarray) -> np.ndarray:
    """Returns the lengths of the rows of (devices, parameters)."""
    # Row by row, since the squares of a row stay in the cache and those of a fleet do not.
    return np.sqrt([np.add.reduce(vector * vector) for vector in vectors])


def units(vectors: np.ndarray) -> np.ndarray:
    """Scales each row to length one; a row of zeros stays as it is."""
    return np.asarray(vectors / np.maximum(norms(vectors), np.finfo(float).tiny)[:, None])


def cosines(deltas: np.ndarray, directions: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Returns the cosine of each delta with a direction, 0 where either points nowhere.

    Args:
        deltas: (devices, parameters) float64.
        directions: (devices, parameters), or (parameters,) for all alike.
        least: a direction that is no longer than this counts as zero.
    """
    lengths, reach = norms(deltas), norms(np.atleast_2d(directions))
    directions = np.broadcast_to(directions, deltas.shape)
    defined = (lengths > 0) & (reach > least)
    scale = np.where(defined, lengths * reach, 1.0)
    found = np.where(defined, np.einsum("ij,ij->i", deltas, directions) / scale, 0.0)
    return np.clip(found, -1.0, 1.0)


def root_of(cohort: Cohort) -> np.ndarray:
    """Returns the server's own delta, (parameters,) float64.

    Raises:
        ValueError: the round was run without one.
    """
    if cohort.root is None:
        raise ValueError("This rule compares with the server's own delta, and the cohort has no root.")
    return cohort.root.astype(np.float64)

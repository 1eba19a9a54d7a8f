"""The paper's similarity-aware aggregation (section III.C.3 and Algorithm 3).

    mean direction   D = (1/K) sum_t delta_t
    alignment        theta_t = cos(delta_t, D)
    weight           w_t = s_t max(c, theta_t),  normalised to sum to one
    step             sum_t w_t delta_t

What follows from it, and is easily overlooked:

- With two devices whose deltas have equal norms, both align alike and the weights follow the scores alone;
  otherwise the longer delta aligns better.
- Each delta is part of the mean that it is compared with: K orthogonal deltas of equal norm align at
  1/sqrt(K), not at 0. `reference = "others"` compares a delta with the mean of the others instead.
- The score is the device's own word.

What the paper leaves undefined: a cosine with a zero vector. Here it is 0, so that such a device takes part
with the floor: a zero delta because it points nowhere, every delta of a zero mean (two opposite deltas, say)
because the cohort has no direction to agree with. If all weights are zero (floor 0, nobody aligned), they are
equal.
"""

from typing import Literal

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort

NO_DIRECTION = 1e-6
"""A mean shorter than this share of its longest part is what float32 rounding, 6e-8, leaves of zero."""


def similarity(
    cohort: Cohort,
    floor: float = 0.1,
    reference: Literal["mean", "others"] = "mean",
    unit_norm: bool = False,
) -> Aggregate:
    """Weights each delta with its score and its alignment.

    Args:
        cohort: K >= 1 devices.
        floor: the paper's c, the least alignment that a device is given.
        reference: compare with the mean of all deltas (the paper) or of the other devices' deltas.
        unit_norm: give every delta the same length in the reference, so that long ones do not set it.
    """
    deltas = cohort.deltas.astype(np.float64)
    parts = deltas / np.maximum(_norms(deltas), np.finfo(float).tiny)[:, None] if unit_norm else deltas
    directions = np.broadcast_to(parts.mean(axis=0), deltas.shape)
    if reference == "others":
        directions = directions - parts / len(parts)
    longest = _norms(parts).max() / len(parts)
    alignment = _cosines(deltas, directions, NO_DIRECTION * longest)
    weights = cohort.scores * np.maximum(floor, alignment)
    if not weights.any():
        weights = np.ones(len(deltas))
    weights = weights / weights.sum()
    return Aggregate(weights @ deltas, weights, alignment)


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _cosines(deltas: np.ndarray, directions: np.ndarray, least: float) -> np.ndarray:
    """Returns the row-wise cosines, 0 where a delta is zero or a direction no longer than `least`."""
    lengths, reach = _norms(deltas), _norms(directions)
    defined = (lengths > 0) & (reach > least)
    scale = np.where(defined, lengths * reach, 1.0)
    cosines = np.where(defined, np.einsum("ij,ij->i", deltas, directions) / scale, 0.0)
    return np.clip(cosines, -1.0, 1.0)

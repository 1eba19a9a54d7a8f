"""The paper's similarity-aware aggregation (section III.C.3 and Algorithm 3).

    mean direction   D = (1/K) sum_t delta_t
    alignment        theta_t = cos(delta_t, D)
    weight           w_t = s_t max(c, theta_t),  normalised to sum to one
    step             sum_t w_t delta_t

What follows from it, and is easily overlooked:

- With two devices whose deltas have equal norms, both align alike and the weights follow the query scores
  alone; otherwise the longer delta aligns better.
- Each delta is part of the mean that it is compared with: K orthogonal deltas of equal norm align at
  1/sqrt(K), not at 0. `reference = "others"` compares a delta with the mean of the others instead, and
  `reference = "root"` with the server's own delta, trained on public data.
- The query score is the device's own word.

For ablations the weight may be the product of fewer criteria: of the query score alone, of the raised alignment
alone, or of none, which makes all weights equal.

What the paper leaves undefined: a cosine with a zero vector. Here it is 0, so that such a device takes part
with the floor: a zero delta because it points nowhere, every delta of a zero mean (two opposite deltas, say)
because the cohort has no direction to agree with. If all weights are zero (floor 0, nobody aligned), they are
equal.
"""

from typing import Literal

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.geometry import NO_DIRECTION, cosines, norms, root_of, units

Criterion = Literal["score", "alignment"]


def similarity(
    cohort: Cohort,
    floor: float = 0.1,
    reference: Literal["mean", "others", "root"] = "mean",
    unit_norm: bool = False,
    criteria: tuple[Criterion, ...] = ("score", "alignment"),
) -> Aggregate:
    """Weights each delta with its query score and its alignment.

    Args:
        cohort: K >= 1 devices.
        floor: the paper's c, the least alignment that a device is given.
        reference: compare with the mean of all deltas (the paper), of the other devices' deltas, or with the
            server's own delta.
        unit_norm: give every delta the same length in the reference, so that long ones do not set it.
        criteria: what the weight is the product of.

    Raises:
        ValueError: the reference is the root, and the cohort has none.
    """
    deltas = cohort.deltas.astype(np.float64)
    directions, least = reference_directions(cohort, deltas, reference, unit_norm)
    alignment = cosines(deltas, directions, least)
    weights = normalized(product(criteria, cohort.query_scores, np.maximum(floor, alignment)))
    return Aggregate(weights @ deltas, weights, alignment)


def reference_directions(
    cohort: Cohort, deltas: np.ndarray, reference: str, unit_norm: bool
) -> tuple[np.ndarray, float]:
    """Returns what the deltas are compared with, and the length up to which that points nowhere.

    Returns:
        (parameters,), or (devices, parameters) where it is another one for each device; and a length.
    """
    if reference == "root":
        return root_of(cohort), 0.0
    parts = units(deltas) if unit_norm else deltas
    directions = parts.mean(axis=0)
    if reference == "others":
        directions = directions - parts / len(parts)
    return directions, NO_DIRECTION * float(norms(parts).max() / len(parts))


def product(criteria: tuple[Criterion, ...], query_scores: np.ndarray, alignment: np.ndarray) -> np.ndarray:
    """Returns the product of the criteria that count, (devices,); ones where none does."""
    weights = np.ones(len(query_scores))
    if "score" in criteria:
        weights = weights * query_scores
    if "alignment" in criteria:
        weights = weights * alignment
    return weights


def normalized(weights: np.ndarray) -> np.ndarray:
    """Scales weights, (devices,), to sum to one; equal ones where all are zero."""
    weights = weights if weights.any() else np.ones(len(weights))
    return np.asarray(weights / weights.sum())

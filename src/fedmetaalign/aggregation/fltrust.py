"""FLTrust: trust bootstrapped from clean data of the server's own (Cao et al., 2021, Algorithm 2).

    trust  TS_k = max(0, cos(delta_k, delta_0))
    step        = sum_k TS_k |delta_0| delta_k / |delta_k|  /  sum_k TS_k

with delta_0 the root: the server's own delta from the same global weights, trained on data that it trusts. A
device can neither gain by a longer delta nor by any word of its own. Where nobody is trusted, which the paper
leaves open, the step is zero and so are all weights; else a device's weight is its share of the trust, and the
step the mean of the deltas' directions with these weights, times the root's length.
"""

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.geometry import cosines, root_of, units


def fltrust(cohort: Cohort) -> Aggregate:
    """Weights each delta's direction with its agreement with the root, which sets the length.

    Raises:
        ValueError: the cohort has no root.
    """
    deltas, root = cohort.deltas.astype(np.float64), root_of(cohort)
    alignment = cosines(deltas, root)
    trust = np.maximum(0.0, alignment)
    weights = trust / trust.sum() if trust.any() else trust
    return Aggregate(np.linalg.norm(root) * (weights @ units(deltas)), weights, alignment)

"""Krum and Multi-Krum (Blanchard et al., 2017, "Machine learning with adversaries", sections 4 and 5).

    kappa_k = sum of |delta_k - delta_i|^2 over the K - f - 2 others i that are nearest to k
    step    = mean of the m deltas with the least kappa

with f lying devices; m = 1 is Krum. Proven for 2 f + 2 < K. Here f is the given share of K, rounded down, and
at least one neighbour is looked at. Devices with equal kappa share the places that they take together: of two
devices neither is preferred.
"""

import numpy as np
from scipy.spatial.distance import pdist, squareform

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.places import shares


def krum(cohort: Cohort, byzantine: float = 0.2, keep: int = 1) -> Aggregate:
    """Averages the deltas that have the closest company.

    Args:
        cohort: K >= 1 devices.
        byzantine: f / K in [0, 1/2).
        keep: m >= 1; all devices where there are fewer.
    """
    deltas = cohort.deltas.astype(np.float64)
    neighbours = max(1, len(deltas) - int(byzantine * len(deltas)) - 2)
    # After sorting, column 0 is the device's distance to itself or to its double, 0 in either case.
    distances = np.sort(squareform(pdist(deltas, "sqeuclidean")), axis=1)
    kappa = distances[:, 1 : 1 + neighbours].sum(axis=1)
    weights = shares(kappa[:, None], 0, min(keep, len(deltas)))[:, 0]
    return Aggregate(weights @ deltas, weights)

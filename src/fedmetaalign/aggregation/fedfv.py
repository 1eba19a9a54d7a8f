"""FedFV: fair averaging by removing conflicts (Wang et al., 2021, "Federated learning with fair averaging").

    g_k   <- delta_k
    g_k   <- g_k - (g_k . delta_i) / |delta_i|^2 delta_i     for each i other than k with g_k . delta_i < 0,
                                                             in rising order of loss
    g      = sum_k g_k / K
    step   = |sum_k delta_k / K|  g / |g|

The devices with the greatest losses keep their deltas: the one that is worst off, and of the others the share
alpha, rounded down, as in the authors' code. The loss is the device's own word, its query score. Devices of
equal query score come in the cohort's order.

We chose it over FedMGDA+ (Hu et al., 2022), which also looks for a step that is no device's loss, because it is
a loop over pairs: no quadratic program to solve, and no second learning rate, since the step keeps the mean's
length. The paper's second part, conflicts with devices that were last seen up to tau rounds ago, is left out
(tau = 0): it has nothing to do where all devices take part.

A projection adds a positive multiple of another delta, so that g is a sum of the deltas with factors that are
not negative. A device's weight is its share of them, and the step points along the mean with these weights.
Where the conflicts leave nothing of g, the step is zero.
"""

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.geometry import NO_DIRECTION, norms


def fedfv(cohort: Cohort, alpha: float = 0.1) -> Aggregate:
    """Projects conflicts out of the deltas, then averages.

    Args:
        cohort: K >= 1 devices.
        alpha: share of the devices with the greatest losses that keep their deltas, besides the worst one.
    """
    deltas = cohort.deltas.astype(np.float64)
    count = len(deltas)
    order = np.argsort(-cohort.query_scores, kind="stable")
    products = deltas @ deltas.T
    factors = np.eye(count)  # row k: g_k as a sum of deltas
    for k in order[: count - 1 - int(alpha * (count - 1))]:
        for i in order[order != k]:
            conflict = factors[k] @ products[:, i]
            if conflict < 0:
                factors[k, i] -= conflict / products[i, i]
    shares = factors.mean(axis=0)
    direction = shares @ deltas
    length = np.linalg.norm(direction)
    if length > NO_DIRECTION * (shares * norms(deltas)).max():
        step = np.linalg.norm(deltas.mean(axis=0)) / length * direction
    else:
        step = np.zeros_like(direction)
    return Aggregate(step, shares / shares.sum())

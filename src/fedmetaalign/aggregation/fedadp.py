"""FedAdp (Wu & Wang, 2021, "Fast-convergent federated learning with adaptive weighting", Algorithm 1).

    mean direction   D = sum_k n_k delta_k / sum of n
    angle            theta_k = arccos of cos(delta_k, D), in radians
    smoothed         theta~_k = ((t - 1) theta~_k + theta_k) / t        in the t-th round
    Gompertz         f(theta) = alpha (1 - exp(-exp(-alpha (theta - 1))))
    weight           n_k exp(f(theta~_k)),  normalised to sum to one
    step             sum_k w_k delta_k

The smoothed angle is the mean over rounds; t counts the rounds that the device took part in, which is the
round's number where all take part in all. A cosine with a zero vector, which the paper leaves undefined, is 0.
"""

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.geometry import NO_DIRECTION, cosines, norms


def fedadp(cohort: Cohort, alpha: float = 5.0) -> Aggregate:
    """Weights each delta with its samples and with how well it has agreed with the mean over the rounds.

    Args:
        cohort: K >= 1 devices with their names; its memory holds, by name of the device, (2,) float64, the
            smoothed angle and the number of rounds.
        alpha: the paper's constant, 5 in its experiments.
    """
    deltas = cohort.deltas.astype(np.float64)
    shares = cohort.samples / cohort.samples.sum()
    longest = (shares * norms(deltas)).max()
    alignment = cosines(deltas, shares @ deltas, NO_DIRECTION * longest)
    before = np.array([cohort.memory.get(name, (0.0, 0.0)) for name in cohort.names])
    rounds = before[:, 1] + 1
    angles = ((rounds - 1) * before[:, 0] + np.arccos(alignment)) / rounds
    contribution = alpha * (1 - np.exp(-np.exp(-alpha * (angles - 1))))
    weights = cohort.samples * np.exp(contribution)
    weights = weights / weights.sum()
    seen = dict(zip(cohort.names, np.stack([angles, rounds], axis=1), strict=True))
    return Aggregate(weights @ deltas, weights, alignment, {**cohort.memory, **seen})

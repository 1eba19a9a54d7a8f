"""Coordinate-wise trimmed mean (Yin et al., 2018, "Byzantine-robust distributed learning", Algorithm 1).

    step_j = mean of delta_kj without the beta K least and the beta K greatest        for every coordinate j

with beta >= the share of lying devices, rounded down to whole devices: with beta = 0.2 nothing is cut of fewer
than five. A device's weight is its share of what was kept, over all coordinates; the step is not the mean with
these weights.
"""

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.places import shares


def trimmed_mean(cohort: Cohort, byzantine: float = 0.2) -> Aggregate:
    """Averages in every coordinate what is left without the extremes.

    Args:
        cohort: K >= 1 devices.
        byzantine: beta in [0, 1/2), the share that is cut at each end.
    """
    from scipy.stats import trim_mean  # see places.shares

    deltas = cohort.deltas.astype(np.float64)
    cut = int(byzantine * len(deltas))  # as trim_mean rounds
    return Aggregate(trim_mean(deltas, byzantine, axis=0), shares(deltas, cut, len(deltas) - cut).mean(axis=1))

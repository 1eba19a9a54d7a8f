"""Coordinate-wise median (Yin et al., 2018, "Byzantine-robust distributed learning", Algorithm 1).

    step_j = median over k of delta_kj        for every coordinate j

It follows no lying device as long as more than half of the devices are honest. The median of an even number of
values is the mean of the two in the middle. A device's weight is the share of the coordinates that it decided,
where it stood in the middle; the step is not the mean with these weights.
"""

import numpy as np

from fedmetaalign.aggregation import Aggregate, Cohort
from fedmetaalign.aggregation.places import shares


def median(cohort: Cohort) -> Aggregate:
    """Takes the median of the deltas in every coordinate."""
    deltas = cohort.deltas.astype(np.float64)
    below = (len(deltas) - 1) // 2
    return Aggregate(np.median(deltas, axis=0), shares(deltas, below, len(deltas) - below).mean(axis=1))

"""Weighted mean by samples: FedAvg (McMahan et al., 2017, Algorithm 1).

    weight  w_k = n_k / sum of n
    step    sum_k w_k delta_k

The sum is formed device by device, so that no delta has to be kept.
"""

from typing import NamedTuple

import numpy as np

from fedmetaalign.aggregation import Aggregate, Aggregator, Cohort, Contribution, Memory, over


class Sums(NamedTuple):
    """The samples so far, one number a device, and the deltas times these, (parameters,) float64."""

    samples: tuple[int, ...]
    deltas: np.ndarray | float


def _init(memory: Memory, root: np.ndarray | None) -> Sums:
    return Sums((), 0.0)


def _add(sums: Sums, sent: Contribution) -> Sums:
    return Sums((*sums.samples, sent.samples), sums.deltas + sent.samples * sent.delta.astype(np.float64))


def _finish(sums: Sums) -> Aggregate:
    samples = np.array(sums.samples)
    return Aggregate(np.asarray(sums.deltas) / samples.sum(), samples / samples.sum())


MEAN = Aggregator(_init, _add, _finish)
"""Weights each delta with its device's share of the samples."""


def mean(cohort: Cohort) -> Aggregate:
    """Weights each delta of a cohort with its device's share of the samples."""
    return over(MEAN, cohort)

"""Weighted mean by samples: FedAvg (McMahan et al., 2017, Algorithm 1)."""

from fedmetaalign.aggregation import Aggregate, Cohort


def mean(cohort: Cohort) -> Aggregate:
    """Weights each delta with its device's share of the samples: n_k / sum of n."""
    weights = cohort.samples / cohort.samples.sum()
    return Aggregate(weights @ cohort.deltas.astype("float64"), weights)

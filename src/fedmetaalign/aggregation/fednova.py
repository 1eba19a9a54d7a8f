"""FedNova (Wang et al., 2020, "Tackling the objective inconsistency problem in heterogeneous federated
optimization"): normalised averaging.

    d_k     = delta_k / tau_k                    the mean step of device k
    tau_eff = sum_k p_k tau_k                    with p_k = n_k / sum of n
    step    = tau_eff sum_k p_k d_k

so that a device that takes more steps does not pull harder. tau_k counts local steps, which is the paper's
|a_k|_1 for plain gradient descent; with Adam as the local solver a step counts as one, although its length is
not the gradient's. A device's weight is its share of the sum of the factors tau_eff p_k / tau_k, which is at
least one: the step is the mean with these weights times that sum.
"""

from fedmetaalign.aggregation import Aggregate, Cohort


def fednova(cohort: Cohort) -> Aggregate:
    """Averages the deltas per local step, then takes the mean number of steps."""
    p = cohort.samples / cohort.samples.sum()
    factors = (p @ cohort.steps) * p / cohort.steps
    return Aggregate(factors @ cohort.deltas.astype("float64"), factors / factors.sum())

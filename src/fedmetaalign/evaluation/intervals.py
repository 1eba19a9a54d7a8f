"""How far a share that was counted on few samples may lie from the true one."""

from scipy.special import betaincinv

TAIL = 0.025
"""Chance that the true share is below the interval, and that it is above."""


def clopper_pearson(hits: int, samples: int) -> tuple[float, float]:
    """Returns the exact 95 % interval of a share, from counts (C. Clopper and E. Pearson, Biometrika 26, 1934).

    It holds the true share with a chance of at least 95 %, whatever that share is and however few the samples.

    Its upper end also holds for a threshold that the same samples have chosen: the share of all samples above
    the k-th highest of n follows Beta(k, n - k + 1), whatever the scores' distribution (S. Wilks, Annals of
    Mathematical Statistics 12, 1941), and with k - 1 hits the upper end is the 97.5 % quantile of just that.

    Args:
        hits: of the samples, 0 to `samples`.
        samples: independent ones; of none nothing is known, and the interval is 0 to 1.

    Raises:
        ValueError: there are more hits than samples, or fewer than none.
    """
    if not 0 <= hits <= samples:
        raise ValueError(f"{hits} of {samples} samples is no share")
    low = float(betaincinv(hits, samples - hits + 1, TAIL)) if hits else 0.0
    high = float(betaincinv(hits + 1, samples - hits, 1 - TAIL)) if hits < samples else 1.0
    return low, high

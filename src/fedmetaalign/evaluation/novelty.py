"""How unlike its fleet a device is, from what it has measured, without any label."""

import numpy as np


def most_unlike(scores: np.ndarray) -> tuple[int, float]:
    """Finds the feature that a device measures most unlike its fleet.

    By the fleet's quantiles a feature is standard normal in all of it. The distance is that of Kolmogorov and
    Smirnov: the largest difference between the share of the device's samples below a value and the fleet's.

    Args:
        scores: (rows, features) floating point, at least one row: normal scores by the fleet's quantiles.

    Returns:
        The number of the feature, and the distance, in [0, 1]: 1 where no sample of the fleet is beside one of
        the device's.
    """
    from scipy.stats import ks_1samp, norm  # half a second, which every message over Flower would wait for

    distances = [float(ks_1samp(column, norm.cdf).statistic) for column in scores.astype(np.float64).T]
    worst = int(np.argmax(distances))
    return worst, distances[worst]

"""How unlike two sets of a device's samples are, feature by feature."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.drift.reference import BINS, binned, edges_of, single

LARGE = 0.25
"""A population stability index above this is usually called a large change (Siddiqi 2006)."""

UNLIKELY = 0.01
"""Such a change is told where chance makes it in so many cases at most, in all features together."""


@dataclass(frozen=True)
class Shift:
    """How a feature of later samples differs from that of earlier ones.

    Attributes:
        index: the population stability index: the sum of (q - p) log(q / p) over eighths of the earlier samples
            and what lies beyond either end, p and q the shares of earlier and later ones.
        probability: that samples of one distribution differ as much, by the test of Kolmogorov and Smirnov,
            times the number of features (Bonferroni), at most 1.
        means: the later mean less the earlier one, in standard deviations of the earlier samples.
    """

    index: float
    probability: float
    means: float

    @property
    def large(self) -> bool:
        """Whether it is large, and more than chance; of few samples the index is large by chance."""
        return self.index > LARGE and self.probability < UNLIKELY


def shifts(earlier: np.ndarray, later: np.ndarray) -> list[Shift]:
    """Compares each feature of later samples with that of earlier ones.

    Samples near in time are often alike, and then the probability is too small; the index says how much it is.

    Args:
        earlier: (rows, features) floating point, finite, at least one row.
        later: (rows, features), at least one row.
    """
    from scipy.stats import ks_2samp  # half a second, which every message over Flower would wait for

    found = []
    for before, after in zip(earlier.T, later.T, strict=True):
        p = float(ks_2samp(before, after).pvalue) * earlier.shape[1]
        mean, spread = float(before.mean()), float(before.std())
        apart = (float(after.mean()) - mean) / spread if spread > 1e-12 * max(abs(mean), 1e-300) else 0.0
        found.append(Shift(_index(before, after), min(p, 1.0), apart))
    return found


def _index(before: np.ndarray, after: np.ndarray) -> float:
    edges = edges_of(single(before))[None]
    p, q = (
        (np.bincount(binned(edges, single(values)[:, None])[:, 0], minlength=BINS) + 0.5)
        for values in (before, after)
    )
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())

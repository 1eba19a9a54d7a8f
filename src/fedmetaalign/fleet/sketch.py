"""A feature's quantiles: all that leaves a device under `scaling = "fleet"` and `encoding = "quantiles"`.

The quantiles of several devices make one map to normal scores. Where samples have the same value, it has the
middle of their ranks: of n samples the ranks are 0.5, 1.5, ..., n - 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fedmetaalign.model.curve import MOST_KNOTS, Curve

_NORMAL = NormalDist()
_LARGEST_SCORE = 3.0  # of a rank: one sample in 740 is beyond it
_LEAST_SHARE = 1e-9
_WIDER = 1 + 2.0**-16
# Scores from -a to a end half a step beyond an 8-bit grid, on one side: the least or the greatest sample of a
# feature would count as out of range. So those below 0 are a trifle wider.


@dataclass(frozen=True)
class Sketch:
    """Some values of a feature, and where they stand among the samples.

    Attributes:
        count: samples.
        knots: (knots,) float64, rising values that occur, `MOST_KNOTS` at most: all of them where they are no
            more, else such as have evenly spaced normal scores from -3 to 3.
        ranks: (knots,) float64, rising: the mean rank of the samples of each value.
    """

    count: int
    knots: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Sketch":
        """Takes the sketch of a feature's samples, (rows,) float64."""
        knots, counts = np.unique(values, return_counts=True)
        ranks = np.cumsum(counts) - counts / 2
        kept = _spread(ranks, len(values))
        return cls(len(values), knots[kept], ranks[kept])

    def order(self) -> tuple[int, list[float], list[float]]:
        """Returns what sketches are sorted by."""
        return self.count, self.knots.tolist(), self.ranks.tolist()

    def at(self, values: np.ndarray) -> np.ndarray:
        """Returns how many samples are below values, (values,) float64, those that are equal counted half."""
        return np.asarray(np.interp(values, self.knots, self.ranks, 0.0, float(self.count)))


def curve_of(sketches: Sequence[Sketch]) -> Curve:
    """Returns the map of a feature that several devices have, whatever their order; a constant one becomes 0.

    Args:
        sketches: of each device.
    """
    count = sum(sketch.count for sketch in sketches)
    knots, ranks = np.unique(np.concatenate([sketch.knots for sketch in sketches])), np.zeros(1)
    for sketch in sorted(sketches, key=Sketch.order):  # else the order would show in the last bit of the sum
        ranks = ranks + sketch.at(knots)
    kept = _spread(ranks, count)
    knots, levels = knots[kept], _scores(ranks[kept] / count)
    # Rounding leaves a constant feature a spread of about 1e-16 of its value.
    if knots[-1] - knots[0] <= max(1e-12 * np.abs(knots).max(), 1e-300):
        return Curve.through([float(knots[len(knots) // 2])], [0.0])
    first = max(np.count_nonzero(levels == -_LARGEST_SCORE) - 1, 0)  # of those at an end the innermost stays
    knots, levels = knots[first:], levels[first:]
    levels = np.where(levels < 0, levels * _WIDER, levels)
    rising = np.append(True, np.diff(levels) > 0)
    return Curve.through(knots[rising].tolist(), levels[rising].tolist())


def _scores(shares: np.ndarray) -> np.ndarray:
    """Returns the normal scores of shares of the samples, (knots,) float64."""
    shares = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.clip(list(map(_NORMAL.inv_cdf, shares.tolist())), -_LARGEST_SCORE, _LARGEST_SCORE)


def _spread(ranks: np.ndarray, count: int) -> np.ndarray:
    """Chooses `MOST_KNOTS` of many ranks, such that no two neighbours' scores are far apart.

    Args:
        ranks: (values,) float64, rising.
        count: of the samples.

    Returns:
        (knots,) int64, indices into `ranks`, rising.
    """
    if len(ranks) <= MOST_KNOTS:
        return np.arange(len(ranks))
    low, high = _scores(ranks[[0, -1]] / count)
    wanted = count * np.array([_NORMAL.cdf(score) for score in np.linspace(low, high, MOST_KNOTS).tolist()])
    above = np.clip(np.searchsorted(ranks, wanted), 1, len(ranks) - 1)
    nearer = wanted - ranks[above - 1] <= ranks[above] - wanted
    return np.unique(np.where(nearer, above - 1, above))

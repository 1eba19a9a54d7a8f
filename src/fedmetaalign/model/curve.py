"""A raw feature's way to a normal score: a monotone map that is linear between knots.

With quantiles of the samples as knots, and the standard normal scores of their ranks as levels, a feature of
any distribution comes out about normal (van der Waerden, 1952). A device looks that up in a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_KNOTS = 33
"""Quantiles of a feature; a map has an end on either side of them besides."""

LARGEST_LEVEL = 4.0
"""Where a map ends on either side: it is constant from there on."""


@dataclass(frozen=True)
class Curve:
    """The map of one feature.

    Attributes:
        knots: in raw units, finite, rising; the only one of a constant feature.
        levels: of each knot, rising, at most `LARGEST_LEVEL` in size.
    """

    knots: tuple[float, ...]
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where this is no such map, as in a damaged file."""
        if not 0 < len(self.knots) == len(self.levels) <= MOST_KNOTS + 2:
            raise ValueError(f"a curve has as many levels as knots, and of these 1 to {MOST_KNOTS + 2}")
        with np.errstate(over="ignore", invalid="ignore"):
            span = self.knots[-1] - self.knots[0]
            rising = (np.diff(self.knots) > 0).all() and (np.diff(self.levels) > 0).all()
        if not (np.isfinite(span) and rising and np.isfinite(self.levels).all()):
            raise ValueError("the knots and the levels of a curve must be finite, and rise")
        if max(map(abs, self.levels)) > LARGEST_LEVEL:
            raise ValueError(f"the levels of a curve lie between {-LARGEST_LEVEL:g} and {LARGEST_LEVEL:g}")

    @classmethod
    def through(cls, knots: Sequence[float], levels: Sequence[float]) -> "Curve":
        """Returns the map through some points, continued beyond them.

        It goes on with its mean slope as far as `LARGEST_LEVEL`. A single point is a constant feature, all of
        whose values become its level.

        Args:
            knots: finite, rising.
            levels: rising, smaller than `LARGEST_LEVEL` in size.
        """
        if len(knots) == 1:
            return cls(tuple(knots), tuple(levels))
        unit = (knots[-1] - knots[0]) / (levels[-1] - levels[0])
        low = knots[0] - (levels[0] + LARGEST_LEVEL) * unit
        high = knots[-1] + (LARGEST_LEVEL - levels[-1]) * unit
        # Beside a large value a small step rounds to nothing.
        low = min(low, float(np.nextafter(knots[0], -np.inf)))
        high = max(high, float(np.nextafter(knots[-1], np.inf)))
        return cls((low, *knots, high), (-LARGEST_LEVEL, *levels, LARGEST_LEVEL))

    @property
    def middle(self) -> float:
        """The raw value whose level is 0, or is nearest to it."""
        return float(self.inverse(np.zeros(1))[0])

    @property
    def unit(self) -> float:
        """Raw units a level, on average; 1 for a constant feature."""
        if len(self.knots) == 1:
            return 1.0
        return (self.knots[-1] - self.knots[0]) / (self.levels[-1] - self.levels[0])

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Returns the levels of raw values, both (rows,) float64; greater values have no smaller levels."""
        knots, levels = np.array(self.knots), np.array(self.levels)
        x = np.clip(x, knots[0], knots[-1])
        i = np.searchsorted(knots, x, side="right") - 1
        share = (x - knots[i]) / np.append(np.diff(knots), 1.0)[i]
        above = np.append(levels[1:], levels[-1])[i]
        return np.asarray(np.minimum(levels[i] + (above - levels[i]) * share, above))

    def inverse(self, levels: np.ndarray) -> np.ndarray:
        """Returns raw values with these levels, both (rows,) float64; beyond the ends those of the ends."""
        return np.asarray(np.interp(levels, self.levels, self.knots))

"""Lines with bands, and names at their ends."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from fedmetaalign.report import svg
from fedmetaalign.report.comparison.names import OURS
from fedmetaalign.report.comparison.reading import Interval
from fedmetaalign.report.drawing import FONT, shortened

OTHERS = (*svg.SERIES[:2], *svg.SERIES[3:], svg.INK)
"""Colours of lines beside that of Fed-Meta-Align; the third of the series is too near it."""


@dataclass(frozen=True)
class Line:
    """A line across a figure, in its own colour, named at its end.

    Attributes:
        points: (x, mean, low, high) with values in %, ascending; low and high are the mean where not known.
        strong: the line that the eye is to find first.
    """

    label: str
    colour: str
    points: Sequence[tuple[float, float, float, float]]
    strong: bool = False


def line(label: str, colour: str, points: Iterable[tuple[float, Interval]], strong: bool = False) -> Line:
    """Returns the line through the points that have a value."""
    known = []
    for x, p in points:
        if p.mean is not None:
            low, high = (p.mean if bound is None else bound for bound in (p.low, p.high))
            known.append((x, 100 * p.mean, 100 * low, 100 * high))
    return Line(label, colour, known, strong)


def coloured(named: Mapping[str, tuple[str, list[tuple[float, Interval]]]]) -> list[Line]:
    """Row name -> (label, points) as lines in colours of their own; Fed-Meta-Align has the accent."""
    others = iter(OTHERS)
    drawn = [
        line(label, svg.ACCENT if name == OURS else next(others), points, name == OURS)
        for name, (label, points) in named.items()
    ]
    return [each for each in drawn if each.points]


def draw_lines(axes: Axes, lines: Iterable[Line], markers: bool) -> None:
    """Draws lines with bands."""
    for each in lines:
        x, middle, low, high = (list(column) for column in zip(*each.points, strict=True))
        axes.fill_between(x, low, high, color=each.colour, alpha=0.16 if each.strong else 0.08, linewidth=0)
        axes.plot(
            x,
            middle,
            color=each.colour,
            linewidth=2.4 if each.strong else 1.5,
            marker="o" if markers or len(x) == 1 else None,
            markersize=4.5 if each.strong else 3.5,
            zorder=3 if each.strong else 2,
        )


def name_ends(axes: Axes, lines: Sequence[Line], height: float) -> None:
    """Names lines at the right edge, moved apart where they end close together.

    Args:
        axes: all is drawn in them that sets their limits.
        lines: each has a point.
        height: of the axes, roughly, in inches.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = sorted(((each.points[-1][1], each) for each in lines), key=lambda end: end[0])
    places = spread([(y - low) / (high - low) for y, _ in ends], 1.3 * FONT / 72 / height)
    for (y, each), place in zip(ends, places, strict=True):
        axes.annotate(
            shortened(each.label),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(1.035, place),
            textcoords="axes fraction",
            va="center",
            fontsize=FONT,
            fontweight="bold" if each.strong else "normal",
            color=each.colour,
            arrowprops={
                "arrowstyle": "-",
                "color": each.colour,
                "linewidth": 0.7,
                "shrinkA": 2,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Returns ascending places in 0..1 at least a gap apart, moved as little as that takes (least squares).

    Too many for that reach beyond 1.
    """
    steps = gap * np.arange(len(places))
    # With the gaps taken out, "at least a gap apart" is "ascending".
    closed = np.clip(np.asarray(places) - steps, 0, max(0.0, 1 - gap * (len(places) - 1)))
    return [float(place) for place in isotonic_regression(closed).x + steps] if len(places) else []

"""The parts that figures share: rows with names, marks, and words beside them."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from fedmetaalign.report import svg

WIDTH = 7.5
"""Inches of a figure in a file of its own; 740 pixels with the margin fit the text of a Markdown page."""

ROW = 0.235
"""Inches; the height of a row with a name beside it."""

DOTTED = (0, (1, 1.5))
FONT = 8.5


def shortened(name: str, most: int = 26) -> str:
    """A name that leaves room for the figure."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def named_rows(axes: Axes, labels: Sequence[str], strong: Sequence[bool] = (), most: int = 34) -> None:
    """Makes the y axis a list of names, the first on top."""
    axes.set_yticks(range(len(labels)), [shortened(label, most) for label in labels])
    for tick, bold in zip(axes.get_yticklabels(), strong, strict=False):
        tick.set_fontweight("bold" if bold else "normal")
    axes.tick_params(axis="y", length=0, labelcolor=svg.INK)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)


def dot(
    axes: Axes, x: float, y: float, colour: str, size: float, marker: str = "o", hollow: bool = False
) -> None:
    """Draws a mark; hollow, it shows the card behind."""
    face = svg.CARD if hollow else colour
    axes.plot(x, y, marker, markersize=size, markerfacecolor=face, markeredgecolor=colour)


def span(axes: Axes, low: float, high: float, y: float, colour: str) -> None:
    """Draws a thick pale bar from one value of a row to another."""
    axes.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.45)


def value_above(axes: Axes, x: float, y: float) -> None:
    """Writes a value above its point."""
    place: dict[str, Any] = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
    axes.annotate(f"{y:.1f}", (x, y), fontweight="bold", **place)


def beside(axes: Axes, y: float, text: str, colour: str = svg.INK) -> None:
    """Writes a text on the right of the axes."""
    place: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (1, y), xycoords=("axes fraction", "data"), fontsize=FONT, color=colour, **place)

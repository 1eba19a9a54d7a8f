"""Matplotlib figures as inline SVG that takes its colours from the page and is the same on every run.

A figure is drawn in placeholder colours. They become CSS variables, so that one figure serves light, dark
and paper.
"""

import io
import re
import warnings
from collections.abc import Callable
from html import escape

import matplotlib.style
from matplotlib.figure import Figure

INK, MUTED, GRID, CARD, ACCENT, WARN = (f"#00010{i}" for i in range(1, 7))
SERIES = tuple(f"#00020{i}" for i in range(8))
"""Colours that tell up to eight devices apart; `var(--series-0)` ... in the style sheet."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    CARD: "var(--card)",
    ACCENT: "var(--accent)",
    WARN: "var(--warn)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and takes the page's font
    "svg.hashsalt": "fedmetaalign",
    "text.color": INK,
    "text.parse_math": False,  # a device may be called "$1"
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
}


def render(draw: Callable[[Figure], None], width: float, height: float, name: str, description: str) -> str:
    """Returns a figure as an `<svg>` element.

    Args:
        draw: fills the figure, in the colours of this module.
        width: in inches of 72 points; on the page the figure is as wide as its place.
        height: in inches.
        name: letters, digits and "-"; begins every id in the figure, so that figures on a page do not clash.
        description: what the figure shows, for those who cannot see it.
    """
    file = io.StringIO()
    # The user's own matplotlibrc must not change the page, nor the page the user's settings.
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser draws the text, with fonts that have the glyphs which matplotlib's lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height))
        draw(figure)
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    return _inline(file.getvalue(), name, description)


def _inline(document: str, name: str, description: str) -> str:
    """Makes an SVG document an element of an HTML page."""
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", document, flags=re.DOTALL)
    match = re.search(r'<svg[^>]*viewBox="([^"]*)"[^>]*>(.*)</svg>', body, flags=re.DOTALL)
    if match is None:
        raise AssertionError("matplotlib wrote no <svg>")
    # Only tags are changed: the text between them is the device's.
    content = re.sub(r"<[^>]*>", lambda tag: _own(tag.group(), name), match.group(2))
    content = re.sub(r">\s+<", "><", content).strip()
    return f'<svg viewBox="{match.group(1)}" role="img" aria-label="{escape(description)}">{content}</svg>'


def _own(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'\b(?:xlink:)?href="#', f'href="#{name}-', tag)
    tag = tag.replace("url(#", f"url(#{name}-")
    return re.sub(r"#000[12]0\d", lambda colour: _VARIABLES.get(colour.group(), colour.group()), tag)

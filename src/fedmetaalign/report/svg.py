"""Matplotlib figures as SVG for light, dark and paper, the same on every run.

A figure is drawn in placeholder colours, which become those of the pages' style sheet.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from importlib import resources

import matplotlib.style
from matplotlib.figure import Figure

from fedmetaalign.report.rendering import environment

INK, MUTED, GRID, CARD, ACCENT, WARN = (f"#00010{i}" for i in range(1, 7))
SERIES = tuple(f"#00020{i}" for i in range(8))
"""Colours that tell up to eight lines apart."""

_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    CARD: "card",
    ACCENT: "accent",
    WARN: "warn",
    **{colour: f"series-{i}" for i, colour in enumerate(SERIES)},
}
"""Placeholder -> name in the style sheet."""

_ENVIRONMENT = environment()

_MARGIN = 8
"""Points around a figure."""

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


def standalone(draw: Callable[[Figure], None], width: float, height: float, description: str) -> str:
    """Returns a figure as an SVG document, to be shown as an image; the reader's browser chooses light or dark.

    Args:
        draw: fills the figure, in the colours of this module.
        width: in inches.
        height: in inches.
        description: what the figure shows, for those who cannot see it.
    """
    light, dark = palettes()
    box, content = _drawing(draw, width, height, {each: light[name] for each, name in _NAMES.items()})
    _, _, right, bottom = (float(side) for side in box.split())
    # Light colours stand in the drawing, as not only browsers understand them; dark ones replace them.
    return _ENVIRONMENT.get_template("figure.svg.j2").render(
        light=light,
        dark=dark,
        names=_NAMES.values(),
        margin=_MARGIN,
        width=f"{right + 2 * _MARGIN:g}",
        height=f"{bottom + 2 * _MARGIN:g}",
        description=description,
        content=content,
    )


def palettes() -> tuple[dict[str, str], dict[str, str]]:
    """Returns the style sheet's colours, name -> "#rrggbb": the light ones and the dark ones."""
    sheet = (resources.files("fedmetaalign.report") / "templates/style.css").read_text(encoding="utf-8")
    light, dark, *_ = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root {([^}]*)}", sheet)
    )
    return light, dark


def _drawing(
    draw: Callable[[Figure], None], width: float, height: float, colours: Mapping[str, str]
) -> tuple[str, str]:
    """Returns a figure's view box and what is in it."""
    file = io.StringIO()
    # The user's own matplotlibrc must not change the figure, nor the figure the user's settings.
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser draws the text, with fonts that have the glyphs which matplotlib's lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height))
        draw(figure)
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    body = re.sub(
        r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", file.getvalue(), flags=re.DOTALL
    )
    match = re.search(r'<svg[^>]*viewBox="([^"]*)"[^>]*>(.*)</svg>', body, flags=re.DOTALL)
    if match is None:
        raise AssertionError("matplotlib wrote no <svg>")
    # Only tags are changed: the text between them is the device's.
    content = re.sub(r"<[^>]*>", lambda tag: _own(tag.group(), colours), match.group(2))
    return match.group(1), re.sub(r">\s+<", "><", content).strip()


def _own(tag: str, colours: Mapping[str, str]) -> str:
    tag = re.sub(r'\bid="', 'id="figure-', tag)
    tag = re.sub(r'\b(?:xlink:)?href="#', 'href="#figure-', tag)
    tag = tag.replace("url(#", "url(#figure-")
    return re.sub(r"#000[12]0\d", lambda colour: colours.get(colour.group(), colour.group()), tag)

"""A comparison as one page, `compare.html`: its findings, its figures, and tables that sort and filter."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fedmetaalign.report.comparison import reading
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.formats import METRICS, duration, numbered, traffic
from fedmetaalign.report.comparison.names import OURS, plain, title
from fedmetaalign.report.comparison.reading import Comparison, Interval, Row, Source, read
from fedmetaalign.report.rendering import environment, parts, script_data

SCRIPTS = ("elements.js", "table.js", "compare.js")

_COLUMNS = ("f1", "mcc", "pr_auc", "brier", "gain_over_local", "gain_over_forest", "worse_off", "worst")

_MOST = 300_000
"""Values of devices in the page; of more devices and rows the first devices are shown."""


def document(comparison: Source, folder: Path) -> str:
    """Returns the page.

    Args:
        comparison: the object of `compare.json`.
        folder: has the figures, as `figures.write` names them.
    """
    of = read(comparison)
    shown = of.devices[: max(1, _MOST // max(1, len(of.rows)))]
    ranked = reading.ranked(of.rows)
    others = [row for row in of.rows if row.ranking.mean is None]
    known = [key for key in _COLUMNS if any(key in row.fleet for row in of.rows)]
    data = {
        "metrics": [_metric(key) for key in [of.rank, *known]],
        "rows": [_row(row, [of.rank, *known], shown) for row in [*ranked, *others]],
        "unseen": [_row(row, [of.rank, *known], ()) for row in reading.of_unseen(of).rows if row.fleet],
        "devices": [plain(name) for name in shown],
        "left_out": len(of.devices) - len(shown),
    }
    first, *more = sentences(of)
    return _page(
        name=of.recipe,
        first=first,
        others=more,
        about=f"{len(of.rows)} rows, {len(of.devices):,} devices, seeds {numbered(of.seeds)}",
        figures=_figures(folder, reading.shown(of)),
        links=[],
        data=data,
    )


def sweep_document(
    comparisons: Mapping[str, Source], key: str, folder: Path, folders: Mapping[str, str]
) -> str:
    """Returns the page of a sweep, which links to those of its comparisons.

    Args:
        comparisons: value of the key -> the object of its `compare.json`.
        key: the key's name.
        folder: has the figures, as `figures.write_sweep` names them.
        folders: value of the key -> the name of its folder.
    """
    swept = {value: read(each) for value, each in comparisons.items()}
    some = next(iter(swept.values()))
    labels = {row.name: row.label for of in swept.values() for row in of.rows}
    data = {
        "metrics": [[f"{plain(key)} = {plain(value)}", "percent", 1] for value in swept],
        "rows": [
            [label, name == OURS, [_interval(_ranking(of, name)) for of in swept.values()], [], "", "", ""]
            for name, label in labels.items()
        ],
        "unseen": [],
        "devices": [],
        "left_out": 0,
    }
    figures = {"sweep.svg": f"{title(some.rank)} against {plain(key)}"}
    figures |= {"sweep-unseen.svg": "Devices that took no part"} if reading.unseen_sweep(swept) else {}
    return _page(
        name=some.recipe,
        first=f"{title(some.rank)} at {len(swept)} values of {plain(key)}.",
        others=[],
        about=f"seeds {numbered(some.seeds)}",
        figures=_figures(folder, figures),
        links=[
            (f"{plain(key)} = {plain(value)}", f"{folders[value]}/compare.html", sentences(of)[0])
            for value, of in swept.items()
        ],
        data=data,
    )


def _page(data: Mapping[str, Any], **words: Any) -> str:
    embedded = Markup(script_data(data))  # noqa: S704 - no "<" is left in it
    return environment().get_template("compare.html.j2").render(data=embedded, parts=parts(SCRIPTS), **words)


def _metric(key: str) -> list[Any]:
    metric = METRICS[key]
    return [metric.title, metric.unit, metric.direction]


def _row(row: Row, keys: Iterable[str], devices: Iterable[str]) -> list[Any]:
    """Label, whether it is ours, the fleet's metrics, accuracy by device, steps, traffic, time."""
    return [
        row.label,
        row.name == OURS,
        [_interval(row.fleet.get(key, reading.NOTHING)) for key in keys],
        [_rounded(reading.value_of(row, device).mean) for device in devices],
        row.steps,
        [row.bytes, traffic(row.bytes)],
        [row.seconds, duration(row.seconds)],
    ]


def _ranking(of: Comparison, name: str) -> Interval:
    row = of.row(name)
    return reading.NOTHING if row is None else row.ranking


def _interval(interval: Interval) -> list[float | None]:
    return [_rounded(interval.mean), _rounded(interval.low), _rounded(interval.high)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _figures(folder: Path, titles: Mapping[str, str]) -> list[tuple[str, str]]:
    """(What it shows, its image) of those that are there."""
    found = []
    for name, shows in titles.items():
        path = folder / name
        if path.is_file():
            image = base64.b64encode(path.read_bytes()).decode()
            found.append((shows, f"data:image/svg+xml;base64,{image}"))
    return found

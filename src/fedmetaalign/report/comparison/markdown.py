"""A comparison as Markdown: `compare.md` as a whole, and each of its tables by itself for other documents."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial

from jinja2 import Template
from markupsafe import Markup

from fedmetaalign.methods import ALONE, FORESTS
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.formats import (
    METRICS,
    Metric,
    bold,
    bracket,
    duration,
    learning_rate,
    numbered,
    probability,
    ranged,
    table,
    text,
    traffic,
)
from fedmetaalign.report.comparison.names import METRICS as NAMES
from fedmetaalign.report.comparison.names import plain, title
from fedmetaalign.report.comparison.reading import (
    AGAINST_ALONE,
    AGAINST_FOREST,
    NOTHING,
    Comparison,
    Interval,
    Row,
    Source,
    beside_itself,
    foremost,
    read,
    shown,
    unseen_sweep,
    value_of,
)
from fedmetaalign.report.numbers import count
from fedmetaalign.report.rendering import environment

_COLUMNS = (
    "accuracy",
    "macro_f1",
    "class_accuracy",
    "f1",
    "mcc",
    "balanced_accuracy",
    "pr_auc",
    "brier",
    "gain_over_local",
    "gain_over_forest",
    "worse_off",
    "worst",
    "worst_decile",
)
_RANGED = ("accuracy", "macro_f1", "class_accuracy", "gain_over_local", "gain_over_forest")
"""Columns with room for the interval."""

_MOST_COLUMNS = 4
"""Up to so many devices are columns; more are rows."""

_MOST_METHODS = 6
"""So many methods fit beside devices that are rows."""


def document(comparison: Source) -> str:
    """Returns `compare.md`.

    Args:
        comparison: the object of `compare.json`, or what was read of it; so, too, in all functions here.
    """
    of = read(comparison)
    return _template("compare.md.j2").render(of=of, figures=shown(of))


def sweep_document(comparisons: Mapping[str, Source], key: str) -> str:
    """Returns the `compare.md` of a sweep: the same methods at several values of a key of the recipe.

    Args:
        comparisons: value of the key -> comparison; at least one.
        key: the key's name.
    """
    swept = {value: read(each) for value, each in comparisons.items()}
    return _template("sweep.md.j2").render(
        recipe=next(iter(swept.values())).recipe,
        key=plain(key),
        rank=title(next(iter(swept.values())).rank),
        swept=swept,
        unseen=unseen_sweep(swept),
        against=_against(swept.values()),
    )


def _against(swept: Iterable[Comparison]) -> list[str]:
    """The metrics that need another row, where it is there."""
    rows = [row for of in swept for row in of.rows]
    alone = any(row.name == ALONE for row in rows)
    forest = any(row.method in FORESTS for row in rows)
    return [*(AGAINST_ALONE if alone else ()), *(AGAINST_FOREST if forest else ())]


def findings(comparison: Source) -> str:
    """Returns the findings as a list: who is best, where Fed-Meta-Align stands, who harms devices."""
    return "\n".join(
        f"- {sentence}" for sentence in sentences(read(comparison), lambda label: bold(text(label)))
    )


def overview(comparison: Source) -> str:
    """Returns the table of the fleet: a line a row; the best of each column in bold."""
    return _metrics_table(read(comparison).rows, "fleet")


def unseen(comparison: Source) -> str:
    """Returns the table of the devices that took no part in the federation and only received its model."""
    return _metrics_table([row for row in read(comparison).rows if row.unseen], "unseen")


def costs(comparison: Source) -> str:
    """Returns what each row took, and how it does against the best other method."""
    of = read(comparison)
    return _template("costs.md.j2").render(rows=of.rows, rank=NAMES[of.rank]).rstrip()


def devices(comparison: Source) -> str:
    """Returns how each device does in what ranks the rows: a column a device where there are few, else a line.

    Where devices are lines, only the methods that stand first have a column.
    """
    of = read(comparison)
    if len(of.devices) <= _MOST_COLUMNS:
        found = [[value_of(row, device) for row in of.rows] for device in of.devices]
        columns = [_bolded(of.rank, column, bracket) for column in found]
        head = [METRICS[of.rank].title, *(text(plain(device)) for device in of.devices)]
        return table(head, zip((text(row.label) for row in of.rows), *columns, strict=True))
    chosen = foremost(of.rows, _MOST_METHODS)
    head = [METRICS[of.rank].title, *(text(row.label) for row in chosen)]
    lines = [
        [text(plain(device)), *_bolded(of.rank, [value_of(row, device) for row in chosen], bracket)]
        for device in of.devices
    ]
    note = f"{len(chosen)} of {count(len(of.rows), 'row')}; all are in compare.csv."
    return "\n\n".join([table(head, lines), *([note] if len(chosen) < len(of.rows) else [])])


def sweep(comparisons: Mapping[str, Source], metric: str = "") -> str:
    """Returns a table of the fleet's metric for the same methods at several values of a key of the recipe.

    A cell is the mean and half its interval; the best of each column is bold.

    Args:
        comparisons: value of the key -> comparison.
        metric: a metric of the fleet, by default the one that the comparisons rank by.
    """
    columns = {value: read(each) for value, each in comparisons.items()}
    metric = metric or next(iter(columns.values())).rank
    labels = {row.name: row.label for of in columns.values() for row in of.rows}
    lines = {name: [_interval_of(of.row(name), metric) for of in columns.values()] for name in labels}
    lines = {name: line for name, line in lines.items() if any(each.mean is not None for each in line)}
    cells = [_bolded(metric, column, _half) for column in zip(*lines.values(), strict=True)]
    head = [METRICS[metric].title, *(text(plain(value)) for value in columns)]
    return table(head, zip((text(labels[name]) for name in lines), *cells, strict=True))


def _metrics_table(rows: Sequence[Row], part: str) -> str:
    """A line a row: the columns that have something to say."""
    found = {key: [_interval_of(row, key, part) for row in rows] for key in _COLUMNS}
    columns = {key: column for key, column in found.items() if any(each.mean is not None for each in column)}
    if columns.get("worst_decile") == columns.get("worst"):
        columns.pop("worst_decile", None)  # in a small fleet, the worst tenth is the worst device
    ranks = [_interval_of(row, row.rank, part).mean for row in rows]
    top = max((mean for mean in ranks if mean is not None), default=None)
    names = [
        bold(text(row.label)) if top is not None and mean == top else text(row.label)
        for row, mean in zip(rows, ranks, strict=True)
    ]
    cells = [_bolded(key, column, bracket if key in _RANGED else _nothing) for key, column in columns.items()]
    return table(["", *(METRICS[key].title for key in columns)], zip(names, *cells, strict=True))


def _interval_of(row: Row | None, key: str, part: str = "fleet") -> Interval:
    if row is None or beside_itself(row, key):
        return NOTHING
    metrics = row.unseen if part == "unseen" else row.fleet
    return metrics.get(key, NOTHING)


def _bolded(key: str, column: Sequence[Interval], more: Callable[[Metric, Interval], str]) -> list[str]:
    """The cells of a column, the best of them in bold, each followed by what `more` says of it."""
    metric = METRICS[key]
    means = [metric.format(interval.mean) for interval in column]
    best = metric.best(interval.mean for interval in column) if len(set(means)) > 1 else None
    cells = []
    for mean, interval in zip(means, column, strict=True):
        cell = bold(mean) if mean == best else mean
        cells.append(f"{cell} {more(metric, interval)}".rstrip())
    return cells


def _half(metric: Metric, interval: Interval) -> str:
    """Half of the interval: "± 1.8"."""
    if interval.low is None or interval.high is None:
        return ""
    return f"± {metric.format((interval.high - interval.low) / 2).removeprefix('+')}"


def _nothing(metric: Metric, interval: Interval) -> str:
    return ""


@cache
def _template(name: str) -> Template:
    """A template whose expressions are escaped as Markdown; only the tables and findings made here are not."""
    found = environment(finalize=_escaped)
    formats = (duration, learning_rate, numbered, probability, traffic)
    found.filters |= {each.__name__: each for each in formats} | {"one_line": plain}
    found.globals["points"] = partial(ranged, METRICS["gain_over_local"])
    found.globals |= {each.__name__: each for each in (costs, devices, findings, overview, sweep, unseen)}
    return found.get_template(name)


def _escaped(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(text(str(value)))  # noqa: S704

"""The wide form: a row is a window, and its points are columns."""

import re
from dataclasses import replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.missing.gaps import Gaps
from fedmetaalign.fleet.patterns import like
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.windows.front import made, signal_of
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window


def of_points(table: Table, window: Window, gaps: Gaps, missing: Missing, empty: np.ndarray) -> Table:
    """Returns a table whose features are what a front end makes of each row.

    Args:
        table: its features are the points of its channels, in any order.
        window: which columns are the points of which channel.
        gaps: what the table lacks.
        missing: what is done about it: under `drop` the row goes; under `median` the median of the device's
            points of that channel, and under `last` the last good point of the row, stands for it.
        empty: (rows,) bool, which have no label.

    Raises:
        DataError: channels have unlike numbers of points, or nothing is left.
    """
    names, places = _points(table, window)
    holes = (gaps.codes > 0)[:, places.T]  # rows, points, channels
    x = np.where(holes, np.nan, table.x[:, places.T])
    kept, dropped = np.arange(len(x)), np.empty(0, np.int64)
    if holes.any():
        lost = holes.any(axis=(1, 2))
        if missing.rule == "reject":
            row = int(np.argmax(lost))
            raise DataError(
                f"Device {table.name}, row {row + 1}: a point is missing, and so are {holes.sum() - 1:,} more:"
                " correct them, or say with missing_values what stands for them."
            )
        if missing.rule == "drop":
            kept, dropped = np.flatnonzero(~lost), np.flatnonzero(lost)
            if not len(kept):
                raise DataError(
                    f'Device {table.name} has no row without a missing point, and missing_values = "drop"'
                    " leaves none: choose another rule."
                )
        else:
            x = _filled(table, x, missing.rule)
    signal = signal_of(
        replace(table, features=names), window, replace(missing, ranges={}), window.rate or 0.0, x.shape[1]
    )
    with np.errstate(over="ignore"):
        points = x[kept].astype(np.float32)
    units = tuple(table.units[own[0]] for own in places)
    features = made(signal, units, lambda part: points[part], len(points))
    found = replace(
        table.take(kept),
        features=features.names,
        units=features.units,
        x=features.values,
        categories={},
        missing=replace(missing, ranges={}),
        gaps=gaps.counts(table.features),
        dropped=dropped if len(dropped) else None,
        signal=signal,
    )
    empty = empty[kept]
    if empty.any():
        found = replace(found.take(np.flatnonzero(~empty)), unlabelled=found.x[empty])
    return found.in_order()


def natural(name: str) -> list[tuple[int, int | str]]:
    """Returns what names are sorted by so that t2 comes before t10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def _points(table: Table, window: Window) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the channels' names, and the columns of their points, (channels, points) int64."""
    found = []
    for pattern in window.patterns:
        own = [name for name in table.features if like(pattern, name)]
        found.append([table.features.index(name) for name in sorted(own, key=natural)])
    counts = [len(own) for own in found]
    if min(counts) < 2 or len(set(counts)) > 1:
        told = ", ".join(f"{n} like '{name}'" for n, name in zip(counts, window.patterns, strict=True))
        raise DataError(
            f"Device {table.name} has the columns of points {told}: a window needs two at least, and of each"
            " channel as many; correct fleet.window.points."
        )
    stems = tuple(re.split(r"[*?]", pattern)[0].rstrip("_-. ") or "signal" for pattern in window.patterns)
    return window.channels or stems, np.array(found)


def _filled(table: Table, x: np.ndarray, rule: str) -> np.ndarray:
    """Fills missing points, (rows, points, channels)."""
    if np.isnan(x).all(axis=(0, 1)).any():
        raise DataError(f"Device {table.name} has a channel without any value: leave it out, or give it data.")
    middle = np.nanmedian(x, axis=(0, 1))
    if rule == "last":
        there = np.where(np.isnan(x), -1, np.arange(x.shape[1])[:, None])
        last = np.maximum.accumulate(there, axis=1)
        x = np.where(last < 0, np.nan, np.take_along_axis(x, np.maximum(last, 0), axis=1))
    return np.where(np.isnan(x), middle, x)

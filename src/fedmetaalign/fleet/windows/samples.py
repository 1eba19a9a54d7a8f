"""A device's samples, recording by recording in order of time, with the missing ones filled or marked."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.missing.gaps import Gaps
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.missing import Missing, carried
from fedmetaalign.recipe import Window

_REGULAR = 0.9  # the share of steps from value to value that are alike, in a channel of another rate


@dataclass(frozen=True)
class Samples:
    """The samples of a device in the order in which windows are cut.

    Attributes:
        table: the samples; its features are the channels, and then the column of the speed.
        recordings: (rows,) int64, the number of each sample's, rising.
        names: of the recordings.
        rows: (rows,) int64, which row of the source each sample is, from 0.
        broken: (rows,) bool, which samples no window may hold.
        empty: (rows,) bool, which have no label.
    """

    table: Table
    recordings: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray
    broken: np.ndarray
    empty: np.ndarray

    def where(self, row: int) -> str:
        """Says which sample it is."""
        recording = f", recording '{self.names[self.recordings[row]]}'" if len(self.names) > 1 else ""
        return f"Device {self.table.name}{recording}, row {self.rows[row] + 1:,}"


def samples_of(table: Table, window: Window, gaps: Gaps, missing: Missing, empty: np.ndarray) -> Samples:
    """Puts a device's samples in order, and deals with missing ones.

    Args:
        table: of all its rows.
        window: names the channels.
        gaps: what it lacks.
        missing: what is done about it: under `drop` no window may hold it; under `median` the median of the
            device's samples, and under `last` the last good one of the recording, stands for it.
        empty: (rows,) bool, which have no label.

    Raises:
        DataError: the table lacks a channel, a unit cuts through a recording, or nothing is left.
    """
    columns = _columns(table, window)
    names, recordings = _recordings(table)
    keys = (np.arange(len(table)), recordings)
    if table.times is not None:
        keys = (table.times.values, recordings)
    order = np.lexsort(keys)
    holes = gaps.codes[order][:, columns] > 0
    own = replace(
        table.take(order),
        features=tuple(table.features[i] for i in columns),
        units=tuple(table.units[i] for i in columns),
        x=table.x[order][:, columns],
    )
    of = recordings[order]
    _check_units(own, of, names)
    _check_rates(own, holes)
    broken = np.zeros(len(table), bool)
    if holes.any():
        own, broken = _filled(own, holes, of, missing, gaps.take(order), columns, order)
    if window.speed is not None and window.speed not in own.features:
        raise DataError(
            f"Device {table.name} has no value of '{window.speed}', its speed: leave the device out."
        )
    return Samples(own, of, names, order, broken, empty[order])


def _columns(table: Table, window: Window) -> list[int]:
    """Returns the channels among a table's features, and then the speed."""
    there = [name for name in table.features if name != window.speed]
    if table.source is None and window.channels:  # of a file the features are the channels
        if strange := [name for name in window.channels if name not in there]:
            raise DataError(
                f"Device {table.name} has no channel '{strange[0]}', which fleet.window names: it has"
                f" {', '.join(there)}."
            )
        there = [*window.channels]
    if window.speed is not None and window.speed not in table.features:
        raise DataError(
            f"Device {table.name} has no column '{window.speed}', which fleet.window names as the speed:"
            " correct it, or leave the device out."
        )
    speed = [table.features.index(window.speed)] if window.speed is not None else []
    return [*(table.features.index(name) for name in there), *speed]


def _recordings(table: Table) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names of the recordings in the order in which they begin, and the number of each row's."""
    told = table.groups if table.recordings is None else table.recordings
    if told is None:
        return (table.name,), np.zeros(len(table), np.int64)
    series = pl.Series(told)
    names = series.unique(maintain_order=True)
    # As a join: sorting millions of texts would take seconds.
    return tuple(names.to_list()), series.replace_strict(
        names, range(len(names)), return_dtype=pl.Int64
    ).to_numpy()


def _check_units(table: Table, recordings: np.ndarray, names: tuple[str, ...]) -> None:
    """Sees that a unit of the split holds recordings as a whole."""
    groups = table.groups
    if groups is None or table.recordings is None or not len(table):
        return
    cut = (recordings[1:] == recordings[:-1]) & (groups[1:] != groups[:-1])
    if cut.any():
        row = int(np.argmax(cut))
        which = f"recording '{names[recordings[row]]}'" if len(names) > 1 else "its only recording"
        raise DataError(
            f"Device {table.name}: {which} is of unit {groups[row]} and of unit {groups[row + 1]}, and a unit"
            " holds recordings as a whole: name the column of splits.unit in fleet.window.by, too."
        )


def _check_rates(table: Table, holes: np.ndarray) -> None:
    """Sees that no channel has a value in every second, third, ... row alone."""
    for i, name in enumerate(table.features):
        there = np.flatnonzero(~holes[:, i])
        if len(there) < 3 or len(there) > 0.6 * len(table):
            continue
        steps, counts = np.unique(np.diff(there), return_counts=True)
        usual = int(steps[counts.argmax()])
        if usual > 1 and counts.max() >= _REGULAR * (len(there) - 1) and (~holes).any(axis=1).mean() > 0.9:
            raise DataError(
                f"Device {table.name}: '{name}' has a value in one row of {usual} alone, and others have one in"
                " each: the channels of a window have one sampling rate. Leave it out of the channels, or"
                " resample it."
            )


def _filled(
    table: Table,
    holes: np.ndarray,
    recordings: np.ndarray,
    missing: Missing,
    gaps: Gaps,
    columns: list[int],
    order: np.ndarray,
) -> tuple[Table, np.ndarray]:
    """Applies the rule for missing values; returns the table, and which samples no window may hold.

    A channel without a value is none of the device's.
    """
    if missing.rule == "reject":
        row, column = np.argwhere(holes)[0]
        reason = gaps.reasons[gaps.codes[row, columns[column]]]
        raise DataError(
            f"Device {table.name}, row {order[row] + 1}: '{table.features[column]}' is {reason}, and so are"
            f" {holes.sum() - 1:,} more values: correct them, or say with missing_values what stands for them."
        )
    there = [i for i in range(holes.shape[1]) if not holes[:, i].all()]
    if not there:
        raise DataError(f"Device {table.name} has no value of any channel: leave it out, or give it data.")
    holes = holes[:, there]
    table = replace(
        table,
        features=tuple(table.features[i] for i in there),
        units=tuple(table.units[i] for i in there),
        x=np.where(holes, np.nan, table.x[:, there]),
    )
    if missing.rule == "drop":
        return replace(table, x=np.where(holes, 0.0, table.x)), np.asarray(holes.any(axis=1))
    x = table.x.copy()
    if missing.rule == "last":
        for start, end in bounds_of(recordings):
            x[start:end] = carried(x[start:end], holes[start:end])
    return replace(table, x=np.where(np.isnan(x), np.nanmedian(table.x, axis=0), x)), np.zeros(len(x), bool)


def bounds_of(values: np.ndarray) -> np.ndarray:
    """Returns the beginning and the end of each run of equal values, (runs, 2) int64."""
    if not len(values):
        return np.empty((0, 2), np.int64)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return np.column_stack([starts, np.append(starts[1:], len(values))])

"""Cuts the samples of a device into windows, and makes a row of features of each."""

from dataclasses import replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.missing.gaps import Gaps
from fedmetaalign.fleet.schema import Table, Windows
from fedmetaalign.fleet.windows.classes import classes_of
from fedmetaalign.fleet.windows.front import featured, signal_of
from fedmetaalign.fleet.windows.samples import Samples, samples_of
from fedmetaalign.fleet.windows.stretches import stretches_of
from fedmetaalign.fleet.windows.wide import of_points
from fedmetaalign.fleet.windows.wording import counted, listed
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window


class ShortError(DataError):
    """No recording is as long as a window."""


def windowed(
    table: Table,
    window: Window,
    gaps: Gaps | None = None,
    missing: Missing | None = None,
    empty: np.ndarray | None = None,
) -> Table:
    """Turns a device's samples into windows.

    A window lies within a recording, and holds samples that follow one another without a gap. Its time is that
    of its last sample; so is what its unit and its kind are, of samples of its class.

    Args:
        table: its rows are samples, or (in the wide form) windows; its features are the channels, and the
            column of the speed, or the points. Without `recordings` its `groups` are the recordings, and
            without these all rows are one.
        window: the recipe's section.
        gaps: which values are missing; by default none.
        missing: what is done about them; by default nothing is.
        empty: (rows,) bool, which have no label; by default none. A window without a label is `unlabelled`.

    Returns:
        The table of windows, in order of time where the table has times, else recording by recording.

    Raises:
        DataError: a recording cannot be cut so; the sentence says which, and what to do.
    """
    gaps = gaps or Gaps(np.zeros(table.x.shape, np.int16), ("",))
    missing = missing or table.missing
    empty = np.zeros(len(table), bool) if empty is None else empty
    if window.points:
        return of_points(table, window, gaps, missing, empty)
    samples = samples_of(table, window, gaps, missing, empty)
    stretches = stretches_of(samples, window)
    assert window.length is not None  # noqa: S101 - the recipe's validators saw to it
    spans, short = spans_of(samples, stretches.bounds, window.length, window.step)
    whole, broken = _whole(spans, samples)
    signal = signal_of(samples.table, window, missing, stretches.rate)
    if not len(whole):
        raise DataError(
            f"Device {table.name}: each of its {counted(len(spans), 'window')} of {window.length} samples holds"
            " a missing one, and missing_values"
            f' = "{missing.rule}" takes none that does: choose "median" or "last", or shorten the windows.'
        )
    own = samples.table
    y, kinds, labelled = classes_of(samples, whole, window.label)
    last = whole[:, 1] - 1
    x = featured(signal, own, whole)
    notes = (*_turned(table), *stretches.notes, *_short(table.name, short, window))
    rows = np.flatnonzero(labelled)
    found = Table(
        name=table.name,
        features=x.names,
        x=x.values,
        y=y,
        units=x.units,
        kinds=kinds,
        groups=None if table.groups is None else own.groups[last],  # type: ignore[index]
        reserved=None if table.reserved is None else own.reserved[last],  # type: ignore[index]
        source=table.source,
        classes=table.classes,
        normal=table.normal,
        times=None if own.times is None else own.times.take(last),
        missing=replace(missing, ranges={}),
        gaps=gaps.counts(table.features),
        dropped=broken if len(broken) else None,
        dialect=table.dialect,
        lacks=table.lacks,
        signal=signal,
        windows=Windows(
            np.array(samples.names)[samples.recordings[last]], whole, window.split_recordings, notes
        ),
    )
    if len(rows) < len(found):
        found = replace(found.take(rows), unlabelled=found.x[~labelled])
    return found.in_order()


def _turned(table: Table) -> tuple[str, ...]:
    units = dict(table.sensors)
    told = [f"'{name}' from {own.unit} into {units[name]}" for name, own in table.converted.items()]
    how = f"{table.name}: samples are turned before windows are cut, and its bundle takes them so"
    return (f"{how}: {listed(told)}.",) if told else ()


def spans_of(samples: Samples, bounds: np.ndarray, length: int, step: int) -> tuple[np.ndarray, list[str]]:
    """Returns the windows of all stretches, (windows, 2) int64, and the recordings that have none.

    Args:
        samples: of a device.
        bounds: (stretches, 2) int64, of each its first sample and the one after its last.
        length: samples of a window.
        step: from the beginning of one to that of the next.

    Raises:
        ShortError: no recording has one.
    """
    starts = [np.arange(start, end - length + 1, step) for start, end in bounds]
    first = np.concatenate([*starts, np.empty(0, np.int64)]).astype(np.int64)
    spans = np.column_stack([first, first + length])
    own = set(samples.recordings[first].tolist())
    short = [name for number, name in enumerate(samples.names) if number not in own]
    if len(first):
        return spans, short
    table, sizes = samples.table, bounds[:, 1] - bounds[:, 0]
    longest = int(sizes.argmax()) if len(sizes) else 0
    rows = int(sizes[longest]) if len(sizes) else 0
    parted = " without a gap" if len(bounds) > len(samples.names) else ""
    where = f"it has {rows:,} rows{parted}"
    if len(samples.names) > 1:
        named = samples.names[samples.recordings[bounds[longest, 0]]]
        where = f"its recording '{named}' has {rows:,} rows{parted}, and no other has more"
    raise ShortError(
        f"Device {table.name} has no window of {length} samples: {where}; lower fleet.window.length."
    )


def _whole(spans: np.ndarray, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Parts windows whose samples are all there from those with a broken one, by number."""
    before = np.concatenate([[0], np.cumsum(samples.broken)])
    broken = before[spans[:, 1]] > before[spans[:, 0]]
    return spans[~broken], np.flatnonzero(broken)


def _short(name: str, short: list[str], window: Window) -> tuple[str, ...]:
    if not short:
        return ()
    which = counted(len(short), "recording")
    have = "has" if len(short) == 1 else "have"
    return (f"{name}: {which} that {have} no {window.length} samples in a row left out ({listed(short)}).",)

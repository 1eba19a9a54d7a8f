"""Windows of samples that a bundle is to judge, as its device would cut them."""

import re
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.units import in_units
from fedmetaalign.fleet.files import Raw, filled, require
from fedmetaalign.fleet.missing.gaps import Gaps
from fedmetaalign.fleet.missing.values import readings_of
from fedmetaalign.fleet.patterns import like
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.fleet.windows.front import featured, made
from fedmetaalign.fleet.windows.samples import Samples, samples_of
from fedmetaalign.fleet.windows.stretches import stretches_of
from fedmetaalign.fleet.windows.wide import natural
from fedmetaalign.fleet.windows.windowed import spans_of
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window
from fedmetaalign.signals import Signal


@dataclass(frozen=True)
class Applied:
    """Windows of a table, recording by recording and in order of time.

    Attributes:
        x: (windows, features) float64; NaN where a sample is broken.
        rows: (windows,) int64, the row of the table with the last sample of each, from 1.
        recordings: (windows,) str, of each; None where nothing names recordings.
        times: of their last samples; None where nothing tells.
        gaps: which values of the table are missing.
        notes: what was found, sentences.
    """

    x: np.ndarray
    rows: np.ndarray
    recordings: np.ndarray | None
    times: Times | None
    gaps: Gaps
    notes: tuple[str, ...] = ()

    @property
    def starts(self) -> np.ndarray:
        """The first window of each recording, (recordings,) int64."""
        if self.recordings is None:
            return np.zeros(1, np.int64)
        return np.flatnonzero(np.append(True, self.recordings[1:] != self.recordings[:-1]))


class Ring:
    """Windows of samples that come in pieces, as the device cuts them.

    Attributes:
        rows: samples that there have been.
    """

    def __init__(self, signal: Signal) -> None:
        """Starts with no sample."""
        self._signal = signal
        self._kept = np.empty((0, len(signal.columns)))
        self._next = 0  # the first sample of the next window
        self.rows = 0

    def push(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes the next samples, (samples, columns), NaN where they are broken.

        Returns:
            The features of the windows that they complete, (windows, features) float64, and the number of the
            last sample of each, (windows,) int64, from 1.
        """
        length = self._signal.length
        self._kept, first = np.concatenate([self._kept, x]), self.rows - len(self._kept)
        self.rows += len(x)
        starts = np.arange(self._next, self.rows - length + 1, self._signal.stride)
        windows = np.empty((len(starts), length, x.shape[1]))
        for window, start in zip(windows, starts, strict=True):
            window[:] = self._kept[start - first : start - first + length]
            self._next = int(start) + self._signal.stride
        self._kept = self._kept[max(self._next - first, 0) :]
        features = made(self._signal, ("",) * x.shape[1], lambda part: windows[part], len(windows))
        return features.values, starts + length


def samples_of_raw(signal: Signal, missing: Missing, raw: Raw) -> np.ndarray:
    """Returns the samples of a table, (rows, columns) float64; NaN where one is broken.

    Raises:
        DataError: a column is not there, or holds a text that does not mean a missing value.
    """
    raw = in_units(raw, signal.columns, [""] * len(signal.columns))
    x, gaps = readings_of(raw, signal.columns, {}, replace(missing, ranges=dict(signal.ranges)))
    return np.where(gaps.codes > 0, np.nan, x)


def is_wide(signal: Signal, columns: list[str], points: tuple[str, ...]) -> bool:
    """Whether the rows of a table are windows, whose points are columns."""
    return bool(points) or not set(signal.columns) & set(columns)


def applied(
    signal: Signal,
    missing: Missing,
    raw: Raw,
    by: tuple[str, ...] = (),
    clock: Clock | None = None,
    points: tuple[str, ...] = (),
) -> Applied:
    """Cuts a table into windows.

    Args:
        signal: of the bundle.
        missing: its rule, which says what a missing value is.
        raw: a table whose columns are the signal's. Or whose rows are windows: then those of a channel are
            called as it is and numbered, or as `points` says.
        by: columns whose combination names the recording.
        clock: the column of the time, if any; windows then cross no gap.
        points: patterns of the points of each channel.

    Raises:
        DataError: a column is missing, or nothing is as long as a window.
    """
    raw = in_units(raw, signal.columns, [""] * len(signal.columns))
    missing = replace(missing, ranges=dict(signal.ranges))
    if is_wide(signal, raw.frame.columns, points):
        return _of_points(signal, missing, raw, points)
    require(raw, by)
    x, gaps = readings_of(raw, signal.columns, {}, missing)
    recordings = None
    if by:
        parts = [filled(raw, column) for column in by]
        recordings = np.array(["-".join(row) for row in zip(*parts, strict=True)], dtype=str)
    table = Table(
        raw.path.name,
        signal.columns,
        np.where(gaps.codes > 0, np.nan, x),
        np.zeros(len(x), np.int8),
        ("",) * len(signal.columns),
        recordings=recordings,
        times=times_of(raw, clock) if clock else None,
    )
    window = Window(length=signal.length, stride=signal.stride, front=("raw",), rate=signal.rate or None)
    samples = _ordered(table, window)
    stretches = stretches_of(samples, window)
    spans, _ = spans_of(samples, stretches.bounds, signal.length, signal.stride)
    last = spans[:, 1] - 1
    own = samples.table
    return Applied(
        featured(signal, own, spans).values,
        samples.rows[last] + 1,
        None if recordings is None else np.array(samples.names)[samples.recordings[last]],
        None if own.times is None else own.times.take(last),
        gaps,
        stretches.notes,
    )


def _ordered(table: Table, window: Window) -> Samples:
    """Puts samples in order, with broken ones as they are: a device has no others."""
    none = Gaps(np.zeros(table.x.shape, np.int16), ("",))
    return samples_of(table, window, none, Missing(), np.zeros(len(table), bool))


def _of_points(signal: Signal, missing: Missing, raw: Raw, points: tuple[str, ...]) -> Applied:
    columns = []
    for i, channel in enumerate(signal.columns):
        if points:
            own = [name for name in raw.frame.columns if like(points[min(i, len(points) - 1)], name)]
        else:
            own = [
                name for name in raw.frame.columns if re.fullmatch(rf"{re.escape(channel)}[_\-. ]?\d+", name)
            ]
        if len(own) != signal.length:
            pattern = points[min(i, len(points) - 1)] if points else f"{channel}0, {channel}1, ..."
            raise DataError(
                f"{raw.path} has no column '{channel}', whose samples are rows, and {len(own)} columns like"
                f" {pattern}, where a window has {signal.length} points."
            )
        columns.append(sorted(own, key=natural))
    names = tuple(name for own in columns for name in own)
    x, gaps = readings_of(raw, names, {}, missing)
    windows = np.where(gaps.codes > 0, np.nan, x).reshape(len(x), len(columns), -1).transpose(0, 2, 1)
    found = made(signal, ("",) * len(columns), lambda part: windows[part], len(x))
    return Applied(found.values, np.arange(1, len(x) + 1), None, None, gaps)

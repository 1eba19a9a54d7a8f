"""Windows of samples that a bundle is to judge, as its device would cut them."""

import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet import files
from fedmetaalign.fleet.columns.units import bare, carrying, in_units
from fedmetaalign.fleet.files import Options, Raw, coded, filled, require
from fedmetaalign.fleet.files.source import Source, opened
from fedmetaalign.fleet.missing.gaps import added
from fedmetaalign.fleet.missing.values import readings_of
from fedmetaalign.fleet.patterns import like
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.fleet.windows.front import made
from fedmetaalign.fleet.windows.samples import Samples
from fedmetaalign.fleet.windows.stretches import stretches_of
from fedmetaalign.fleet.windows.wide import natural
from fedmetaalign.fleet.windows.windowed import spans_of
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window
from fedmetaalign.signals import Signal, names


@dataclass(frozen=True)
class Part:
    """Some windows of one recording, in order of time.

    Attributes:
        x: (windows, features) float64; NaN where a sample is broken.
        rows: (windows,) int64, the row of the table with the last sample of each, from 1.
        begins: the first of them is the first of its recording.
        recording: its name; None where nothing names recordings.
        times: of their last samples; None where nothing tells.
    """

    x: np.ndarray
    rows: np.ndarray
    begins: bool = False
    recording: str | None = None
    times: Times | None = None


@dataclass(frozen=True)
class Stretch:
    """Rows that follow one another without a gap.

    Attributes:
        start: the first of them, in the order in which windows are cut.
        end: the one after the last; None where that is the table's.
        begins: they are the first of their recording.
        recording: its name; None where nothing names recordings.
    """

    start: int = 0
    end: int | None = None
    begins: bool = True
    recording: str | None = None


@dataclass(frozen=True)
class Plan:
    """Where in a table windows may lie.

    Attributes:
        stretches: in the order in which windows are cut, recording by recording and in order of time.
        order: (rows,) int64, the row of the table of each in that order; None where that is the table's.
        times: of the rows, in that order; None where nothing tells.
        notes: what was found, sentences.
    """

    stretches: tuple[Stretch, ...] = (Stretch(),)
    order: np.ndarray | None = None
    times: Times | None = None
    notes: tuple[str, ...] = ()


class Ring:
    """Windows of samples that come in pieces, as the device cuts them.

    Attributes:
        rows: samples that there have been.
    """

    def __init__(self, signal: Signal) -> None:
        """Starts with no sample."""
        self._signal = signal
        self._kept = np.empty((0, len(signal.columns)), np.float32)
        self._next = 0  # the first sample of the next window
        self.rows = 0

    def push(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes the next samples, (samples, columns), NaN where they are broken.

        Returns:
            The features of the windows that they complete, (windows, features) float64, and the number of the
            last sample of each, (windows,) int64, from 1.
        """
        length = self._signal.length
        with np.errstate(over="ignore"):
            kept = np.concatenate([self._kept, x.astype(np.float32)])
        first = self.rows - len(self._kept)
        self.rows += len(x)
        starts = np.arange(self._next, self.rows - length + 1, self._signal.stride)
        self._next += len(starts) * self._signal.stride
        self._kept = kept[max(self._next - first, 0) :]
        if not len(starts):
            return np.empty((0, len(names(self._signal)))), starts
        every = np.lib.stride_tricks.sliding_window_view(kept, length, axis=0).transpose(0, 2, 1)
        units = ("",) * x.shape[1]
        features = made(self._signal, units, lambda part: every[starts[part] - first], len(starts))
        return features.values, starts + length


def samples_of_raw(
    signal: Signal, missing: Missing, raw: Raw
) -> tuple[np.ndarray, Mapping[str, Mapping[str, int]]]:
    """Returns the samples of a table, (rows, columns) float64, NaN where one is broken, and how many are.

    Raises:
        DataError: a column is not there, or holds a text that does not mean a missing value.
    """
    channels = signal.columns
    raw = in_units(raw, channels, [""] * len(channels))
    x, gaps = readings_of(raw, channels, {}, replace(missing, ranges=dict(signal.ranges)))
    return np.where(gaps.codes > 0, np.nan, x), gaps.counts(channels)


class Applied:
    """A table's windows, cut piece by piece.

    Attributes:
        path: what a person knows the table by.
        plan: where they lie.
        dialect: how the table is written, as soon as some of it is read.
        lacking: how many of its values are missing so far, by channel and reason.
    """

    def __init__(
        self,
        signal: Signal,
        missing: Missing,
        table: Path | Source,
        options: Options | None = None,
        by: tuple[str, ...] = (),
        clock: Clock | None = None,
        points: tuple[str, ...] = (),
    ) -> None:
        """Looks at what tells recordings and times, of which it holds all.

        Args:
            signal: of the bundle.
            missing: its rule, which says what a missing value is.
            table: its columns are the signal's. Or its rows are windows: then those of a channel are called as
                it is and numbered, or as `points` says.
            options: how it is written.
            by: columns whose combination names the recording.
            clock: the column of the time, if any; windows then cross no gap.
            points: patterns of the points of each channel.

        Raises:
            DataError: it cannot be read, or nothing is as long as a window.
        """
        self._signal, self._points = signal, points
        self._missing = replace(missing, ranges=dict(signal.ranges))
        self._source = table if isinstance(table, Source) else opened(table)
        self._options = options
        self.path = self._source.path
        self.dialect = ""
        self.lacking: dict[str, Counter[str]] = {}
        self.plan = Plan()
        told = (*by, *(clock.columns if clock else ()))
        if told and not points:
            self.plan = _plan(signal, files.load(self._source, told, told, options), by, clock)

    def __iter__(self) -> Generator[Part, None, None]:
        """Yields the windows.

        Raises:
            DataError: a column is missing, or nothing is as long as a window.
        """
        order, rows, some = self.plan.order, 0, False
        places = iter(self.plan.stretches)
        place, ring = next(places), Ring(self._signal)
        begins = True
        with closing(self._pieces()) as pieces:
            for raw in pieces:
                self.dialect = raw.dialect
                if is_wide(self._signal, raw.frame.columns, self._points):
                    x, first = self._of_points(raw), rows
                    rows += len(x)
                    yield Part(x, np.arange(first + 1, rows + 1), begins=not some)
                    some = True
                    continue
                x, counts = samples_of_raw(self._signal, self._missing, raw)
                self.lacking = added(self.lacking, counts)
                end = rows + len(x)
                while rows < end:
                    until = end if place.end is None else min(end, place.end)
                    features, last = ring.push(x[len(x) - (end - rows) : len(x) - (end - until)])
                    rows, last = until, last + place.start - 1
                    if len(last):
                        own = last if order is None else order[last]
                        times = None if self.plan.times is None else self.plan.times.take(last)
                        yield Part(features, own + 1, begins, place.recording, times)
                        some, begins = True, False
                    if rows == place.end and (following := next(places, None)) is not None:
                        place, ring = following, Ring(self._signal)
                        begins = begins or place.begins
        if not some:
            _too_short(self._source.path.name, self._signal, rows)

    def _pieces(self) -> Generator[Raw, None, None]:
        if self.plan.order is None:
            yield from files.pieces(self._source, self._needed, (), self._options)
        else:
            yield files.load(self._source, self._needed, (), self._options).take(self.plan.order)

    def _needed(self, there: Sequence[str]) -> Sequence[str]:
        channels = self._signal.columns
        found = carrying(there, channels.__contains__)
        return found if not self._points and {*channels} <= {*bare(found)} else there

    def _of_points(self, raw: Raw) -> np.ndarray:
        """Returns the features of windows whose points are columns."""
        columns = [_points_of(raw, self._signal, self._points, i) for i in range(len(self._signal.columns))]
        x, gaps = readings_of(raw, tuple(name for own in columns for name in own), {}, self._missing)
        windows = np.where(gaps.codes > 0, np.nan, x).reshape(len(x), len(columns), -1).transpose(0, 2, 1)
        return made(self._signal, ("",) * len(columns), lambda part: windows[part], len(x)).values


def is_wide(signal: Signal, columns: list[str], points: tuple[str, ...]) -> bool:
    """Whether the rows of a table are windows, whose points are columns."""
    return bool(points) or not set(signal.columns) & {*bare(columns)}


def _plan(signal: Signal, raw: Raw, by: tuple[str, ...], clock: Clock | None) -> Plan:
    """Finds the stretches of a table.

    Args:
        signal: of the bundle.
        raw: the columns that name recordings and tell the time.
        by: those that name recordings.
        clock: those that tell the time.

    Raises:
        DataError: a name or a time is missing, or nothing is as long as a window.
    """
    require(raw, by)
    rows = raw.frame.height
    texts: tuple[str, ...] = (raw.path.name,)
    recordings = np.zeros(rows, np.int64)
    if by:
        values, places = coded([filled(raw, column) for column in by])
        first = np.unique(places, return_index=True)[1]  # they are numbered in the order in which they begin
        texts = tuple(values[np.argsort(first)].tolist())
        recordings = np.argsort(np.argsort(first))[places]
    times = times_of(raw, clock) if clock else None
    order = np.lexsort((np.arange(rows) if times is None else times.values, recordings))
    samples = _samples_of(raw.path.name, texts, recordings[order], order, times and times.take(order))
    window = Window(length=signal.length, stride=signal.stride, front=("raw",), rate=signal.rate or None)
    found = stretches_of(samples, window)
    if not (found.bounds[:, 1] - found.bounds[:, 0] >= signal.length).any():
        spans_of(samples, found.bounds, signal.length, signal.stride)  # raises
    numbers = samples.recordings[found.bounds[:, 0]]
    begin = np.append(True, numbers[1:] != numbers[:-1])
    stretches = tuple(
        Stretch(start, end, bool(is_first), texts[number] if by else None)
        for (start, end), number, is_first in zip(
            found.bounds.tolist(), numbers.tolist(), begin.tolist(), strict=True
        )
    )
    in_order = (np.diff(order) == 1).all()
    return Plan(stretches, None if in_order else order, samples.table.times, found.notes)


def _too_short(name: str, signal: Signal, rows: int) -> None:
    """Raises the error of a table without a window."""
    none = np.zeros(rows, np.int64)
    samples = _samples_of(name, (name,), none, np.arange(rows), None)
    spans_of(samples, np.array([[0, rows]]), signal.length, signal.stride)


def _samples_of(
    name: str, texts: tuple[str, ...], recordings: np.ndarray, rows: np.ndarray, times: Times | None
) -> Samples:
    """Rows of which nothing is known but where they lie."""
    none = np.zeros(len(rows), bool)
    table = Table(name, (), np.empty((len(rows), 0)), np.zeros(len(rows), np.int8), (), times=times)
    return Samples(table, recordings, texts, rows, none, none)


def _points_of(raw: Raw, signal: Signal, points: tuple[str, ...], i: int) -> list[str]:
    """The columns of a channel's points, in order."""
    channel = signal.columns[i]
    pattern = points[min(i, len(points) - 1)] if points else f"{channel}0, {channel}1, ..."
    numbered = re.compile(rf"{re.escape(channel)}[_\-. ]?\d+")
    own = [name for name in raw.frame.columns if (like(pattern, name) if points else numbered.fullmatch(name))]
    if len(own) != signal.length:
        raise DataError(
            f"{raw.path} has no column '{channel}', whose samples are rows, and {len(own)} columns like"
            f" {pattern}, where a window has {signal.length} points."
        )
    return sorted(own, key=natural)

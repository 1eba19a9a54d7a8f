"""What a device's data is: one value that every source (file, partition, simulator) produces."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import OwnUnit
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.model.target import BINARY, Known, Target, known
from fedmetaalign.signals.window import Signal


@dataclass(frozen=True)
class Times:
    """The times of a table's rows.

    Attributes:
        values: (rows,) int64: microseconds since 1970, in UTC where the zone is known; of numbers that only
            count on, millionths of theirs.
        dated: whether they are dates, and no mere count.
        notes: what whoever reads the table has to know of them, clauses.
    """

    values: np.ndarray
    dated: bool = True
    notes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray | slice) -> "Times":
        """Returns those of some rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class Windows:
    """Where in the recordings of a device the windows are that are the rows of its table.

    Attributes:
        recordings: (rows,) str, of each window its recording.
        spans: (rows, 2) int64, of each window its first sample and the one after its last; the samples of all
            recordings are numbered one after the other, in order of time.
        parted: whether a recording may be on both sides of a split.
        notes: what whoever reads the table has to know of it, sentences.
    """

    recordings: np.ndarray
    spans: np.ndarray
    parted: bool = False
    notes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray | slice) -> "Windows":
        """Returns those of some rows."""
        return replace(self, recordings=self.recordings[rows], spans=self.spans[rows])


@dataclass(frozen=True)
class Table:
    """The labelled samples of one device, in raw units, in the order of their source.

    Attributes:
        name: the device's name; unique in a fleet and safe as a folder name.
        features: names of the features, one a column of `x`.
        x: (rows, features) float64, in the units of `units`; finite but for what is `missing`.
        y: (rows,) int8, the index of each sample's class.
        units: physical unit of each feature, "" where it has none or is unknown.
        kinds: (rows,) str, the kind of each sample ("normal", "A-G", "tool wear", ...), for partitions and
            stratification by more than the label; None where the source does not tell.
        groups: (rows,) str, samples that belong together (one waveform, one machine): a split by units
            never cuts a group; None where the source does not tell.
        reserved: (rows,) bool, rows that the source itself sets aside for testing; None where the split
            decides.
        categories: for a text feature, the texts that are 0, 1, 2, ...
        source: file that the rows were read from; None for a simulator.
        files: all of them, where it is more than one.
        classes: the names of the classes that the source tells, which may be fewer than the fleet's.
        normal: those that mean no fault.
        unlabelled: (rows, features) float64, what it has measured besides and nobody has labelled; None where
            every row has a label.
        times: of its rows, which are in their order; None where the source tells none.
        missing: which values are missing, and what is done about it; `x` and `unlabelled` hold NaN until
            `gaps.filled` has put something in the place of what is missing.
        gaps: by feature how many values its source lacks, for each reason.
        dropped: (dropped,) int64, rows that were left out since a value is missing; None where none was.
        fill: (measured,) what has been put in; empty before that, and where the rule fills nothing.
        flags: of each of the last features the one that it says of whether it is missing, 1 or 0.
        dialect: how `source` was read, where that had to be guessed.
        lacks: features that others have and `source` may have under another name, a sentence each.
        converted: of features that are in another unit here the one that its source has them in.
        format: how `source` is written, as far as that is stated or proven.
        holes: (rows, measured) bool, which values of `x` have taken the place of one that was missing; None
            where none has.
        unlabelled_holes: the same of `unlabelled`.
        recordings: (rows,) str, where rows are samples of a signal, the recording of each; None where they are
            none, or all of one.
        signal: how samples became features, where rows are windows of a signal.
        windows: where these lie in their recordings; None where a row of the source was a window.
    """

    name: str
    features: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    units: tuple[str, ...]
    kinds: np.ndarray | None = None
    groups: np.ndarray | None = None
    reserved: np.ndarray | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Path | None = None
    classes: tuple[str, ...] = BINARY.classes
    normal: tuple[str, ...] = BINARY.classes[:1]
    unlabelled: np.ndarray | None = None
    times: Times | None = None
    missing: Missing = field(default_factory=Missing)
    gaps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dropped: np.ndarray | None = None
    fill: tuple[float, ...] = ()
    flags: tuple[int, ...] = ()
    dialect: str = ""
    lacks: tuple[str, ...] = ()
    converted: Mapping[str, OwnUnit] = field(default_factory=dict)
    format: TableFormat = field(default_factory=TableFormat)
    holes: np.ndarray | None = None
    unlabelled_holes: np.ndarray | None = None
    recordings: np.ndarray | None = None
    signal: Signal | None = None
    windows: Windows | None = None
    files: tuple[Path, ...] = ()

    @property
    def sensors(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each feature."""
        return tuple(zip(self.features, self.units, strict=True))

    @property
    def faults(self) -> np.ndarray:
        """Which samples are faults, (rows,) int8: 0 normal and 1 fault."""
        return np.asarray([name not in self.normal for name in self.classes], np.int8).take(self.y)

    @property
    def known(self) -> Known:
        """What its labels tell."""
        return known(self.faults)

    def measured(self, rows: np.ndarray) -> np.ndarray:
        """Returns the inputs of some rows and of all without a label, (rows, features) float64."""
        # Joining nothing would change the order in memory, and with it the last bits of a mean.
        return self.x[rows] if self.unlabelled is None else np.concatenate([self.x[rows], self.unlabelled])

    def filled_in(self, rows: np.ndarray) -> np.ndarray | None:
        """Returns which of what `measured` returns, flags aside, has been filled in; None where nothing has."""
        if self.holes is None:
            return None
        own = self.holes[rows]
        return own if self.unlabelled_holes is None else np.concatenate([own, self.unlabelled_holes])

    @property
    def strata(self) -> np.ndarray:
        """The classes, (rows,) int8, normal ones first: in an order that no other device has a say in."""
        order = sorted(self.classes, key=lambda name: name not in self.normal)
        return np.asarray([order.index(name) for name in self.classes], np.int8).take(self.y)

    def labels(self, target: Target) -> np.ndarray:
        """Returns the index of each sample's class among those of a fleet, (rows,) float32.

        Raises:
            DataError: the fleet has no such class.
        """
        if target.outputs == 1:
            return self.faults.astype(np.float32)
        own = [name for i, name in enumerate(self.classes) if (self.y == i).any()]
        if strange := [name for name in own if name not in target.classes]:
            raise DataError(
                f"{self.name} has samples of class '{strange[0]}', which no device of the fleet had when it"
                " agreed on the classes: name it in `classes`, or leave them out."
            )
        places = [target.classes.index(name) if name in own else -1 for name in self.classes]
        return np.asarray(places, np.float32).take(self.y)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray | slice, name: str | None = None) -> "Table":
        """Returns the given rows, in the given order, as a table of its own; those without a label stay out.

        Those of a slice are not copied.
        """
        return replace(
            self,
            unlabelled=None,
            name=self.name if name is None else name,
            x=self.x[rows],
            y=self.y[rows],
            kinds=None if self.kinds is None else self.kinds[rows],
            groups=None if self.groups is None else self.groups[rows],
            reserved=None if self.reserved is None else self.reserved[rows],
            holes=None if self.holes is None else self.holes[rows],
            unlabelled_holes=None,
            times=None if self.times is None else self.times.take(rows),
            recordings=None if self.recordings is None else self.recordings[rows],
            windows=None if self.windows is None else self.windows.take(rows),
        )

    def in_order(self) -> "Table":
        """Returns the same rows in order of time, those of one time as they were."""
        if self.times is None or (np.diff(self.times.values) >= 0).all():
            return self
        return replace(self.take(np.argsort(self.times.values, kind="stable")), unlabelled=self.unlabelled)

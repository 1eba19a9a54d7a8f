"""Where a recipe's devices come from: tables, a table that is cut up, or a simulator."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from fedmetaalign.model.rules import LARGEST, Rule
from fedmetaalign.recipe.section import (
    Count,
    Number,
    Positive,
    Section,
    ShareOrNone,
    Value,
)
from fedmetaalign.recipe.simulated import SIMULATORS, WINDOWS, window_of
from fedmetaalign.recipe.window import Window
from fedmetaalign.system import plugins


def one_of(own: Sequence[str], group: str) -> Callable[[str], str]:
    """Returns what checks that a name is one of this package's, or that of a plug-in of a group."""

    def check(name: str) -> str:
        known = [*own, *plugins.names(group)]
        if name not in known:
            *others, last = map(repr, known)
            raise ValueError(f"= {name!r} must be {', '.join(others)} or {last}")
        return name

    return check


class Partition(Section):
    """Cuts one table into devices with unlike mixtures of classes (Hsu et al., 2019, the paper's [12])."""

    kind: Literal["dirichlet"] = "dirichlet"
    by: tuple[str, ...] = ()
    """Columns whose combination is a sample's class; empty: the label."""
    count: Count = 10
    samples: Count = 100
    """Samples of each device, its test set included."""
    alpha: Positive = 0.3
    test: Literal["own", "all"] = "own"
    """Test on the device's own mixture, or on every class alike."""
    minimum: Count = 10
    """Least number of normal and of faulty samples of a device; a mixture with fewer is drawn again."""
    gain: ShareOrNone = 0.0
    """Each device's sensors read too much or too little, by factors drawn from 1 - gain to 1 + gain."""


def _encoding(name: str) -> str:
    """Checks the name of an encoding."""
    try:
        codecs.lookup(name)
        "".encode(name)
    except (LookupError, UnicodeError, TypeError):
        raise ValueError(f"= {name!r} must be an encoding, such as 'utf-8', 'cp1252' or 'utf-16'") from None
    return name


class Csv(Section):
    """How text tables are written; what is not given is sniffed of each file."""

    separator: Literal[",", ";", "\t", "|", " ", ":"] | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal["", ".", ",", " ", "'"] | None = None
    """What parts thousands; "" for nothing."""
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    comment: Annotated[str, Field(max_length=5)] | None = None
    """What lines that are not read begin with; "" where there are none."""
    header: Count | None = None
    """The line that names the columns, as an editor counts."""
    unit_line: bool | None = None
    """The line under the header holds units."""

    @model_validator(mode="after")
    def _unlike(self) -> "Csv":
        if self.decimal is not None and self.decimal in (self.thousands, self.separator):
            raise ValueError(
                f"has decimal = {self.decimal!r}, and uses it for something else: change one of them"
            )
        return self


def _among(feature: str, columns: Sequence[str]) -> bool:
    """Whether a feature is one of some columns, or such as their patterns stand for."""
    return any(feature == column or fnmatchcase(feature, column.replace("[", "[[]")) for column in columns)


class Source(Section):
    """Where one or more devices come from: a table, several tables, one table cut up, or a simulator."""

    name: str | None = None
    """The device's name, or the beginning of the names of several; default: the file's or simulator's."""
    table: str | None = None
    """A file; with `*` or `?` in its name, every file that matches is a device of its own."""
    label: str | tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    """Columns; `*` and `?` stand for any characters, and then for no column that has another meaning."""
    positive: tuple[Value, ...] | Mapping[str, tuple[Value, ...]] = ()
    """Values of the label column that mean a fault, where it is not 0/1; of several columns each one's."""
    normal: tuple[Value, ...] = ()
    """Values of the label that mean no fault; each other one is a kind of fault, and a class of its own."""
    classes: tuple[Value, ...] = ()
    """All kinds, normal ones too, in their order; default: those that occur in the fleet, sorted."""
    kinds: bool = False
    """Make a class of each combination of several label columns, or of each kind that a simulator knows."""
    categories: Mapping[str, tuple[str, ...]] = {}
    """Text columns among the features and their values in rising order: they become 0, 1, 2, ..."""
    units: Mapping[str, str] = {}
    """Default: what a line under the header says."""
    csv: Csv | None = None
    """How text tables are written, where that is not to be sniffed; default: that of the fleet."""
    missing_values: Rule = "median"
    """What is done about values that are missing: an error; the row goes; the median of the training samples,
    or the last good value, stands for them; or the median does, and a further input says so."""
    missing_texts: tuple[str, ...] = ()
    """What means a missing value in a table, beside empty cells, NA, NaN, No Data and the like."""
    ranges: Mapping[str, tuple[Number, Number]] = {}
    """By feature the least and the greatest value that its sensor can have: what lies outside is missing."""
    time: str | tuple[str, str] | None = None
    """Column of the time of each row, or the two of date and time of day; rows are put in its order."""
    time_format: Annotated[str, Field(min_length=1)] | None = None
    """How the time is written, as strptime has it ("%d/%m/%Y %H:%M"), or "s", "ms", "us", "ns" since 1970; by
    default the column tells."""
    zone: Annotated[str, Field(min_length=1)] | None = None
    """The time zone of stamps that name none, such as "Europe/Berlin"."""
    device: str | tuple[str, ...] = ()
    """Columns whose combination names the device: one table cut into devices."""
    only: Mapping[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = {}
    """By column the values of the rows that are read, the others are left out; in texts `*` and `?` stand for
    any characters."""
    partition: Partition | None = None
    window: Window | None = None
    """What its rows are, if they are samples of a signal, or windows of one."""
    simulator: Annotated[str, AfterValidator(one_of(SIMULATORS, plugins.SIMULATORS))] | None = None
    """A simulator of `fleet.simulators`, or of another package."""
    count: Count = 10
    """Devices to simulate."""
    samples: Count = 400
    """Samples of each simulated device, its test set included."""

    @model_validator(mode="before")
    @classmethod
    def _of_signals(cls, keys: Any) -> Any:
        """Adds the window of a simulator of signals, or what of it the recipe leaves open."""
        if isinstance(keys, Mapping) and keys.get("simulator") in WINDOWS:
            given = keys.get("window") or {}
            if isinstance(given, Mapping):
                return {**keys, "window": window_of(keys["simulator"], given)}
        return keys

    @model_validator(mode="after")
    def _windowed(self) -> "Source":
        """Takes the columns of a signal for the features of its table; sees that all goes together."""
        window = self.window
        if window is None:
            return self
        if not self.features and window.columns and self.table is not None:
            object.__setattr__(self, "features", window.columns)
        if strange := [f for f in self.features if window.columns and not _among(f, window.columns)]:
            raise ValueError(
                f"has the feature {strange[0]!r}, and in its window {'points' if window.points else 'channels'}"
                " that are others: with a window these are all its features"
            )
        if self.missing_values == "flag":
            raise ValueError(
                'has missing_values = "flag", and a window, whose features have no input to say so: take'
                ' "drop", "median" or "last"'
            )
        if self.categories:
            raise ValueError("has categories, and a window, whose channels are numbers: drop one of them")
        if window.files is not None and not any(c in (self.table or "") for c in "*?"):
            raise ValueError(
                'has window.files, which says what the names of files tell, and no table such as "*.csv" that'
                " matches several: give it one"
            )
        if window.points and self.simulator is not None:
            raise ValueError("has a simulator, which knows no columns of points: give window a length")
        if self.partition is not None and self.partition.gain:
            raise ValueError(
                "has partition.gain, by which sensors read too much or too little, and windows, whose features"
                " do not grow with it: drop one of them"
            )
        if self.partition is not None and not window.points:
            raise ValueError(
                "has a partition, which deals out rows, and a window of several rows: cut the table by `device`"
            )
        own = {
            *self.features,
            *window.recordings,
            *((self.label,) if isinstance(self.label, str) else self.label or ()),
        }
        if window.speed in own:
            raise ValueError(f"has window.speed = {window.speed!r}, a column with another meaning: drop one")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> "Source":
        if self.table is not None and self.simulator is not None:
            raise ValueError("names both a table and a simulator: keep one of them")
        if self.table is not None and (self.label is None or not self.features):
            raise ValueError(f"table {self.table!r} needs the keys label and features")
        if self.time is None and (self.time_format is not None or self.zone is not None):
            raise ValueError("has time_format or zone, which say how `time` is written: name that column, too")
        if self.time is not None and self.simulator is not None:
            raise ValueError("has a simulator, which knows no time: drop `time`")
        if self.only and self.simulator is not None:
            raise ValueError("has a simulator, which has no columns to choose rows by: drop `only`")
        if self.device and self.partition is not None:
            raise ValueError("has both device and partition: a table is cut in one way")
        return self

    @model_validator(mode="after")
    def _ranges(self) -> "Source":
        for name, (low, high) in self.ranges.items():
            if not -LARGEST <= low < high <= LARGEST:
                raise ValueError(
                    f"has ranges.{name} = [{low}, {high}]: the first has to be less than the second"
                )
            patterns = any("*" in feature or "?" in feature for feature in self.features)
            if self.features and not patterns and name not in self.features:
                raise ValueError(f"has a range for {name!r}, which is none of its features")
            if name in self.categories:
                raise ValueError(f"has a range for {name!r}, which is text")
        return self

    @model_validator(mode="after")
    def _one_meaning(self) -> "Source":
        """Sees that the keys about the label say one thing."""
        names = (self.label,) if isinstance(self.label, str) else self.label or ()
        several = len(names) > 1
        if self.positive and (self.normal or self.classes or self.kinds):
            raise ValueError(
                "has positive, which knows fault and no fault alone: drop it, or normal, classes and kinds"
            )
        if isinstance(self.positive, Mapping) and set(self.positive) != set(names):
            raise ValueError(f"has positive for {[*self.positive]}, and the label is {[*names]}")
        if self.positive and several and not isinstance(self.positive, Mapping):
            raise ValueError(
                "has several label columns and one list of positive values: give each column its own, such as"
                f" positive = {{ {names[0]} = {[*self.positive]} }}"
            )
        if self.kinds and not several and self.simulator is None:
            raise ValueError("has kinds = true, which needs several label columns, or a simulator")
        if self.simulator is not None and (self.normal or self.classes):
            raise ValueError(
                "has a simulator, whose classes are known: drop normal and classes, and set kinds = true"
            )
        if self.normal and several and not self.kinds:
            raise ValueError(
                "has normal and several label columns, whose combinations it names: set kinds = true, too"
            )
        if self.classes and not (self.normal or self.kinds):
            raise ValueError("has classes and no normal, which says which of them mean no fault")
        return self

"""Raw columns become tables: what a column means, and what is wrong with a cell that cannot be used."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError, DataErrors, Problem, noting
from fedmetaalign.fleet.choice import Only, chosen
from fedmetaalign.fleet.columns.units import bare, carrying, without_units
from fedmetaalign.fleet.files import (
    CERTAIN,
    Options,
    Raw,
    cells,
    coded,
    filled,
    listed,
    load,
    require_all,
)
from fedmetaalign.fleet.files.names import nearest
from fedmetaalign.fleet.files.styles import proven
from fedmetaalign.fleet.labels.classes import (
    Labels,
    Positive,
    Value,
    canonical,
    fault_or_not,
    kinds_of,
    positive_of,
    unlabelled,
)
from fedmetaalign.fleet.missing.gaps import Gaps, settled
from fedmetaalign.fleet.missing.values import features_in_pieces, features_of
from fedmetaalign.fleet.patterns import is_pattern, like
from fedmetaalign.fleet.placement import converted
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.times.clock import ordered, times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.model.target import BINARY
from fedmetaalign.recipe import Window
from fedmetaalign.recipe.fleet import Conversion


@dataclass(frozen=True)
class Columns:
    """Which columns of a file mean what.

    Attributes:
        label: a column of 0/1 (also 0.0/1.0, true/false), or of any values with `positive` or `normal`; or
            several columns, where a row is a fault if any of them is set (nonzero, true, or in `positive`).
        features: the columns that become `Table.x`, in this order; `*` and `?` stand for any characters, and
            then for those of the file, in its order, that have no other meaning.
        positive: the values of the label that mean fault, of several columns those of each by its name; empty
            for a label that is 0/1 already.
        normal: the values that mean no fault; each other value is a kind of fault.
        classes: all values of a label of kinds, in their order; empty for those that occur, sorted.
        kinds: several label columns make a class of each combination of their values.
        categories: for a text feature its values, which become 0, 1, 2, ... in the order given.
        kind: column, or columns to be joined, that become `Table.kinds`; with several label columns their
            combination ("1001") unless given.
        group: column that becomes `Table.groups`.
        clock: what tells the time of a row.
        units: physical unit of a feature; for one that is not named here what a line of units in the file says.
        csv: what is known of how a text is written; the rest is sniffed.
        missing: which values are missing, and what is done about it.
        others: columns with a meaning of another kind, such as the one that a table is cut by.
        only: by column the values of the rows that are read; its columns are among the `others`.
        lacking: a feature that the file does not have is one that the device lacks, and no error.
        window: what rows are, where they are samples or windows of a signal; the features are its channels,
            and then the column of the speed.
        conversions: of units of samples, before they become windows.
        spoken: units that the recipe speaks of, which a column may have as the last word of its name.
    """

    label: str | tuple[str, ...]
    features: tuple[str, ...]
    positive: Positive = ()
    normal: tuple[Value, ...] = ()
    classes: tuple[Value, ...] = ()
    kinds: bool = False
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str | tuple[str, ...] | None = None
    group: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    missing: Missing = field(default_factory=Missing)
    csv: Options = field(default_factory=Options)
    others: tuple[str, ...] = ()
    only: Only = field(default_factory=dict)
    lacking: bool = False
    window: Window | None = None
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    spoken: tuple[str, ...] = ()

    @property
    def recordings(self) -> tuple[str, ...]:
        """The columns that name a recording."""
        return self.window.recordings if self.window else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, also where there is one."""
        return names_of(self.label)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that are no numbers."""
        several = (*self.clock.columns, *self.others, *self.categories, *self.recordings)
        return (*self.labels, *names_of(self.kind), *names_of(self.group), *several)

    def needed(self, there: Sequence[str]) -> Sequence[str]:
        """The columns of a file that are read: all where one is missing, to say what there is."""
        named = {*self.texts, *self.units, *(name for name in self.features if not is_pattern(name))}
        patterns = [name for name in self.features if is_pattern(name)]

        def is_named(name: str) -> bool:
            return name in named or any(like(each, name) for each in patterns)

        found = carrying(there, is_named, self.spoken)
        return found if named <= {*bare(found, self.spoken)} else there

    @property
    def named(self) -> tuple[Value, ...]:
        """The values of the label that the recipe names, and that have to occur."""
        return self.normal or tuple(value for name in self.labels for value in positive_of(self.positive, name))


def read(path: Path, columns: Columns, name: str) -> Table:
    """Reads one device's table from a file.

    A value of `columns.positive` or `columns.normal` may be missing from it, since a device may have had no
    such sample yet; `unseen` tells whether the whole fleet misses it.

    Args:
        path: the file, as in `load`.
        columns: what the columns mean.
        name: name of the device, made safe by `safe_name`.

    Returns:
        The table, rows in the order of the file; those whose label cells are all empty are its `unlabelled`.

    Raises:
        DataError: the file, its header, or a cell that is needed cannot be used.
    """
    return of_raw(loaded(path, columns), columns, name)


def loaded(path: Path, columns: Columns) -> Raw:
    """Returns the rows of a file that are wanted, and the columns that mean something.

    Raises:
        DataError: the file cannot be read, or has no such rows.
    """
    later = not columns.only  # rows are chosen with all their columns
    return chosen(load(path, columns.needed, columns.texts, columns.csv, later=later), columns.only)


def of_raw(raw: Raw, columns: Columns, name: str) -> Table:
    """As `read`, of a file that has been loaded."""
    return device_of(*table_of(raw, columns, safe_name(name), strict=False), columns)


def unseen(columns: Columns, paths: Iterable[Path]) -> tuple[str, ...]:
    """The values of `columns.positive` or `columns.normal` that are the label of no row of any of the files.

    A fleet that was put together by `read` has misspelt them, or has no such sample on any device. Files that
    cannot be read say nothing, here.
    """
    missing, said = {canonical(value): str(value) for value in columns.named}, False
    for path in paths if missing else ():
        try:
            raw = load(path, columns.labels, columns.labels, columns.csv)
            if columns.normal and len(columns.labels) > 1:
                found = [*coded([filled(raw, name) for name in columns.labels])[0]]
            else:
                found = [cell for name in columns.labels for cell in cells(raw, name).drop_nulls().unique()]
        except DataError:
            continue
        said = True
        missing = {key: value for key, value in missing.items() if key not in map(canonical, found)}
    return tuple(missing.values()) if said else ()


def safe_name(text: str) -> str:
    """Makes a name that every file system takes as a folder: letters, digits, `.`, `_`, `-`.

    Accents are dropped and every run of other characters becomes one `_`; text of which nothing is left
    (another script) becomes "device-" and a hash of it, so that the name does not depend on other devices.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain.strip()).lstrip(".").rstrip(".")[:100]
    if name.strip("._-"):
        return name
    return f"device-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def names_of(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """One name, several, or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def device_of(table: Table, empty: np.ndarray, gaps: Gaps, columns: Columns) -> Table:
    """Deals with what a device's rows lack, cuts windows, and takes rows without a label out of its samples.

    Args:
        table: with all rows of the device.
        empty: (rows,) bool, which have no label.
        gaps: what they lack.
        columns: what is done about it, and what the rows are.

    Raises:
        DataError: nothing is left.
    """
    missing = columns.missing
    if columns.window is not None:
        there = {name: ends for name, ends in missing.ranges.items() if name in table.features}
        table = converted(replace(table, missing=replace(missing, ranges=there)), columns.conversions)
        return windowed(table, columns.window, gaps, table.missing, empty)
    if table.times is not None:
        order = np.argsort(table.times.values, kind="stable")
        table, empty, gaps = ordered(table), empty[order], gaps.take(order)
    table, empty = settled(table, empty, gaps, missing)
    if not empty.any():
        return table
    more = None if table.holes is None else table.holes[empty]
    return replace(table.take(np.flatnonzero(~empty)), unlabelled=table.x[empty], unlabelled_holes=more)


def _labels(raw: Raw, columns: Columns, *, strict: bool) -> tuple[Labels, np.ndarray]:
    """Returns the classes of a file's rows, and which have none, (rows,) bool: those have to be left out."""
    empty, raw = unlabelled(raw, columns.labels)
    kinds = bool(columns.normal or columns.kinds)
    if empty.all():
        none = Labels(np.zeros(len(empty), np.int8), (), (), None)
        return none if kinds else replace(none, classes=BINARY.classes, normal=BINARY.classes[:1]), empty
    if kinds:
        return kinds_of(raw, columns.labels, columns.normal, columns.classes, strict=strict), empty
    return fault_or_not(raw, columns.labels, columns.positive, strict=strict), empty


def table_of(raw: Raw, columns: Columns, name: str, *, strict: bool) -> tuple[Table, np.ndarray, Gaps]:
    """Returns a table of all rows, which of them have no label, (rows,) bool, and what they lack."""
    labels, path = columns.labels, raw.path
    raw, in_header = without_units(raw, columns.features, columns.spoken)
    features = matching(raw.frame.columns, columns)
    needed = (*labels, *features, *names_of(columns.kind), *names_of(columns.group), *columns.recordings)
    require_all(raw, needed if columns.lacking else (*needed, *columns.categories, *columns.units))
    if columns.features and not features:
        raise DataError(
            f"{path} has none of the features {listed(columns.features)}; it has {listed(raw.frame.columns)}"
        )
    if not labels or not features:
        raise DataError(f"{path}: no {'feature' if labels else 'label'} is named; name at least one column")
    for index, feature in enumerate(features):
        if feature in labels:
            raise DataError(
                f"{path}: column '{feature}' is the label and cannot be a feature; remove it from one"
            )
        if feature in features[:index]:
            raise DataError(f"{path}: column '{feature}' is named twice among the features; remove one of them")
    problems: list[Problem] = []
    with noting(problems):
        found, empty = _labels(raw, columns, strict=strict)
    with noting(problems):
        x, gaps = _features(raw, features, columns)
    with noting(problems):
        times = times_of(raw, columns.clock) if columns.clock.columns else None
    if problems:
        raise DataErrors(problems)
    units = {**columns.units, **raw.units, **in_header}  # what the file says holds
    kinds = found.kinds
    if columns.kind is not None:
        kinds = _joined(raw, names_of(columns.kind))
    table = Table(
        name=name,
        features=features,
        x=x,
        y=found.y,
        units=tuple(units.get(feature, "") for feature in features),
        kinds=kinds,
        groups=None if columns.group is None else _joined(raw, (columns.group,)),
        categories={f: tuple(map(str, columns.categories[f])) for f in features if f in columns.categories},
        source=path,
        classes=found.classes,
        normal=found.normal,
        times=times,
        dialect="" if raw.dialect in CERTAIN else raw.dialect,
        lacks=tuple(_misspelt(raw, columns.features)),
        format=_format(raw, columns, features),
        recordings=_joined(raw, columns.recordings) if columns.recordings else None,
    )
    return table, empty, gaps


def _features(raw: Raw, features: tuple[str, ...], columns: Columns) -> tuple[np.ndarray, Gaps]:
    """Returns the features as `features_of` does, also of a file that holds them back."""
    if raw.later is None:
        return features_of(raw, features, columns.categories, columns.missing)
    pieces = (without_units(piece, columns.features, columns.spoken)[0] for piece in raw.later.pieces())
    try:
        return features_in_pieces(pieces, raw.frame.height, features, columns.categories, columns.missing)
    except DataError:
        whole = without_units(raw.later.whole(), columns.features, columns.spoken)[0]
        return features_of(whole, features, columns.categories, columns.missing)


def _format(raw: Raw, columns: Columns, features: Sequence[str]) -> TableFormat:
    """Returns what is stated of how a file is written, and the decimal sign that its cells prove."""
    stated = {key: value for key, value in asdict(columns.csv).items() if value is not None}
    own = {} if raw.text is None else {**proven(raw, features), **stated}
    return TableFormat(own, columns.clock.columns, columns.clock.form, columns.clock.zone)


def _joined(raw: Raw, columns: Sequence[str]) -> np.ndarray:
    """Returns the combination of some columns, (rows,) str: "1001" of single characters, else "a-b"."""
    parts = [filled(raw, column) for column in columns]
    joint = "" if all(part.str.len_chars().max() == 1 for part in parts) else "-"
    values, places = coded(parts, joint)
    return np.asarray(values[places])


def _misspelt(raw: Raw, features: Sequence[str]) -> Iterator[str]:
    """Yields which features the file lacks and has a column that is called nearly so, and is no feature."""
    others = [column for column in raw.frame.columns if column not in features]
    for feature in features:
        if feature not in raw.frame.columns and (near := nearest(feature, others)) is not None:
            yield f"{raw.path} has no column '{feature}'; did you mean '{near}'?"


def matching(there: Sequence[str], columns: Columns) -> tuple[str, ...]:
    """Returns the features of a file with some columns: what patterns stand for, and without what it lacks."""
    named = {
        *columns.labels,
        *columns.clock.columns,
        *names_of(columns.kind),
        *names_of(columns.group),
        *columns.others,
        *columns.recordings,
    }
    found: list[str] = []
    for feature in columns.features:
        if feature in there or not is_pattern(feature):
            found += [feature] * (feature in there or not columns.lacking)
        else:
            found += [name for name in there if like(feature, name) and name not in (*named, *found)]
    return tuple(found)

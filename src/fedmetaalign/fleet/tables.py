"""Raw columns become tables: what a column means, and what is wrong with a cell that cannot be used."""

import hashlib
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.classes import (
    Labels,
    Positive,
    Value,
    canonical,
    fault_or_not,
    first,
    kind_names,
    kinds_of,
    positive_of,
    unlabelled,
)
from fedmetaalign.fleet.files import CERTAIN, Options, Raw, cells, filled, listed, load, require
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.target import BINARY


@dataclass(frozen=True)
class Columns:
    """Which columns of a file mean what.

    Attributes:
        label: a column of 0/1 (also 0.0/1.0, true/false), or of any values with `positive` or `normal`; or
            several columns, where a row is a fault if any of them is set (nonzero, true, or in `positive`).
        features: the columns that become `Table.x`, in this order.
        positive: the values of the label that mean fault, of several columns those of each by its name; empty
            for a label that is 0/1 already.
        normal: the values that mean no fault; each other value is a kind of fault.
        classes: all values of a label of kinds, in their order; empty for those that occur, sorted.
        kinds: several label columns make a class of each combination of their values.
        categories: for a text feature its values, which become 0, 1, 2, ... in the order given.
        kind: column, or columns to be joined, that become `Table.kinds`; with several label columns their
            combination ("1001") unless given.
        group: column that becomes `Table.groups`.
        units: physical unit of a feature; for one that is not named here what a line of units in the file says.
        csv: what is known of how a text is written; the rest is sniffed.
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
    csv: Options = field(default_factory=Options)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, also where there is one."""
        return names_of(self.label)

    @property
    def needed(self) -> tuple[str, ...]:
        """All columns of a file that are read."""
        others = (*names_of(self.kind), *names_of(self.group), *self.categories, *self.units)
        return (*self.labels, *self.features, *others)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns that are to be numbers."""
        return tuple(feature for feature in self.features if feature not in self.categories)

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
    return of_raw(load(path, columns.needed, columns.numbers, columns.csv), columns, name)


def of_raw(raw: Raw, columns: Columns, name: str) -> Table:
    """As `read`, of a file that has been loaded."""
    return _apart(*_table(raw, columns, safe_name(name), strict=False))


def read_many(path: Path, columns: Columns, by: tuple[str, ...], name: str | None = None) -> list[Table]:
    """Cuts one table into devices, one for each combination of values of some columns.

    Args:
        path: as in `read`.
        columns: as in `read`.
        by: the columns to cut by.
        name: put in front of every device's name where given.

    Returns:
        The devices sorted by name, which is made of the cut values ("Pump-New_York") and is unique, also on
        a file system that ignores case. Rows keep the order of the file.

    Raises:
        DataError: as `read`, nothing to cut by, or a value that is named and never occurs.
    """
    if not by:
        raise DataError(f"{path}: no column is named to cut the table into devices by; name at least one")
    raw = load(path, (*by, *columns.needed), columns.numbers, columns.csv)
    whole, empty = _table(raw, columns, safe_name(raw.path.stem), strict=True)
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(*(filled(raw, column) for column in by), strict=True)):
        rows[key].append(row)
    tables: list[Table] = []
    taken: set[str] = set()
    for key in sorted(rows):
        device = unique = safe_name("-".join((*([name] if name else []), *key)))
        number = 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{device}-{number}"
        taken.add(unique.casefold())
        tables.append(_apart(whole.take(np.array(rows[key]), unique), empty[rows[key]]))
    return sorted(tables, key=lambda table: table.name)


def unseen(columns: Columns, paths: Iterable[Path]) -> tuple[str, ...]:
    """The values of `columns.positive` or `columns.normal` that are the label of no row of any of the files.

    A fleet that was put together by `read` has misspelt them, or has no such sample on any device.

    Raises:
        DataError: a file cannot be read, or lacks a label column.
    """
    missing = {canonical(value): str(value) for value in columns.named}
    for path in paths if missing else ():
        raw = load(path, columns.labels, (), columns.csv)
        if columns.normal and len(columns.labels) > 1:
            found = [*kind_names(raw, columns.labels, bits=False)]
        else:
            found = [cell for name in columns.labels for cell in cells(raw, name).drop_nulls().unique()]
        missing = {key: value for key, value in missing.items() if key not in map(canonical, found)}
    return tuple(missing.values())


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


def _apart(table: Table, empty: np.ndarray) -> Table:
    """Takes the rows without a label, (rows,) bool, out of a table's samples."""
    if not empty.any():
        return table
    return replace(table.take(np.flatnonzero(~empty)), unlabelled=table.x[empty])


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


def _table(raw: Raw, columns: Columns, name: str, *, strict: bool) -> tuple[Table, np.ndarray]:
    """Returns a table of all rows, and which of them have no label, (rows,) bool."""
    labels, features, path = columns.labels, columns.features, raw.path
    require(raw, (*labels, *features, *names_of(columns.kind), *names_of(columns.group)))
    require(raw, (*columns.categories, *columns.units))
    if not labels or not features:
        raise DataError(f"{path}: no {'feature' if labels else 'label'} is named; name at least one column")
    for index, feature in enumerate(features):
        if feature in labels:
            raise DataError(
                f"{path}: column '{feature}' is the label and cannot be a feature; remove it from one"
            )
        if feature in features[:index]:
            raise DataError(f"{path}: column '{feature}' is named twice among the features; remove one of them")
    found, empty = _labels(raw, columns, strict=strict)
    x = features_of(raw, features, columns.categories)
    kinds = found.kinds
    if columns.kind is not None:
        parts = [filled(raw, column) for column in names_of(columns.kind)]
        joint = "" if all(part.str.len_chars().max() == 1 for part in parts) else "-"
        kinds = np.array([joint.join(row) for row in zip(*parts, strict=True)], dtype=str)
    table = Table(
        name=name,
        features=features,
        x=x,
        y=found.y,
        units=tuple(columns.units.get(feature, raw.units.get(feature, "")) for feature in features),
        kinds=kinds,
        groups=None if columns.group is None else filled(raw, columns.group).to_numpy().astype(str),
        categories={f: tuple(map(str, columns.categories[f])) for f in features if f in columns.categories},
        source=path,
        classes=found.classes,
        normal=found.normal,
        dialect="" if raw.dialect in CERTAIN else raw.dialect,
    )
    return table, empty


def features_of(raw: Raw, names: tuple[str, ...], categories: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Returns the named columns as numbers, (rows, features) float64, all finite.

    Raises:
        DataError: a column is missing, or a cell is neither a number nor among its column's categories.
    """
    require(raw, names)
    values = [
        _ordinals(raw, name, categories[name]) if name in categories else _numbers(raw, name) for name in names
    ]
    return np.stack(values, axis=1)


def _numbers(raw: Raw, column: str) -> np.ndarray:
    """A column as (rows,) float64, all finite."""
    text = cells(raw, column)
    series = raw.frame[column]
    numeric = series.dtype.is_numeric() or series.dtype == pl.Boolean
    values = (series if numeric else text).cast(pl.Float64, strict=False).to_numpy()
    if (wrong := ~np.isfinite(values)).any():
        row = int(np.argmax(wrong))
        where, cell = raw.where(row, column), text[row]
        if cell is None:
            filled(raw, column)  # raises: the first wrong cell is the first empty one
        if canonical(cell) in ("nan", math.inf, -math.inf):
            raise DataError(
                f"{where} holds '{cell}', which is not a finite number; correct it or remove the row"
            )
        raise DataError(
            f"{where} holds '{cell[:40]}', which is not a number; correct it, leave the column out of the "
            "features, or list its values as categories"
        )
    return np.asarray(values, np.float64)


def _ordinals(raw: Raw, column: str, categories: tuple[str, ...]) -> np.ndarray:
    """A text column as (rows,) float64: the place of each value among its categories."""
    place = {canonical(category): float(index) for index, category in enumerate(categories)}
    text = filled(raw, column)
    for cell in text.unique(maintain_order=True):
        if canonical(cell) not in place:
            raise DataError(
                f"{raw.where(first(text, cell), column)} holds '{cell[:40]}', which is not among its "
                f"categories {listed(categories)}; add it or correct the cell"
            )
    return np.array([place[canonical(cell)] for cell in text], np.float64)

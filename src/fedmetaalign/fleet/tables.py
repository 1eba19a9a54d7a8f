"""Raw columns become tables: what a column means, and what is wrong with a cell that cannot be used."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.classes import (
    Labels,
    Positive,
    Value,
    canonical,
    fault_or_not,
    kind_names,
    kinds_of,
    positive_of,
    unlabelled,
)
from fedmetaalign.fleet.files import Raw, cells, filled, load, require
from fedmetaalign.fleet.gaps import Gaps, settled
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.values import features_of
from fedmetaalign.model.missing import Missing
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
        units: physical unit of a feature; "" for one that is not named here.
        missing: which values are missing, and what is done about it.
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
    missing: Missing = field(default_factory=Missing)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, also where there is one."""
        return names_of(self.label)

    @property
    def named(self) -> tuple[Value, ...]:
        """The values of the label that the recipe names, and that have to occur."""
        return self.normal or tuple(value for name in self.labels for value in positive_of(self.positive, name))


def read(path: Path, columns: Columns, name: str) -> Table:
    """Reads one device's table from a .csv or .parquet file.

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
    return of_raw(load(path), columns, name)


def of_raw(raw: Raw, columns: Columns, name: str) -> Table:
    """As `read`, of a file that has been loaded."""
    return _device(*_table(raw, columns, safe_name(name), strict=False), columns)


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
    raw = load(path)
    if not by:
        raise DataError(f"{path}: no column is named to cut the table into devices by; name at least one")
    require(raw, by)
    whole, empty, gaps = _table(raw, columns, safe_name(raw.path.stem), strict=True)
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
        own = np.array(rows[key])
        tables.append(_device(whole.take(own, unique), empty[own], gaps.take(own), columns))
    return sorted(tables, key=lambda table: table.name)


def unseen(columns: Columns, paths: Iterable[Path]) -> tuple[str, ...]:
    """The values of `columns.positive` or `columns.normal` that are the label of no row of any of the files.

    A fleet that was put together by `read` has misspelt them, or has no such sample on any device.

    Raises:
        DataError: a file cannot be read, or lacks a label column.
    """
    missing = {canonical(value): str(value) for value in columns.named}
    for path in paths if missing else ():
        require(raw := load(path), columns.labels)
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


def _device(table: Table, empty: np.ndarray, gaps: Gaps, columns: Columns) -> Table:
    """Deals with what a device's rows lack, and takes those without a label out of its samples."""
    table, empty = settled(table, empty, gaps, columns.missing)
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


def _table(raw: Raw, columns: Columns, name: str, *, strict: bool) -> tuple[Table, np.ndarray, Gaps]:
    """Returns a table of all rows, which of them have no label, (rows,) bool, and what they lack."""
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
    x, gaps = features_of(raw, features, columns.categories, columns.missing)
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
        units=tuple(columns.units.get(feature, "") for feature in features),
        kinds=kinds,
        groups=None if columns.group is None else filled(raw, columns.group).to_numpy().astype(str),
        categories={f: tuple(map(str, columns.categories[f])) for f in features if f in columns.categories},
        source=path,
        classes=found.classes,
        normal=found.normal,
    )
    return table, empty, gaps

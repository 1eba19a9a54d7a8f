"""Raw columns become tables: what a column means, and what is wrong with a cell that cannot be used."""

import hashlib
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw, cells, filled, listed, load, require
from fedmetaalign.fleet.schema import Table

_TRUTH = (0.0, 1.0, "false", "true")


@dataclass(frozen=True)
class Columns:
    """Which columns of a file mean what.

    Attributes:
        label: a column of 0/1 (also 0.0/1.0, true/false), or of any values with `positive`; or several
            columns, where a row is a fault if any of them is set (nonzero, true, or in `positive`).
        features: the columns that become `Table.x`, in this order.
        positive: the values of the label that mean fault; empty for a label that is 0/1 already. Values are
            compared as numbers where they are numbers ("1" is 1.0), else as text.
        categories: for a text feature its values, which become 0, 1, 2, ... in the order given.
        kind: column, or columns to be joined, that become `Table.kinds`; with several label columns their
            combination ("1001") unless given.
        group: column that becomes `Table.groups`.
        units: physical unit of a feature; "" for one that is not named here.
    """

    label: str | tuple[str, ...]
    features: tuple[str, ...]
    positive: tuple[str | int | float, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str | tuple[str, ...] | None = None
    group: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, also where there is one."""
        return names_of(self.label)


def read(path: Path, columns: Columns, name: str) -> Table:
    """Reads one device's table from a .csv or .parquet file.

    A value of `columns.positive` may be missing from it, since a device may have had no such fault yet;
    `unseen` tells whether the whole fleet misses it.

    Args:
        path: the file, as in `load`.
        columns: what the columns mean.
        name: name of the device, made safe by `safe_name`.

    Returns:
        The table, rows in the order of the file.

    Raises:
        DataError: the file, its header, or a cell that is needed cannot be used.
    """
    return _table(load(path), columns, safe_name(name), strict=False)


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
        DataError: as `read`, nothing to cut by, or a positive value that never occurs.
    """
    raw = load(path)
    if not by:
        raise DataError(f"{path}: no column is named to cut the table into devices by; name at least one")
    require(raw, by)
    whole = _table(raw, columns, safe_name(raw.path.stem), strict=True)
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
        tables.append(whole.take(np.array(rows[key]), unique))
    return sorted(tables, key=lambda table: table.name)


def unseen(columns: Columns, paths: Iterable[Path]) -> tuple[str, ...]:
    """The values of `columns.positive` that occur in no label column of any of the files.

    A fleet that was put together by `read` has misspelt them, or has no such fault on any device.

    Raises:
        DataError: a file cannot be read, or lacks a label column.
    """
    missing = {_canonical(value): str(value) for value in columns.positive}
    for path in paths if missing else ():
        require(raw := load(path), columns.labels)
        for column in columns.labels:
            for cell in cells(raw, column).drop_nulls().unique():
                missing.pop(_canonical(cell), None)
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


def truth(
    raw: Raw, labels: tuple[str, ...], positive: tuple[str | int | float, ...] = (), *, strict: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are faults.

    Args:
        raw: the file.
        labels: one column, or several of which any means fault.
        positive: the values that mean fault, as in `Columns`.
        strict: whether every positive value has to occur in the file.

    Returns:
        y (rows,) int8, and the combination of the columns (rows,) str, one "0" or "1" for each.

    Raises:
        DataError: an empty label, values that are not binary, or (`strict`) a positive value that never occurs.
    """
    wanted = {_canonical(value): value for value in positive}
    seen: dict[str, float | str] = {}
    parts = []
    for column in labels:
        text = filled(raw, column)
        values = {cell: _canonical(cell) for cell in text.unique(maintain_order=True)}
        seen.update(values)
        for cell, value in values.items():
            a_number = len(labels) > 1 and isinstance(value, float)
            if value == "nan" or not (wanted or a_number or value in _TRUTH):
                raise DataError(
                    f"{raw.where(_first(text, cell), column)} is a label but not 0/1: the column holds "
                    f"{listed(list(values))}; say with `positive` which values mean fault"
                )
        is_set = {cell: v in wanted if wanted else v not in (0.0, "false") for cell, v in values.items()}
        parts.append(text.replace_strict(is_set, return_dtype=pl.Boolean).cast(pl.Int8).to_numpy())
    if strict and (unknown := [value for key, value in wanted.items() if key not in seen.values()]):
        raise DataError(
            f"{raw.path}, column {listed(labels)} never holds {listed(unknown)}, which `positive` names; "
            f"it holds {listed(list(seen))}, so name one of these"
        )
    combination = reduce(np.char.add, [part.astype("U1") for part in parts])
    return np.asarray(np.max(parts, axis=0), np.int8), combination


def _table(raw: Raw, columns: Columns, name: str, *, strict: bool) -> Table:
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
    y, combination = truth(raw, labels, columns.positive, strict=strict)
    x = features_of(raw, features, columns.categories)
    kinds = combination if len(labels) > 1 else None
    if columns.kind is not None:
        parts = [filled(raw, column) for column in names_of(columns.kind)]
        joint = "" if all(part.str.len_chars().max() == 1 for part in parts) else "-"
        kinds = np.array([joint.join(row) for row in zip(*parts, strict=True)], dtype=str)
    return Table(
        name=name,
        features=features,
        x=x,
        y=y,
        units=tuple(columns.units.get(feature, "") for feature in features),
        kinds=kinds,
        groups=None if columns.group is None else filled(raw, columns.group).to_numpy().astype(str),
        categories={f: tuple(map(str, columns.categories[f])) for f in features if f in columns.categories},
        source=path,
    )


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
        if _canonical(cell) in ("nan", math.inf, -math.inf):
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
    place = {_canonical(category): float(index) for index, category in enumerate(categories)}
    text = filled(raw, column)
    for cell in text.unique(maintain_order=True):
        if _canonical(cell) not in place:
            raise DataError(
                f"{raw.where(_first(text, cell), column)} holds '{cell[:40]}', which is not among its "
                f"categories {listed(categories)}; add it or correct the cell"
            )
    return np.array([place[_canonical(cell)] for cell in text], np.float64)


def _canonical(value: object) -> float | str:
    """One value for every way to write it: 1, 1.0, "1" and "1e0" are the same, True and "true" too."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text.lower() if text.lower() in _TRUTH else text
    return "nan" if math.isnan(number) else number


def _first(text: pl.Series, cell: str) -> int:
    """The first row that holds a text."""
    return int((text == cell).arg_max() or 0)

"""Which class a row is of: what its label columns say, as fault or no fault or as one of several kinds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.evaluation.reported import LONGEST_NAME, steers
from fedmetaalign.fleet.files import Raw, cells, coded, filled, listed
from fedmetaalign.model.target import BINARY, MOST_CLASSES

Value = str | int | float
"""As a recipe names it; values are compared as numbers where they are numbers ("1" is 1.0), else as text."""

Positive = tuple[Value, ...] | Mapping[str, tuple[Value, ...]]
"""The values that mean fault: of the one label column, or of each of several by its name."""

_TRUTH = (0.0, 1.0, "false", "true")
_UNSET = (0.0, "false")


@dataclass(frozen=True)
class Labels:
    """The classes of a file's rows.

    Attributes:
        y: (rows,) int8, the index of each row's class.
        classes: the names of the classes.
        normal: those that mean no fault.
        kinds: (rows,) str, the combination of several label columns; None for one.
    """

    y: np.ndarray
    classes: tuple[str, ...]
    normal: tuple[str, ...]
    kinds: np.ndarray | None


def unlabelled(raw: Raw, columns: Sequence[str]) -> tuple[np.ndarray, Raw]:
    """Returns which rows have no label at all, (rows,) bool, and the file with that of another row there.

    The file that comes back can be read as one that is labelled throughout, with no label that it had not; a
    row that lacks some of several labels lacks them still.
    """
    texts = [cells(raw, column) for column in columns]
    empty = np.all([text.is_null().to_numpy() for text in texts], axis=0)
    if not empty.any() or empty.all():
        return empty, raw
    where, row = pl.Series(~empty), int(np.argmin(empty))
    filled_up = [
        text.zip_with(where, pl.Series(text.name, [text[row]] * len(text), pl.String)) for text in texts
    ]
    return empty, replace(raw, frame=raw.frame.with_columns(filled_up))


def fault_or_not(raw: Raw, columns: Sequence[str], positive: Positive = (), *, strict: bool = True) -> Labels:
    """Reads labels that say whether a row is a fault: a row is one if any of the columns is set.

    Args:
        raw: the file.
        columns: each of 0/1 (also 0.0/1.0, true/false), one of several also of any numbers, which are set
            unless they are 0.
        positive: the values that mean that a column is set; empty for columns as above.
        strict: whether every positive value has to occur in the file.

    Raises:
        DataError: an empty label, values that are not binary, or (`strict`) a positive value that never occurs.
    """
    parts = []
    for column in columns:
        wanted = {canonical(value): value for value in positive_of(positive, column)}
        text = filled(raw, column)
        values = {cell: canonical(cell) for cell in text.unique(maintain_order=True)}
        for cell, value in values.items():
            a_number = len(columns) > 1 and isinstance(value, float)
            if value == "nan" or not (wanted or a_number or value in _TRUTH):
                raise DataError(
                    f"{raw.where(first(text, cell), column)} is a label but not 0/1: the column holds "
                    f"{listed(list(values))}; say with `normal` which values mean no fault, or with `positive` "
                    "which mean fault"
                )
        if strict and (unknown := [value for key, value in wanted.items() if key not in values.values()]):
            raise DataError(_never_holds(f"{raw.path}, column '{column}'", unknown, "positive", list(values)))
        is_set = {cell: v in wanted if wanted else v not in _UNSET for cell, v in values.items()}
        parts.append(text.replace_strict(is_set, return_dtype=pl.Boolean).cast(pl.Int8).to_numpy())
    y = np.asarray(reduce(np.maximum, parts), np.int8)
    if len(columns) == 1:
        return Labels(y, BINARY.classes, BINARY.classes[:1], None)
    combination = reduce(np.char.add, [part.astype("U1") for part in parts])
    return Labels(y, BINARY.classes, BINARY.classes[:1], combination)


def kinds_of(
    raw: Raw,
    columns: Sequence[str],
    normal: Sequence[Value],
    classes: Sequence[Value] = (),
    *,
    strict: bool = True,
) -> Labels:
    """Reads labels that say of which kind a row is: each value of a column is a class, or of several together.

    Args:
        raw: the file.
        columns: one, or several.
        normal: the classes that mean no fault. Empty for several columns of 0/1, whose classes are called
            "0110"; without a one it is normal. Where it is given, they are called "low-open".
        classes: all classes, in their order; empty for those of the file, sorted.
        strict: whether every normal value has to occur in the file.

    Raises:
        DataError: an empty label, one that cannot be a class, one that `classes` lacks or has twice, nothing
            that says what is normal, or (`strict`) a normal value that never occurs.
    """
    found, y = _kinds(raw, columns, bits=not normal)
    what = f"{raw.path}, column {listed(columns)}"
    if len(found) > MOST_CLASSES:
        raise DataError(too_many(what, len(found)))
    if any(canonical(name) == "nan" for name in found):
        raise DataError(f"{what} is a label and holds 'nan', which is no class; correct it or remove the row")
    if strict and (unknown := [value for value in normal if canonical(value) not in map(canonical, found)]):
        raise DataError(_never_holds(what, unknown, "normal", list(found)))
    named = [text_of(value) for value in classes] or sorted(map(str, found), key=in_order)
    if unfit := [name for name in (*named, *found) if len(name) > LONGEST_NAME or steers(name)]:
        raise DataError(
            f"{what} has the class {unfit[0][:40]!r}, and the name of one has no control character and at most"
            f" {LONGEST_NAME} characters; correct the cells, or name another column"
        )
    place = {canonical(name): i for i, name in enumerate(named)}
    if twice := [name for i, name in enumerate(named) if place[canonical(name)] != i]:
        raise DataError(f"{what}: `classes` names {listed(twice)} twice; name each class once")
    if beyond := [name for name in found if canonical(name) not in place]:
        raise DataError(f"{what} holds {listed(beyond)}, which `classes` lacks; add it or correct the cells")
    index = np.array([place[canonical(name)] for name in found], np.int8)
    healthy = {canonical(value) for value in normal or ("0" * len(columns),)}
    return Labels(
        index[y],
        tuple(named),
        tuple(name for name in named if canonical(name) in healthy),
        found[y] if len(columns) > 1 else None,
    )


def _kinds(raw: Raw, columns: Sequence[str], *, bits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns what some columns say together ("0110" for `bits`, else "low-open"), as `coded` does.

    Raises:
        DataError: an empty cell, or for `bits` one that is not 0/1.
    """
    if bits:
        return coded([pl.Series(fault_or_not(raw, (name,)).y).cast(pl.String) for name in columns], "")
    return coded([filled(raw, column) for column in columns])


def positive_of(positive: Positive, column: str) -> tuple[Value, ...]:
    """Returns the values of a label column that mean fault."""
    return tuple(positive.get(column, ())) if isinstance(positive, Mapping) else tuple(positive)


def canonical(value: object) -> float | str:
    """One value for every way to write it: 1, 1.0, "1" and "1e0" are the same, True and "true" too."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text.lower() if text.lower() in _TRUTH else text
    return "nan" if math.isnan(number) else number


def text_of(value: Value) -> str:
    """What a class is called that a recipe names: 2.0 is "2", as in a table."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def in_order(name: str) -> tuple[bool, float, str]:
    """What classes are sorted by: numbers by their value, then all others as text."""
    value = canonical(name)
    return (False, value, name) if isinstance(value, float) else (True, 0.0, name)


def too_many(what: str, count: int) -> str:
    """Says that a label has more values than there can be classes."""
    return (
        f"{what} is a label with {count:,} values, and there can be {MOST_CLASSES} classes: an identifier taken"
        " for a label, surely; name another column"
    )


def first(text: pl.Series, cell: str) -> int:
    """The first row that holds a text."""
    return int((text == cell).arg_max() or 0)


def _never_holds(what: str, unknown: Sequence[Value], key: str, values: Sequence[str]) -> str:
    return (
        f"{what} never holds {listed(unknown)}, which `{key}` names; it holds {listed(values)}, so name one of"
        " these"
    )

"""Cells become numbers; those that hold none are gaps, or errors where nothing may be missing."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.classes import canonical, first
from fedmetaalign.fleet.files import Raw, cells, filled, listed, require
from fedmetaalign.fleet.gaps import Gaps, range_reason
from fedmetaalign.model.missing import Missing

MEAN_MISSING = frozenset(
    {
        *("na", "n/a", "n.a.", "<na>", "#n/a", "#na", "null", "#null!", "none", "nil", "nan", "-nan", "nat"),
        *("1.#qnan", "1.#ind", "-1.#ind", "missing", "unknown", "-", "--", "---", ".", "?", "??", "nd", "n/d"),
        *("#value!", "#div/0!", "#ref!", "#num!", "#name?", "err", "error", "bad", "bad input", "bad data"),
        *("no data", "no result", "not available", "no good data", "comm fail", "i/o timeout", "pt created"),
        *("shutdown", "scan off", "scan timeout", "intf shut", "not connect", "calc failed", "out of serv"),
        *("under range", "over range", "configure"),
    }
)
"""Texts that mean a missing value, in small letters: of spreadsheets, pandas, R, SQL, and historians."""

_HISTORIAN = re.compile(r"\[-?\d+\] ")  # such as "[-11059] No Good Data For Calculation"
_TEXTS = 20  # of a column that are counted one by one
_MOST_DAMAGED = 0.5  # a column with more of other texts than numbers is no column of numbers


def features_of(
    raw: Raw, names: tuple[str, ...], categories: Mapping[str, tuple[str, ...]], missing: Missing
) -> tuple[np.ndarray, Gaps]:
    """Returns the named columns as numbers, and which of them are missing.

    A cell is missing if it is empty, says so (`MEAN_MISSING`, `missing.texts`), is infinite or outside its
    range, or is no number.

    Args:
        raw: a file.
        names: of columns.
        categories: for a text feature its values, which become 0, 1, 2, ...
        missing: which texts and ranges there are; under the rule `reject` nothing may be missing.

    Returns:
        (rows, features) float64, all finite but where a value is missing, and the gaps.

    Raises:
        DataError: a column is missing, is text for the most part, or has a text that is not among its
            categories; or (under `reject`) a cell is missing.
    """
    x, gaps = _features(raw, names, categories, missing, 1.0 if missing.rule == "reject" else _MOST_DAMAGED)
    if missing.rule == "reject" and len(gaps.reasons) > 1:
        raise _rejected(raw, names, gaps, missing)
    return x, gaps


def readings_of(
    raw: Raw, names: tuple[str, ...], categories: Mapping[str, tuple[str, ...]], missing: Missing
) -> tuple[np.ndarray, Gaps]:
    """As `features_of`, of samples that a bundle is to judge: also under `reject` a value may be missing.

    A text that does not mean so is an error there, as it is in a table.
    """
    damaged = 0.0 if missing.rule == "reject" else 1.0
    return _features(raw, names, categories, replace(missing, rule="drop"), damaged)


def _features(
    raw: Raw,
    names: tuple[str, ...],
    categories: Mapping[str, tuple[str, ...]],
    missing: Missing,
    damaged: float,
) -> tuple[np.ndarray, Gaps]:
    """As `features_of`, whatever is missing; at most this share of a column's values may be damaged."""
    require(raw, names)
    x = np.empty((len(raw.frame), len(names)), np.float64, order="F")
    why = np.zeros(x.shape, np.int16, order="F")
    reasons: dict[str, int] = {"": 0}
    for i, name in enumerate(names):
        if name in categories:
            x[:, i], found = _ordinals(raw, name, categories[name], missing)
        else:
            x[:, i], found = _numbers(raw, name, missing, damaged)
        for reason, rows in found.items():
            why[rows, i] = reasons.setdefault(reason, len(reasons))
    return np.ascontiguousarray(x), Gaps(why, tuple(reasons))


def _numbers(raw: Raw, column: str, missing: Missing, most: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A column as (rows,) float64, and of each reason the rows, (rows,) int64, that hold no good number."""
    series = raw.frame[column]
    numeric = series.dtype.is_numeric() or series.dtype == pl.Boolean
    text = series if numeric else cells(raw, column)
    values = np.array(text.cast(pl.Float64, strict=False).to_numpy(), np.float64)
    named = {canonical(text) for text in missing.texts}
    values[np.isin(values, [number for number in named if isinstance(number, float)])] = np.nan
    bad = ~np.isfinite(values)
    found: dict[str, np.ndarray] = {}
    if bad.any():
        rows, text = np.flatnonzero(bad), cells(raw, column)
        found, damaged = _reasons(text.gather(rows), rows, named)
        there = len(text) - len(rows) + len(damaged)
        if damaged and not most:
            raise _no_number(raw, damaged[0], column)
        if len(damaged) > most * there:
            raise DataError(
                f"{raw.where(damaged[0], column)} holds '{text[damaged[0]][:40]}', which is not a number, as"
                f" {len(damaged):,} of the {there:,} values of the column are not; leave it out of the"
                " features, or list its values as categories"
            )
    outside = missing.broken(values[:, None], (column,))[:, 0] & ~bad
    if outside.any() and (column in missing.ranges or missing.rule != "reject"):
        found[range_reason(missing, column)] = np.flatnonzero(outside)
    return values, found


def _reasons(
    text: pl.Series, rows: np.ndarray, named: set[str | float]
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Sorts cells that hold no good number by what they say.

    Args:
        text: (cells,) as `cells` has them.
        rows: (cells,) that they are of.
        named: further texts that mean a missing value.

    Returns:
        Of each reason its rows; and the rows whose text is damaged, since it does not mean anything.
    """
    texts = text.to_list()
    damaged = [row for cell, row in zip(texts, rows.tolist(), strict=True) if not _says(cell, named)]
    common = {cell for cell, _ in Counter(texts).most_common(_TEXTS)}
    found: dict[str, list[int]] = {}
    for cell, row in zip(texts, rows.tolist(), strict=True):
        reason = "empty" if cell is None else f"'{cell[:40]}'" if cell in common else "other texts"
        found.setdefault(reason, []).append(row)
    return {reason: np.array(where) for reason, where in found.items()}, damaged


def _says(cell: str | None, named: set[str | float]) -> bool:
    """Tells whether a cell that holds no good number is known to mean a missing value."""
    if cell is None or cell.casefold() in MEAN_MISSING or _HISTORIAN.match(cell):
        return True
    value = canonical(cell)
    return value in named or (isinstance(value, float) and not math.isfinite(value))


def _ordinals(
    raw: Raw, column: str, categories: tuple[str, ...], missing: Missing
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A text column as (rows,) float64, the place of each value among its categories; and as `_numbers`."""
    place = {canonical(category): float(index) for index, category in enumerate(categories)}
    text = filled(raw, column) if missing.rule == "reject" else cells(raw, column)
    named, found = {canonical(text) for text in missing.texts}, {}
    for cell in text.unique(maintain_order=True):
        if cell is not None and canonical(cell) in place:
            continue
        if missing.rule != "reject" and _says(cell, named):
            same = text.is_null() if cell is None else text == cell
            found["empty" if cell is None else f"'{cell[:40]}'"] = np.flatnonzero(
                same.fill_null(False).to_numpy()
            )
            continue
        raise DataError(
            f"{raw.where(first(text, cell), column)} holds '{cell[:40]}', which is not among its "
            f"categories {listed(categories)}; add it or correct the cell"
        )
    return np.array(
        [math.nan if cell is None else place.get(canonical(cell), math.nan) for cell in text]
    ), found


def _rejected(raw: Raw, names: tuple[str, ...], gaps: Gaps, missing: Missing) -> DataError:
    """Returns the error of the first column with a gap: it names the first, and counts all."""
    holes = gaps.codes > 0
    column = int(np.argmax(holes.any(axis=0)))
    row, name = int(np.argmax(holes[:, column])), names[column]
    where, cell = raw.where(row, name), cells(raw, name)[row]
    columns = [names[i] for i in np.flatnonzero(holes.any(axis=0))]
    counted = f"; {holes.sum():,} cells of {listed(columns)} are like that" if holes.sum() > 1 else ""
    if gaps.reasons[gaps.codes[row, column]] == range_reason(missing, name):
        low, high = missing.ranges[name]
        said = f"holds {cell}, and the range is {low:g} to {high:g}; correct the one or the other"
    elif cell is None:
        said = "is empty; fill the cell in or remove the row"
    elif canonical(cell) in ("nan", math.inf, -math.inf):
        said = f"holds '{cell}', which is not a finite number; correct it or remove the row"
    elif _says(cell, {canonical(text) for text in missing.texts}):
        said = f"holds '{cell[:40]}', which means that there is no value; fill the cell in or remove the row"
    else:
        return DataError(f"{_no_number(raw, row, name)}{counted}")
    return DataError(f"{where} {said}{counted}")


def _no_number(raw: Raw, row: int, column: str) -> DataError:
    return DataError(
        f"{raw.where(row, column)} holds '{cells(raw, column)[row][:40]}', which is not a number; correct it,"
        " leave the column out of the features, or list its values as categories"
    )

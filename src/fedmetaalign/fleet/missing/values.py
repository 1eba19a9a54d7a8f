"""Cells become numbers; those that hold none are gaps, or errors where nothing may be missing."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from fedmetaalign.errors import DataErrors, Problem, noting
from fedmetaalign.fleet.files import Raw, cells, listed, require, wrong_cells
from fedmetaalign.fleet.labels.classes import canonical
from fedmetaalign.fleet.missing.gaps import Gaps, range_reason
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
_NUMBER = "correct it, leave the column out of the features, or list its values as categories"
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
        raise DataErrors(_rejected(raw, names, gaps, missing))
    return x, gaps


def features_in_pieces(
    pieces: Iterable[Raw],
    rows: int,
    names: tuple[str, ...],
    categories: Mapping[str, tuple[str, ...]],
    missing: Missing,
) -> tuple[np.ndarray, Gaps]:
    """As `features_of`, of a file with so many rows that comes piece by piece.

    Raises:
        DataError: something is wrong with a piece, which may be right where there is more of it.
    """
    x, why, reasons, first = np.empty((rows, len(names))), None, {"": 0}, 0
    for piece in pieces:
        part, gaps = features_of(piece, names, categories, missing)
        own = slice(first, first + len(part))
        x[own] = part
        if len(gaps.reasons) > 1:
            why = np.zeros(x.shape, np.int16) if why is None else why
            places = [reasons.setdefault(reason, len(reasons)) for reason in gaps.reasons]
            why[own] = np.array(places, np.int16)[gaps.codes]
        first = own.stop
    return x, Gaps.none(*x.shape) if why is None else Gaps(why, tuple(reasons))


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
    x = np.zeros((len(raw.frame), len(names)), np.float64)
    why: np.ndarray | None = None
    reasons: dict[str, int] = {"": 0}
    problems: list[Problem] = []
    for i, name in enumerate(names):
        with noting(problems):
            require(raw, (name,))
            if name in categories:
                x[:, i], found = _ordinals(raw, name, categories[name], missing)
            else:
                x[:, i], found = _numbers(raw, name, missing, damaged)
            for reason, rows in found.items():
                why = np.zeros(x.shape, np.int16, order="F") if why is None else why
                why[rows, i] = reasons.setdefault(reason, len(reasons))
    gaps = Gaps.none(*x.shape) if why is None else Gaps(why, tuple(reasons))
    if problems and missing.rule == "reject":
        problems = [*_rejected(raw, names, gaps, missing), *problems]
    if problems:
        raise DataErrors(problems)
    return x, gaps


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
        if len(damaged) > most * there:
            cell = text[damaged[0]][:40]
            what = f"holds '{cell}', which is not a number"
            if most:
                what = f"holds '{cell}', and {len(damaged):,} of its {there:,} values are no numbers"
            raise DataErrors([wrong_cells(raw, column, np.array(damaged), "number", what, _NUMBER)])
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
    text = cells(raw, column)
    named = {canonical(text) for text in missing.texts}
    found: dict[str, np.ndarray] = {}
    problems = []
    for cell in text.unique(maintain_order=True):
        if cell is not None and canonical(cell) in place:
            continue
        rows = np.flatnonzero((text.is_null() if cell is None else text == cell).fill_null(False).to_numpy())
        if _says(cell, named) and (cell is None or missing.rule != "reject"):
            found["empty" if cell is None else f"'{cell[:40]}'"] = rows
            continue
        what = f"holds '{cell[:40]}', which is not among its categories {listed(categories)}"
        problems.append(wrong_cells(raw, column, rows, "category", what, "add it or correct the cell"))
    if problems:
        raise DataErrors(problems)
    values = [math.nan if cell is None else place.get(canonical(cell), math.nan) for cell in text]
    return np.array(values, np.float64), found


def _rejected(raw: Raw, names: tuple[str, ...], gaps: Gaps, missing: Missing) -> Iterator[Problem]:
    """Yields what is wrong with each column that has gaps, a problem a kind; what comes first is told first."""
    named = {canonical(text) for text in missing.texts}
    for i in np.flatnonzero((gaps.codes > 0).any(axis=0)) if len(gaps.reasons) > 1 else ():
        kinds: dict[str, list[int]] = {}
        text = cells(raw, names[i])
        for row in np.flatnonzero(gaps.codes[:, i]).tolist():
            kinds.setdefault(_kind(text[row], gaps.reasons[gaps.codes[row, i]], named), []).append(row)
        for kind, rows in kinds.items():
            cell = str(text[rows[0]])[:40]
            what, do = {
                "empty": ("is empty", "fill the cell in or remove the row"),
                "finite": (f"holds '{cell}', which is not a finite number", "correct it or remove the row"),
                "missing": (
                    f"holds '{cell}', which means that there is no value",
                    "fill the cell in or remove the row",
                ),
                "range": (
                    f"holds {cell}, which is {range_reason(missing, names[i])}",
                    "correct the cell or the range",
                ),
                "number": (f"holds '{cell}', which is not a number", _NUMBER),
            }[kind]
            yield wrong_cells(raw, names[i], np.array(rows), kind, what, do)


def _kind(cell: str | None, reason: str, named: set[str | float]) -> str:
    """Names what is wrong with a cell."""
    if cell is None:
        return "empty"
    if reason.startswith("outside"):
        return "range"
    if canonical(cell) in ("nan", math.inf, -math.inf):
        return "finite"
    return "missing" if _says(cell, named) else "number"

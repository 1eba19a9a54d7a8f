"""Which columns say whose a row is: devices, and recordings that a split must not cut."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from fedmetaalign.fleet.columns.words import (
    DEVICE_NAMES,
    GROUP_NAMES,
    ID_NAMES,
    NUMBERING_NAMES,
    ordered,
    words,
)
from fedmetaalign.fleet.files import Raw, cells

LEAST = 30
"""The rows that a device has to have in the middle, for a column to name devices."""
_GROUP_ROWS = 2  # the same of a recording


def device_columns(raw: Raw, y: np.ndarray, others: Sequence[str]) -> tuple[str, ...]:
    """The columns whose values are devices: named so, with enough rows each, and faults on more than half.

    Args:
        raw: all rows that have a label.
        y: (rows,) 1 at faults.
        others: the columns that may be taken.
    """
    named = [name for name in others if words(name) & DEVICE_NAMES and _names_things(raw, name)]
    for size in range(len(named), 0, -1):
        fitting = [chosen for chosen in combinations(named, size) if _fit(raw, chosen, y)]
        if fitting:
            return fitting[0]
    return ()


def group_column(raw: Raw, others: Sequence[str]) -> str | None:
    """The column that names recordings (or runs, events, batches): rows that belong together."""
    for name in others:
        if not words(name) & GROUP_NAMES:
            continue
        codes = codes_of(raw, name)
        counts = np.bincount(codes)
        if len(counts) < 2 or np.median(counts) < _GROUP_ROWS:
            continue
        if not _is_numeric(raw, name) or _in_runs(codes, len(counts)):  # else it counts the rows of each
            return name
    return None


def constant_within(raw: Raw, codes: np.ndarray, names: Sequence[str]) -> Iterator[str]:
    """The columns that have one value in each group, and unlike ones in all.

    Args:
        raw: the table.
        codes: (rows,) int, the group of each row.
        names: columns to look at.
    """
    by = pl.Series("\0g", codes)
    for name in names:
        series = raw.frame[name].rename("\0v")
        per = pl.DataFrame([by, series]).group_by("\0g").agg(pl.col("\0v").n_unique())
        if (per["\0v"] == 1).all() and series.n_unique() > 1:
            yield name


def codes_of(raw: Raw, *names: str) -> np.ndarray:
    """The combination of some columns' values as (rows,) int64."""
    texts = [_text(raw, name).fill_null("") for name in names]
    joint = pl.DataFrame(texts).select(pl.struct(pl.all()).rank("dense")).to_series()
    return joint.to_numpy().astype(np.int64) - 1


def _text(raw: Raw, name: str) -> pl.Series:
    series = raw.frame[name]
    return series if series.dtype == pl.Categorical else cells(raw, name)


def _names_things(raw: Raw, name: str) -> bool:
    """Whether a column holds names or whole numbers that repeat, and no scale."""
    series = raw.frame[name]
    if series.dtype.is_float():
        return False
    distinct = series.drop_nulls().unique()
    if not 2 <= len(distinct) <= len(series) / LEAST or series.null_count():
        return False
    numbers = distinct.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
    if not numbers.is_null().any():  # a tool's wear and a pump's pressure are measurements
        whole = bool((numbers == numbers.round()).all())
        return whole and len(distinct) > 2 and words(name) <= DEVICE_NAMES | ID_NAMES | NUMBERING_NAMES
    return not ordered(set(map(str, distinct.to_list())))


def _fit(raw: Raw, chosen: Sequence[str], y: np.ndarray) -> bool:
    codes = codes_of(raw, *chosen)
    counts = np.bincount(codes)
    counts, faults = counts[counts > 0], np.bincount(codes, y)[counts > 0]
    both = (faults > 0) & (faults < counts)
    return len(counts) >= 2 and float(np.median(counts)) >= LEAST and bool(both.mean() > 0.5)


def _is_numeric(raw: Raw, name: str) -> bool:
    series = raw.frame[name].drop_nulls().head(1000).cast(pl.String).str.strip_chars()
    return not series.cast(pl.Float64, strict=False).is_null().any()


def _in_runs(codes: np.ndarray, groups: int) -> bool:
    """Whether the rows of a group stand together."""
    return 1 + int(np.count_nonzero(np.diff(codes))) <= 2 * groups

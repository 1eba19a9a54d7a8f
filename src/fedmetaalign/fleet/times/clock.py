"""The time of each row of a file, in whole microseconds, and the order of rows by it."""

from dataclasses import replace

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw, filled, require
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.times.stamps import SECOND, Clock, check, parsed

EPOCHS = {"s": SECOND, "ms": 1000, "us": 1, "ns": 1e-3}
"""What `time_format` may name of numbers that count from 1970 on, and how many microseconds one is."""

_NUMBER = r"^[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?$"
# Where numbers that count from 1970 on lie between 1973 and 5138 they cannot be taken for one another.
_LEAST = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}


def times_of(raw: Raw, clock: Clock) -> Times:
    """Reads the time of each row.

    Raises:
        DataError: a column is missing, a cell is no time stamp, or nothing tells whether the day or the month
            comes first; the sentence says where, and what to do.
    """
    require(raw, clock.columns)
    if len(clock.columns) == 1:
        series = raw.frame[clock.columns[0]]
        if isinstance(series.dtype, pl.Datetime) and not series.null_count():
            return _typed(raw, clock, series)
        text = (
            filled(raw, clock.columns[0]) if not series.dtype.is_temporal() else _written(raw, *clock.columns)
        )
    else:
        date, time = (_written(raw, name) for name in clock.columns)
        text = date + " " + time
    if clock.form in EPOCHS or (clock.form is None and bool(text.str.contains(_NUMBER).all())):
        return _numbers(raw, clock, text)
    local, offsets = _formed(raw, clock, text) if clock.form else parsed(raw, clock, text)
    return _zoned(raw, clock, local, offsets)


def ordered(table: Table) -> Table:
    """Puts a device's rows in order of time, and notes what they were like before."""
    if table.times is None or not len(table):
        return table
    notes = (*table.times.notes, *describe(table.times.values, table.times.dated))
    return replace(table, times=replace(table.times, notes=notes)).in_order()


def describe(values: np.ndarray, dated: bool = True) -> tuple[str, ...]:
    """Says what the times of one device's rows, (rows,) int64 in the order of the file, are like.

    Returns:
        Sentences: rows out of order, times that occur more than once, gaps; none where all is well.
    """
    told, ordered = [], np.sort(values)
    if back := int(np.count_nonzero(np.diff(values) < 0)):
        falling = bool((np.diff(values) <= 0).all())
        told.append(
            "the latest rows come first" if falling else f"{_rows(back, 'are')} earlier than the row before"
        )
    steps = np.diff(ordered)
    if same := int(np.count_nonzero(steps == 0)):
        told.append(f"{_rows(same, 'have')} the time of another")
    if gaps := _gaps(steps):
        longest = int(np.argmax(steps))
        told.append(
            f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''}, the longest {_length(int(steps[longest]), dated)}"
            f" from {stamp(int(ordered[longest]), dated)}"
        )
    return tuple(told)


def stamp(time: int, dated: bool = True) -> str:
    """Returns a time as people read it: "2024-03-01 12:30:00"; a count as its number."""
    if not dated:
        return f"{time / SECOND:.6g}"
    text = str(np.datetime64(time, "us")).replace("T", " ")
    return text.removesuffix(".000000")


def _gaps(steps: np.ndarray) -> list[int]:
    """Returns which steps of ordered times are gaps.

    Where most steps are alike these are all that skip a row, else those twenty times as long as is usual.
    """
    moving = steps[steps > 0]
    if len(moving) < 3:
        return []
    usual = float(np.median(moving))
    regular = np.mean(np.abs(moving - usual) <= 0.1 * usual) >= 0.8
    return np.flatnonzero(steps > (1.5 if regular else 20.0) * usual).tolist()


def _rows(count: int, does: str) -> str:
    if count == 1:
        return f"1 row {'is' if does == 'are' else 'has'}"
    return f"{count} rows {does}"


def _length(microseconds: int, dated: bool) -> str:
    seconds = microseconds / SECOND
    if not dated:
        return f"{seconds:.6g}"
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _written(raw: Raw, column: str) -> pl.Series:
    """Returns a column as text, dates and times of day as ISO 8601 has them."""
    series, text = raw.frame[column], filled(raw, column)
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.strftime(
            "%Y-%m-%d" if (series.dt.time() == pl.Series([0]).cast(pl.Time)).all() else "%F %T%.6f"
        )
    return series.dt.strftime("%T%.6f") if series.dtype == pl.Time else text


def _numbers(raw: Raw, clock: Clock, text: pl.Series) -> Times:
    """Numbers: dates without marks, time since 1970 in a unit that their size tells, or a mere count."""
    column = clock.columns[0]
    values = text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise DataError(
            f"{raw.where(row, column)} holds '{text[row][:40]}', which is no number of {clock.form}"
        )
    unit = clock.form
    if unit is None:
        if (text.str.len_chars() == text.str.len_chars()[0]).all() and text.str.contains(
            r"^(19|20)\d{6}(\d{4}(\d{2})?)?$"
        ).all():
            compact = text.str.replace(r"^(\d{8})(\d{4,6})$", "${1}T${2}")
            try:
                local, offsets = parsed(raw, clock, compact)
            except DataError:
                pass
            else:
                return _zoned(raw, clock, local, offsets)
        least = float(values.abs().min() or 0.0)  # type: ignore[arg-type]
        unit = max(
            (name for name, size in _LEAST.items() if least >= size), key=_LEAST.__getitem__, default=None
        )
    if unit is None:
        return Times(np.rint(values.to_numpy() * SECOND).astype(np.int64), dated=False)
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() or unit == "s":
        return Times(np.rint(values.to_numpy() * EPOCHS[unit]).astype(np.int64), dated=True)
    exact = whole.to_numpy()
    return Times(exact // 1000 if unit == "ns" else exact * int(EPOCHS[unit]), dated=True)


def _typed(raw: Raw, clock: Clock, series: pl.Series) -> Times:
    """A typed column; one with a zone is in UTC already."""
    aware = series.dtype.time_zone is not None  # type: ignore[attr-defined]
    micro = series.dt.cast_time_unit("us")
    if aware:
        return Times(micro.dt.convert_time_zone("UTC").to_physical().to_numpy(), dated=True)
    return _zoned(raw, clock, micro.to_physical().to_numpy(), None)


def _formed(raw: Raw, clock: Clock, text: pl.Series) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads stamps by the recipe's form; returns as `_parsed`."""
    form = clock.form or ""
    try:
        found = text.str.to_datetime(form, time_unit="us", strict=False, ambiguous="earliest")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"time_format = {form!r} cannot be used ({error}); see strptime for what it may hold"
        ) from None
    check(raw, clock, text, found.is_null(), f" as {form!r} has it")
    aware = isinstance(found.dtype, pl.Datetime) and found.dtype.time_zone is not None
    return found.to_physical().to_numpy(), np.zeros(len(found), np.int64) if aware else None


def _zoned(raw: Raw, clock: Clock, local: np.ndarray, offsets: np.ndarray | None) -> Times:
    """Takes local times to UTC, where they or the recipe name a zone."""
    if offsets is not None:
        return Times(local - offsets, dated=True)
    if clock.zone is None:
        return Times(local, dated=True)
    series = pl.Series(local).cast(pl.Datetime("us"))
    try:
        early, late = (
            series.dt.replace_time_zone(clock.zone, ambiguous=which, non_existent="null").dt.convert_time_zone(
                "UTC"
            )
            for which in ("earliest", "latest")
        )
    except pl.exceptions.PolarsError:
        raise DataError(f'zone = "{clock.zone}" is not known; name one such as "Europe/Berlin"') from None
    if early.null_count():
        row = int(early.is_null().arg_max() or 0)
        raise DataError(
            f"{raw.where(row, clock.columns[0])} holds {stamp(int(local[row]))}, which does not exist in"
            f' {clock.zone}, where clocks go forward then: correct zone, such as "Etc/GMT-1" for a clock that'
            " stays one hour ahead of UTC all year"
        )
    first, second = (each.to_physical().to_numpy() for each in (early, late))
    twice = first != second
    values = np.where(_second_time(local, twice), second, first)
    if not twice.any():
        return Times(values, dated=True)
    row = int(np.argmax(twice))
    return Times(
        values,
        dated=True,
        notes=(
            f"{int(twice.sum())} rows are of an hour that {clock.zone} has twice, such as"
            f" {stamp(int(local[row]))}: those after a step back in time are taken for the second one",
        ),
    )


def _second_time(local: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Tells which rows of an hour that comes twice are of the second one, (rows,) bool.

    Those after the clock has gone back, in each stretch of such rows; of a file that begins with its latest
    row, in the opposite direction.
    """
    if len(local) > 1 and local[-1] < local[0]:
        return _second_time(local[::-1], twice[::-1])[::-1]
    starts = np.flatnonzero(twice & ~np.concatenate([[False], twice[:-1]]))
    back = np.concatenate([[False], (np.diff(local) < 0) & twice[1:] & twice[:-1]])
    steps = np.cumsum(back)
    found = np.zeros(len(local), bool)
    for start in starts:
        rest = ~twice[start:]
        end = start + (int(np.argmax(rest)) if rest.any() else len(rest))
        found[start:end] = steps[start:end] > steps[start] - back[start]
    return found

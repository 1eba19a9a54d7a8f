"""Time stamps as people and programs write them: dates, times of day and offsets become whole microseconds.

A stamp's form is decided over the whole column, never cell by cell: 03/04/2024 is the third of April in a
column that has a 25/04/2024, and a sentence asks which it is where no cell tells.
"""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw

SECOND = 1_000_000
"""Microseconds."""

_MONTH = r"\p{L}{3,10}\.?"
_DATE = (
    rf"(?<a>\d{{1,4}}|{_MONTH})(?<mark>[-/. ])\s*(?:de\s+)?(?<b>\d{{1,2}}|{_MONTH})[-/., ]\s*(?:de\s+)?"
    r"(?<c>\d{1,4})"
)
_COMPACT = r"(?<y>\d{4})(?<m>\d{2})(?<d>\d{2})"
_SECONDS = r"(?::(?<second>\d{2})(?:[.,](?<part>\d{1,9})\d*)?)?"
_TIME = rf"(?<hour>\d{{1,2}}):(?<minute>\d{{2}}){_SECONDS}\s*(?<half>[AaPp]\.?[Mm]\.?)?"
_SHORT = r"(?<hh>\d{2})(?<mm>\d{2})(?<ss>\d{2})?"
_ZONE = r"(?<offset>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_STAMP = rf"^(?:{_DATE}|{_COMPACT})(?:(?:\s*[Tt,]\s*|\s+|$)(?:{_TIME}|{_SHORT})?\s*{_ZONE}?)?$"
_MONTHS = (
    *("jan ene gen", "feb fev", "mar mae maa mrz mrt", "apr avr abr", "may mai mei mag", "jun giu"),
    *("jul lug", "aug aou ago", "sep set", "oct okt ott out", "nov", "dec dez dic"),
)
"""How months begin in English, German, French, Spanish, Italian, Portuguese and Dutch, without accents."""
MONTH = (
    "(?i:jui|"
    + "|".join(
        word.replace("a", "[aä]").replace("e", "[eé]").replace("u", "[uû]")
        for word in " ".join(_MONTHS).split()
    )
    + r")\p{L}{0,7}\.?"
)
"""A regular expression of the names of months."""
_NUMBER_OF = {word: i for i, words in enumerate(_MONTHS, 1) for word in words.split()}
_PLAIN = {"ä": "a", "é": "e", "û": "u", "ç": "c", "juin": "jun", "juil": "jul"}


@dataclass(frozen=True)
class Clock:
    """Which columns of a file tell the time, and how they are written.

    Attributes:
        columns: one, or a date and a time of day; none where no time is told.
        form: a strptime form, or one of `EPOCHS`; None where the column shall tell it.
        zone: that of stamps which name none, such as "Europe/Berlin"; None where they are taken as they are.
    """

    columns: tuple[str, ...] = ()
    form: str | None = None
    zone: str | None = None


def parsed(raw: Raw, clock: Clock, text: pl.Series) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads stamps of any usual form.

    Returns:
        Local microseconds since 1970, (rows,) int64, and what is to be subtracted for UTC, None where no stamp
        has a zone.
    """
    if (plain := _plain(text)) is not None:
        return plain, None
    stamps = text.str.extract_groups(_STAMP).struct.unnest()
    wrong = stamps["a"].is_null() & stamps["y"].is_null()
    check(raw, clock, text, wrong)
    year, month, day = _dates(raw, clock, stamps)
    number = {name: stamps[name].cast(pl.Int64).fill_null(0) for name in ("minute", "second", "mm", "ss")}
    hour = stamps["hour"].fill_null(stamps["hh"]).cast(pl.Int64).fill_null(0)
    half = stamps["half"].str.to_lowercase().str.slice(0, 1)
    hour = pl.select(
        pl.when(half.is_null()).then(hour).otherwise(hour % 12 + pl.when(half == "p").then(12).otherwise(0))
    ).to_series()
    part = stamps["part"].fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    minute, second = number["minute"] + number["mm"], number["second"] + number["ss"]
    check(raw, clock, text, ~_sound(year, month, day))
    days = pl.select(pl.date(pl.lit(year), pl.lit(month), pl.lit(day))).to_series()
    clocked = (hour < 24) | ((hour == 24) & (minute == 0) & (second == 0))
    check(raw, clock, text, ~clocked | (minute > 59) | (second > 60))
    local = ((days.to_physical().cast(pl.Int64) * 24 + hour) * 60 + minute) * 60 + second
    found = (local * SECOND + part).to_numpy()
    offset = stamps["offset"]
    if offset.is_null().all():
        return found, None
    check(raw, clock, text, offset.is_null(), " and a zone, which others have")
    digits = offset.str.replace(":", "").str.extract_groups(r"^([+-])(\d{2})(\d{2})?$").struct.unnest()
    sign, hours, minutes = (digits.to_series(i) for i in range(3))
    ahead = hours.cast(pl.Int64).fill_null(0) * 60 + minutes.cast(pl.Int64).fill_null(0)
    return found, np.where((sign == "-").fill_null(value=False), -1, 1) * ahead.to_numpy() * 60 * SECOND


def _plain(text: pl.Series) -> np.ndarray | None:
    """Returns the times of ISO 8601 without a zone, and quickly; None where a stamp is written otherwise."""
    if not (found := re.fullmatch(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d{1,6})?", text[0])):
        return None
    form = f"%Y-%m-%d{found[1]}%H:%M:%S{'%.f' if found[2] else ''}"
    times = text.str.to_datetime(form, time_unit="us", strict=False)
    return None if times.null_count() else times.to_physical().to_numpy()


def _sound(year: pl.Series, month: pl.Series, day: pl.Series) -> pl.Series:
    """Tells which are days of the calendar."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = pl.Series([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    named = month.is_between(1, 12)
    last = lengths.gather(month.clip(0, 12)) + (leap & (month == 2)).cast(pl.Int64)
    return named & (day >= 1) & (day <= last)


def _dates(raw: Raw, clock: Clock, stamps: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Returns year, month and day of each row, (rows,) int64."""
    compact = stamps["a"].is_null()
    first, second, third = (stamps[name] for name in ("a", "b", "c"))
    lettered = (
        first.str.contains(r"^\p{L}").fill_null(value=False),
        second.str.contains(r"^\p{L}").fill_null(value=False),
    )
    if bool(lettered[0].any() or lettered[1].any()):
        names = pl.select(pl.when(lettered[0]).then(first).otherwise(second)).to_series()
        days = pl.select(pl.when(lettered[0]).then(second).otherwise(first)).to_series()
        months = (
            names.str.to_lowercase()
            .str.replace_many(_PLAIN)
            .str.slice(0, 3)
            .replace_strict(_NUMBER_OF, default=0, return_dtype=pl.Int64)
        )
        return (
            _years(third.cast(pl.Int64, strict=False).fill_null(0)),
            months,
            days.cast(pl.Int64, strict=False).fill_null(0),
        )
    a, b, c = (part.cast(pl.Int64, strict=False).fill_null(0) for part in (first, second, third))
    yearly = first.str.len_chars().fill_null(0) == 4
    open_ = ~compact & ~yearly
    day_first = bool(open_.any()) and _day_first(
        raw, clock, a.filter(open_), b.filter(open_), stamps["mark"].filter(open_)
    )
    y, m, d = (stamps[name].cast(pl.Int64).fill_null(0) for name in ("y", "m", "d"))
    day, month = (a, b) if day_first else (b, a)
    found = pl.select(
        year=pl.when(compact).then(y).when(yearly).then(a).otherwise(_years(c)),
        month=pl.when(compact).then(m).when(yearly).then(b).otherwise(month),
        day=pl.when(compact).then(d).when(yearly).then(c).otherwise(day),
    )
    return found["year"], found["month"], found["day"]


def _years(years: pl.Series) -> pl.Series:
    """Returns years of two digits as POSIX has them: 69 is 1969, and 68 is 2068."""
    return pl.select(
        pl.when(years < 69).then(years + 2000).when(years < 100).then(years + 1900).otherwise(years)
    ).to_series()


def _day_first(raw: Raw, clock: Clock, a: pl.Series, b: pl.Series, mark: pl.Series) -> bool:
    """Decides over a whole column whether the day or the month comes first; dots stand after days alone."""
    column = clock.columns[0]
    if bool((a > 12).any()) and bool((b > 12).any()):
        raise DataError(
            f"{raw.path}, column '{column}' has stamps with the day first and others with the month first:"
            " write them alike"
        )
    if bool((a > 12).any()) or bool((mark == ".").all()):
        return True
    if bool((b > 12).any()):
        return False
    one = f"{a[0]:02d}{mark[0]}{b[0]:02d}"
    raise DataError(
        f"{raw.path}, column '{column}': nothing tells whether {one} is day and month or month and day; say it"
        f' with time_format = "%d{mark[0]}%m{mark[0]}%Y %H:%M:%S" or "%m{mark[0]}%d{mark[0]}%Y %H:%M:%S"'
    )


def check(raw: Raw, clock: Clock, text: pl.Series, wrong: pl.Series, how: str = "") -> None:
    """Raises a DataError about the first cell that is wrong, (rows,) bool."""
    if bool(wrong.any()):
        row = int(wrong.arg_max() or 0)
        column = clock.columns[0]
        raise DataError(
            f"{raw.where(row, column)} holds '{text[row][:40]}', which is no time stamp{how}; correct it, or"
            ' say how it is written with time_format = "%Y-%m-%d %H:%M:%S" or so'
        )

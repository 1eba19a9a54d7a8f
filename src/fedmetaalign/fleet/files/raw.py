"""A table as it is: cells before anything is made of them, and where each is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from fedmetaalign.errors import MOST_OF_A_KIND, DataError, DataErrors, Problem, noting
from fedmetaalign.fleet.files.names import missing
from fedmetaalign.fleet.files.numbers import Style

_SIMPLE = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Date, pl.Datetime, pl.Time, pl.Null)


class Lines(Protocol):
    """What knows where the rows of a text are."""

    def line(self, row: int) -> int:
        """The line on which a row of the frame begins."""


@dataclass(frozen=True)
class Later:
    """How to read what of a large file is not held.

    Attributes:
        pieces: yields all of its rows and needed columns, some rows at a time.
        whole: returns all at once, as is needed to tell all that is wrong with it.
    """

    pieces: Callable[[], Iterator["Raw"]]
    whole: Callable[[], "Raw"]


@dataclass(frozen=True)
class Raw:
    """A table as it is.

    Attributes:
        path: the file.
        frame: (rows, columns) of the columns that were asked for. All text where the file is text (blank lines
            left out), with numbers as 1234.5 however they are written; typed where it is typed. Of a large text
            also Float64, where every cell is a number or empty.
        text: of a text, to find the line that a row is on.
        first: what a person calls the first row of a file without lines.
        dialect: how the file was read, in a few words.
        units: of columns, from a line under the header.
        styles: how columns of a text wrote their numbers, but for those that wrote 1234.5.
        rows: (rows,) int64, of a part of a file which of its rows these are; None for all.
        later: of a file whose columns of numbers are too many to be held; those are of type Null here.
    """

    path: Path
    frame: pl.DataFrame
    text: Lines | None = None
    first: int = 1
    dialect: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)
    rows: np.ndarray | None = None
    later: Later | None = None

    def take(self, rows: np.ndarray) -> "Raw":
        """Returns some rows, which are still called what they are in the file."""
        return replace(self, frame=self.frame[rows], rows=rows if self.rows is None else self.rows[rows])

    def line(self, row: int) -> int:
        """Returns the line in a text editor (header = 1) of a row, or the number of a row without lines."""
        row = row if self.rows is None else int(self.rows[row])
        return row + self.first if self.text is None else self.text.line(row)

    def where(self, row: int, column: str) -> str:
        """Names a cell the way a person finds it: the line in a text editor (header = 1), or the row."""
        what = "row" if self.text is None else "line"
        return f"{self.path}, {what} {self.line(row)}, column '{column}'"


def require(raw: Raw, names: Sequence[str]) -> None:
    """Raises a DataError that names the nearest column for one that is not there."""
    for name in names:
        if name not in raw.frame.columns:
            raise missing(raw.path, name, raw.frame.columns, listed(raw.frame.columns))


def require_all(raw: Raw, names: Sequence[str]) -> None:
    """As `require`, of all columns that are not there; of a file that has none of them it tells one.

    Raises:
        DataErrors: some are not.
    """
    found: list[Problem] = []
    if names and not set(names) & set(raw.frame.columns):
        require(raw, names)
    for name in dict.fromkeys(names):
        with noting(found):
            require(raw, (name,))
    if found:
        raise DataErrors(found)


def cells(raw: Raw, column: str) -> pl.Series:
    """A column as text without surrounding blanks, null where a cell is empty; whole floats lose their ".0"."""
    series = raw.frame[column]
    if not series.dtype.is_numeric() and series.dtype not in _SIMPLE:
        raise DataError(f"{raw.path}, column '{column}' is of type {series.dtype}; store plain numbers or text")
    text = series.cast(pl.String).str.strip_chars()
    text = text.str.replace(r"^(-?\d+)\.0+$", "${1}")
    return text.set(text == "", None)


def filled(raw: Raw, column: str) -> pl.Series:
    """As `cells`, and every cell has a value.

    Raises:
        DataError: a cell is empty.
    """
    text = cells(raw, column)
    if text.null_count():
        raise DataErrors([empty_cells(raw, column, text)])
    return text


def coded(texts: Sequence[pl.Series], joint: str = "-") -> tuple[np.ndarray, np.ndarray]:
    """Columns of text without an empty cell, joined.

    Returns:
        The values that occur, sorted, (values,) str, and of each row the place of its value, (rows,) uint32.
    """
    whole = texts[0]
    if len(texts) > 1:
        columns = pl.DataFrame([text.alias(str(i)) for i, text in enumerate(texts)])
        whole = columns.select(pl.concat_str(pl.all(), separator=joint)).to_series()
    values = whole.unique().sort()
    places = whole.replace_strict(values, pl.int_range(len(values), dtype=pl.UInt32, eager=True))
    return values.to_numpy().astype(str), places.to_numpy()


def empty_cells(raw: Raw, column: str, text: pl.Series) -> Problem:
    """Says where a column is empty."""
    rows = np.flatnonzero(text.is_null().to_numpy())
    return wrong_cells(raw, column, rows, "empty", "is empty", "fill the cell in or remove the row")


def wrong_cells(raw: Raw, column: str, rows: np.ndarray, kind: str, what: str, do: str) -> Problem:
    """Says in a sentence which cells of a column cannot be used, and where the first five are.

    Args:
        raw: the file.
        column: of it.
        rows: (cells,) int64, one at least.
        kind: what is wrong, for programs.
        what: is wrong with the first of them.
        do: what to do about one of them.
    """
    lines = tuple(raw.line(int(row)) for row in rows[:MOST_OF_A_KIND])
    where = raw.where(int(rows[0]), column)
    others = ", ".join(map(str, lines[1:]))
    if more := len(rows) - len(lines):
        others += f" and {more:,} more"
    several = "s" * (len(rows) > 2)
    also = f", as on {'row' if raw.text is None else 'line'}{several} {others}" if others else ""
    sentence = f"{where} {what}{also}; {do}"
    return Problem(sentence, kind, file=str(raw.path), column=column, lines=lines, count=len(rows))


def parse(text: pl.Series) -> tuple[np.ndarray, pl.Series]:
    """Cells as (rows,) float64, NaN where empty or not a finite number, and the cells that are no numbers."""
    numbers = text.cast(pl.Float64, strict=False)
    values = np.array(numbers.to_numpy(), np.float64)
    values[~np.isfinite(values)] = np.nan
    return values, text.filter(text.is_not_null() & numbers.is_null())


def listed(values: Sequence[object], most: int = 5) -> str:
    """Values as a sentence shows them: the first ones in quotes, and how many more there are."""
    shown = ", ".join(f"'{value}'" for value in values[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown

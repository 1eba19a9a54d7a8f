"""A table as it is: cells before anything is made of them, and where each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files.names import missing
from fedmetaalign.fleet.files.numbers import Style

_SIMPLE = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Date, pl.Datetime, pl.Time, pl.Null)


class Lines(Protocol):
    """What knows where the rows of a text are."""

    def line(self, row: int) -> int:
        """The line on which a row of the frame begins."""


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
    """

    path: Path
    frame: pl.DataFrame
    text: Lines | None = None
    first: int = 1
    dialect: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)

    def where(self, row: int, column: str) -> str:
        """Names a cell the way a person finds it: the line in a text editor (header = 1), or the row."""
        place = f"row {row + self.first}" if self.text is None else f"line {self.text.line(row)}"
        return f"{self.path}, {place}, column '{column}'"


def require(raw: Raw, names: Sequence[str]) -> None:
    """Raises a DataError that names the nearest column for one that is not there."""
    for name in names:
        if name not in raw.frame.columns:
            raise missing(raw.path, name, raw.frame.columns, listed(raw.frame.columns))


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
        row = int(text.is_null().arg_max() or 0)
        raise DataError(f"{raw.where(row, column)} is empty; fill the cell in or remove the row")
    return text


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

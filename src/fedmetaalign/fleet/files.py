"""A file becomes a raw frame of cells; what is wrong with it is said with the line and the column."""

import csv
import difflib
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import MOST_OF_A_KIND, DataError, DataErrors, Problem, noting


@dataclass(frozen=True)
class Raw:
    """A file as it is: cells before anything is made of them.

    Attributes:
        path: the file.
        frame: (rows, columns), all text for .csv (blank lines left out), typed for .parquet.
        text: the decoded .csv, to find the line that a row is on; None for .parquet.
        rows: (rows,) int64, of a part of a file which of its rows these are; None for all.
    """

    path: Path
    frame: pl.DataFrame
    text: str | None = None
    rows: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Raw":
        """Returns some rows, which are still called what they are in the file."""
        return replace(self, frame=self.frame[rows], rows=rows if self.rows is None else self.rows[rows])

    def line(self, row: int) -> int:
        """Returns the line in a text editor (header = 1) of a row, or the number of a row without lines."""
        row = row if self.rows is None else int(self.rows[row])
        if self.text is None:
            return row + 1
        return next(number for index, (number, _) in enumerate(_records(self.text)) if index == row + 1)

    def where(self, row: int, column: str) -> str:
        """Names a cell the way a person finds it: the line in a text editor (header = 1), or the row."""
        what = "row" if self.text is None else "line"
        return f"{self.path}, {what} {self.line(row)}, column '{column}'"


def load(path: Path) -> Raw:
    """Reads a file without giving its columns a meaning; unnamed columns become "(column 8)".

    Args:
        path: .csv (UTF-8 with or without byte-order mark, comma-separated, with a header) or .parquet.

    Raises:
        DataError: the file is missing, empty, not UTF-8, of another format, has two columns of one name, a
            row that is longer or shorter than the header, or no row at all.
    """
    path = Path(path)
    data = _bytes(path)
    match path.suffix.lower():
        case ".csv":
            raw = _csv(path, data)
        case ".parquet":
            try:
                raw = Raw(path, pl.read_parquet(io.BytesIO(data)))
            except (pl.exceptions.PolarsError, OSError) as error:
                raise DataError(f"{path} is not a readable Parquet file; write it again") from error
        case other:
            raise DataError(
                f"{path} ends in '{other}', but only .csv and .parquet can be read; export it as one"
            )
    if raw.frame.is_empty():
        raise DataError(f"{path} has a header but no rows; remove the device or give it data")
    return raw


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    return hashlib.sha256(_bytes(path)).hexdigest()


def require(raw: Raw, names: Sequence[str]) -> None:
    """Raises a DataError that names the nearest column for one that is not there."""
    there = raw.frame.columns
    for name in names:
        if name not in there:
            folded = {column.casefold(): column for column in reversed(there)}
            near = difflib.get_close_matches(name.casefold(), folded, 1)
            hint = f"did you mean '{folded[near[0]]}'?" if near else f"it has {listed(there)}"
            if len(there) == 1 and ";" in there[0]:
                hint = "its cells are separated by ';', so save it with commas"
            raise DataError(f"{raw.path} has no column '{name}'; {hint}", file=str(raw.path), column=name)


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
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
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


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path} is a directory; name a .csv or .parquet file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; check the path, or name the tables' folder with --data"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not data:
        raise DataError(f"{path} is empty; give it a header and rows")
    return data


def _csv(path: Path, data: bytes) -> Raw:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line} is not UTF-8 text; save the file as CSV in UTF-8") from error
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old spreadsheets
    try:
        header = _header(path, text)
        frame = _quick(text, len(header))
        if frame is None:
            frame = _careful(path, text, len(header))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file ({error}); look for a quote that is not closed") from error
    frame.columns = header
    return Raw(path, frame, text)


def _header(path: Path, text: str) -> list[str]:
    """The names in the header; polars would rename duplicates without a word, so they are read here."""
    line, names = next(_records(text), (1, []))
    # A byte-order mark can also stand inside a header that was joined from two files.
    names = [name.replace("\ufeff", "").strip() for name in names]
    if not any(names):
        raise DataError(f"{path} has no header; its first line must name the columns")
    names = [name or f"(column {index})" for index, name in enumerate(names, 1)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise DataError(f"{path}, line {line} names column '{name}' twice; rename or remove one of them")
    return names


def _quick(text: str, width: int) -> pl.DataFrame | None:
    """All cells as text by the fast reader, or None where it gives up or may have padded a short row.

    It pads without a word; an empty last cell is the sign that it may have done so.
    """
    try:
        frame = pl.read_csv(text.encode(), infer_schema=False)
    except pl.exceptions.PolarsError:
        return None
    return None if frame.width != width or frame.to_series(-1).null_count() else frame


def _careful(path: Path, text: str, width: int) -> pl.DataFrame:
    """All cells as text by a slower reader that knows its line and leaves blank lines out."""
    records = _records(text)
    next(records)
    rows = []
    for line, row in records:
        if len(row) != width:
            raise DataError(
                f"{path}, line {line} has {len(row)} cells where the header has {width} columns; "
                "correct or remove the line"
            )
        rows.append(row)
    return pl.DataFrame(rows, schema=dict.fromkeys(map(str, range(width)), pl.String), orient="row")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""))
    line = 1
    for row in reader:
        if len(row) > 1 or (row and row[0].strip()):
            yield line, row
        line = reader.line_num + 1

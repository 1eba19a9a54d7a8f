"""Makes the tables of a pump, and writes them as files are found."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import xlsxwriter

SENSORS = ("speed", "load", "heat")
Rows = list[list[str]]


def pump(rows: int = 60, seed: int = 0) -> Rows:
    """Rows of a pump, with a header: a fault where the load is high and, of some seeds, the heat."""
    random = np.random.default_rng(seed)
    x = random.normal([1500, 40, 70], [100, 10, 5], (rows, 3)).round(3)
    y = x[:, 1] + (seed % 3) * (x[:, 2] - 70) > 45
    return [
        [*SENSORS, "fault"],
        *([*map(repr, row), str(int(fault))] for row, fault in zip(x.tolist(), y, strict=True)),
    ]


def text(rows: Rows, separator: str = ",", end: str = "\n") -> str:
    """The rows as a file has them."""
    return "".join(separator.join(row) + end for row in rows)


def changed(change: Callable[[Rows], object], rows: int = 60, seed: int = 0) -> bytes:
    """A pump's table after a change of its cells, of which `table[5][1]` is on line 6."""
    table = pump(rows, seed)
    change(table)
    return text(table).encode()


def changed_rows(change: Callable[[Rows], object], seed: int) -> Rows:
    """A pump's rows after a change of its cells."""
    table = pump(seed=seed)
    change(table)
    return table


def labelled(faults: int, rows: int, seed: int = 0) -> bytes:
    """A pump's table with so many faults, of high load, spread evenly."""
    table = pump(rows, seed)
    where = set(np.linspace(1, rows, faults, dtype=int).tolist())
    for i, row in enumerate(table[1:], 1):
        row[1], row[3] = ("75.5", "1") if i in where else (row[1], "0")
    return text(table).encode()


def put(*cells: tuple[int, int, str]) -> Callable[[Rows], object]:
    """Sets cells, each given by line, column from 0, and text."""

    def change(table: Rows) -> None:
        for line, column, value in cells:
            table[line - 1][column] = value

    return change


def each(column: int, value: Callable[[str], str]) -> Callable[[Rows], object]:
    """Sets a column."""

    def change(table: Rows) -> None:
        for row in table[1:]:
            row[column] = value(row[column])

    return change


def swapped(table: Rows) -> None:
    """Puts the columns in another order."""
    table[:] = [[row[3], row[2], row[0], row[1]] for row in table]


def timed(stamps: Sequence[str], seed: int) -> bytes:
    """A pump's table with a time for each row."""
    rows = [[*cells, stamp] for cells, stamp in zip(pump(seed=seed), ["time", *stamps], strict=True)]
    return text(rows).encode()


def european(table: Rows) -> None:
    """Gives numbers with decimal commas."""
    table[1:] = [[cell.replace(".", ",") for cell in row] for row in table[1:]]


def spreadsheet(rows: Rows) -> bytes:
    """The table as .xlsx."""
    buffer = io.BytesIO()
    typed(rows).write_excel(buffer)
    return buffer.getvalue()


def book(*sheets: Rows) -> bytes:
    """Several sheets as .xlsx, numbers as numbers."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"strings_to_numbers": True}) as file:
        for rows in sheets:
            sheet = file.add_worksheet()
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)
    return buffer.getvalue()


def feather(rows: Rows) -> bytes:
    """The table as typed columns in Arrow's format."""
    buffer = io.BytesIO()
    typed(rows).write_ipc(buffer)
    return buffer.getvalue()


def in_fahrenheit(table: Rows) -> None:
    """Gives the heat in degrees Fahrenheit, and says so in the header."""
    each(2, lambda celsius: f"{float(celsius) * 1.8 + 32:.6f}")(table)
    table[0][2] = "heat [F]"


def parquet(rows: Rows) -> bytes:
    """The table as typed columns."""
    buffer = io.BytesIO()
    typed(rows).write_parquet(buffer)
    return buffer.getvalue()


def with_durations(rows: Rows) -> bytes:
    """Typed columns, and one of durations, which is no feature."""
    buffer = io.BytesIO()
    ran = pl.duration(seconds=pl.Series(range(len(rows) - 1)))
    typed(rows).with_columns(ran.alias("ran")).write_parquet(buffer)
    return buffer.getvalue()


def typed(rows: Rows) -> pl.DataFrame:
    """The table as columns of numbers."""
    columns = zip(rows[0], zip(*rows[1:], strict=True), strict=True)
    return pl.DataFrame({name: list(map(float, cells)) for name, cells in columns})

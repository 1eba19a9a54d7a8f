"""Text tables: from bytes in any encoding to records with their lines, and to frames of cells."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files.dialect import SEPARATORS, Dialect, Options, sniff, unit_of
from fedmetaalign.fleet.files.footers import MOST, Footers, ends_so
from fedmetaalign.fleet.files.names import checked_names
from fedmetaalign.fleet.files.source import SMALL_BYTES, Source, chunks

LONGEST_LINE = 8 * 2**20
"""Bytes; no table of numbers has longer ones."""
SAMPLE_LINES = 200
_TAIL = 1 << 14
_UNDEFINED = bytes.fromhex("818d8f909d")  # in cp1252


@dataclass(frozen=True)
class Text:
    """A text table.

    Attributes:
        source: its bytes.
        dialect: how it is written.
        names: of its columns.
        units: of the columns, from the line under the header.
        plain: polars can read it as it lies there.
        size: bytes.
    """

    source: Source
    dialect: Dialect
    names: tuple[str, ...]
    units: dict[str, str]
    plain: bool
    size: int

    def line(self, row: int) -> int:
        """The line on which a row of the frame begins."""
        return next(line for i, (line, _) in enumerate(rows(self)) if i == row)


def examine(source: Source, options: Options) -> Text:
    """Finds out how a text is written, and what its columns are called.

    Raises:
        DataError: it is no text, has a line beyond the bounds or a header that cannot be used.
    """
    surveyed = _survey(source, options.encoding)
    try:
        with _decoded(source, surveyed.encoding) as stream:
            lines = list(islice(iter(lambda: stream.readline(LONGEST_LINE), ""), SAMPLE_LINES))
        dialect = sniff(_body_alone(lines), surveyed.encoding, options)
        line, header = next(_records(source, dialect), (1, []))
    except csv.Error as error:
        raise no_table(source, error) from None
    except UnicodeError:
        raise DataError(
            f"{source.path} is not {surveyed.encoding} text; correct encoding in [fleet.csv]"
        ) from None
    # A byte-order mark can also stand inside a header that was joined from two files.
    header = [name.replace("\ufeff", "").strip() for name in header]
    if not any(header):
        raise DataError(f"{source.path} has no header; its first line must name the columns")
    names = checked_names(header, f"{source.path}, line {line}")
    units = {}
    if dialect.unit_line:
        _, below = next(_body(source, dialect, len(names)), (0, []))
        units = {name: unit for name, cell in zip(names, below, strict=False) if (unit := unit_of(cell)) != "-"}
    plain = surveyed.encoding == "utf-8-sig" and dialect.header == line and not dialect.unit_line
    plain = plain and surveyed.line_ends and not surveyed.marks and _leads(lines, dialect.header)
    plain = plain and not ends_so(surveyed.tail.decode("utf-8", "ignore").splitlines())
    return Text(source, dialect, names, units, plain, surveyed.size)


def _body_alone(lines: list[str]) -> list[str]:
    """Some first lines without those at the end that may sum up: these need not be cut as the others are."""
    end = len(lines)
    while end > 2 and end > len(lines) - MOST and ends_so(lines[:end]):
        end -= 1
    return lines[:end]


def _leads(lines: list[str], header: int) -> bool:
    """Tells whether there is nothing but blank lines before the header."""
    return not any(line.strip() for line in lines[: header - 1])


def rows(text: Text, footers: Footers | None = None) -> Iterator[tuple[int, list[str]]]:
    """The records under the header and the units, each with the line it begins on.

    A line that begins with # and has not as many cells as the header is a comment, if no line that does has.

    Raises:
        DataError: a record has not as many cells as the header.
    """
    body = _body(text.source, text.dialect, len(text.names), footers)
    return islice(body, int(text.dialect.unit_line), None)


def _body(
    source: Source, dialect: Dialect, width: int, footers: Footers | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The records under the header but for comments, and for sums at the end."""
    footers = footers or Footers()
    skipped: tuple[int, int] | None = None
    marked = False
    try:
        for line, row in footers.without(islice(_records(source, dialect), 1, None)):
            mark = dialect.comment is None and row[0].startswith("#")
            if len(row) != width:
                if not mark or marked:
                    raise _ragged(source, dialect, width, line, len(row))
                skipped = skipped or (line, len(row))
                continue
            marked = marked or mark
            if skipped and marked:
                raise _ragged(source, dialect, width, *skipped)
            yield line, row
    except csv.Error as error:
        raise no_table(source, error) from None


def scanned(text: Text, folder: Path, footers: Footers | None = None) -> pl.LazyFrame:
    """All cells as text, to be read when they are asked for.

    Args:
        text: the table.
        folder: where a copy may lie that polars can read; it has to stay until the frame is read.
        footers: gets to know which lines at the end were left out.

    Raises:
        DataError: as `rows`.
    """
    if text.plain and (frame := _quick(text)) is not None:
        return frame
    copy = folder / "rewritten.csv"
    with copy.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(str, range(len(text.names))))
        writer.writerows(row for _, row in rows(text, footers))
    frame = pl.scan_csv(copy, infer_schema=False, missing_columns="raise")
    return frame.rename(dict(zip(frame.collect_schema().names(), text.names, strict=True)))


def no_table(source: Source, error: object) -> DataError:
    """Returns the error of text that is cut into cells nowhere."""
    return DataError(f"{source.path} is not a CSV file ({error}); look for a quote that is not closed")


def _quick(text: Text) -> pl.LazyFrame | None:
    """The table as it lies there, or None where the fast reader gives up or may have padded a short row.

    It pads without a word, and makes a row of a blank line; an empty last cell is the sign of either.
    """
    try:
        frame = pl.scan_csv(text.source.file, infer_schema=False, separator=text.dialect.separator)
        names = frame.collect_schema().names()
        if len(names) != len(text.names):
            return None
        frame = frame.rename(dict(zip(names, map(str, range(len(names))), strict=True)))
        frame = frame.rename(dict(zip(map(str, range(len(names))), text.names, strict=True)))
        if text.size <= SMALL_BYTES:
            frame = frame.collect().lazy()
        empty = frame.select(pl.col(text.names[-1]).null_count()).collect(engine="streaming").item()
    except pl.exceptions.PolarsError:
        return None
    return None if empty else frame


def _ragged(source: Source, dialect: Dialect, width: int, line: int, cells: int) -> DataError:
    separator = dialect.separator
    how = "" if separator == "," else f", cut at {SEPARATORS.get(separator, repr(separator))},"
    return DataError(
        f"{source.path}, line {line}{how} has {cells} cells where the header has {width} columns; "
        "correct or remove the line"
    )


def _records(source: Source, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The header and all records under it that are not blank, each with the line it begins on."""
    number = begin = 0
    fresh = True

    def fed(stream: Iterable[str]) -> Iterator[str]:
        nonlocal number, begin, fresh
        for line in stream:
            number += 1
            if fresh:
                if number < dialect.header:
                    continue
                if number > dialect.header and dialect.comment and line.startswith(dialect.comment):
                    continue
                begin, fresh = number, False
            yield line

    with _decoded(source, dialect.encoding) as stream:
        for row in csv.reader(fed(stream), delimiter=dialect.separator):
            if len(row) > 1 or (row and row[0].strip()):
                yield begin, row
            fresh = True


def _decoded(source: Source, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(io.FileIO(source.file)), encoding, newline="")


@dataclass(frozen=True)
class _Surveyed:
    encoding: str
    line_ends: bool
    """There is a line feed, or no carriage return."""
    marks: bool
    """A line begins with #."""
    size: int
    tail: bytes
    """The last bytes."""


def _survey(source: Source, encoding: str | None) -> _Surveyed:
    """Looks through all bytes of a text once.

    The encoding is what a byte-order mark says; UTF-16 where every other byte of the beginning is zero; UTF-8
    where all is; else cp1252, or Latin-1 where it has bytes that cp1252 leaves undefined.
    """
    utf8 = codecs.getincrementaldecoder("utf-8")()
    is_utf8, undefined, feeds, returns, marks = True, False, 0, 0, False
    size = since = 0
    start, last, tail = b"", b"\n", b""
    for chunk in chunks(source):
        start = start or chunk[:4096]
        if is_utf8:
            try:
                utf8.decode(chunk)
            except UnicodeDecodeError:
                is_utf8 = False
        if not is_utf8:
            undefined = undefined or any(byte in chunk for byte in _UNDEFINED)
        marks = marks or b"\n#" in chunk or (last == b"\n" and chunk.startswith(b"#"))
        feeds += chunk.count(b"\n")
        returns += chunk.count(b"\r")
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        since = since + len(chunk) if end < 0 else len(chunk) - end - 1
        if since > LONGEST_LINE:
            raise DataError(
                f"{source.path}, line {max(feeds, returns) + 1} is longer than {LONGEST_LINE // 2**20} MiB, as"
                " no line of a table is; look at the file"
            )
        size += len(chunk)
        last, tail = chunk[-1:], (tail + chunk)[-_TAIL:]
    if is_utf8:
        try:
            utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    if encoding is None:
        encoding = _encoding(start, is_utf8, undefined)
    elif codecs.lookup(encoding).name in ("utf-8", "ascii"):
        encoding = "utf-8-sig"
    if encoding == "utf-8-sig" and not is_utf8:
        raise DataError(
            f"{source.path} is not UTF-8 text; correct encoding in [fleet.csv], or save it as UTF-8"
        )
    return _Surveyed(encoding, feeds > 0 or not returns, marks, size, tail)


def _encoding(start: bytes, is_utf8: bool, undefined: bool) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = start[::2].count(0), start[1::2].count(0)
    if len(start) > 1 and max(even, odd) > 0.4 * len(start) / 2 and min(even, odd) < 0.1 * len(start) / 2:
        return "utf-16-le" if odd > even else "utf-16-be"
    if is_utf8:
        return "utf-8-sig"
    return "latin-1" if undefined else "cp1252"

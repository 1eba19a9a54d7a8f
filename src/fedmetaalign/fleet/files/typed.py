"""Tables that are no text, or whose text has its own form: Parquet, Arrow, spreadsheets, JSON lines."""

import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files.dialect import are_groups
from fedmetaalign.fleet.files.footers import MOST, is_summary
from fedmetaalign.fleet.files.source import CHUNK, Source, chunks, inflated, too_large

MOST_SHEET_BYTES = 2**30
"""What a spreadsheet may unfold to."""
_JSON_LINES = 1000
"""Lines of a file of JSON that its columns are gathered from."""


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever the library says of a damaged file into one sentence.

    Where it panics, it writes so to standard error before it raises what is no Exception; that goes nowhere.

    Raises:
        DataError: it said something.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        raise DataError(f"{path} is not a readable {kind} file; write it again") from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_TITLES = 20  # rows among which a header is looked for
_FEWER = 10  # times the rows of a sheet that the longest has at most


def parquet(source: Source) -> pl.LazyFrame:
    """A Parquet file."""
    with readable(source.path, "Parquet"):
        frame = pl.scan_parquet(source.file, glob=False)
        frame.collect_schema()
    return frame


def arrow(source: Source, most: int) -> pl.LazyFrame:
    """A Feather file (version 2), or an Arrow file or stream, which can only be read as a whole.

    Raises:
        DataError: it is damaged, or a stream with more cells than `most`.
    """
    with readable(source.path, "Arrow"):
        with source.file.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
        if is_file:
            frame = pl.scan_ipc(source.file, glob=False)
            frame.collect_schema()
            return frame
        width = max(1, pl.read_ipc_stream(source.file, n_rows=1).width)
        read = pl.read_ipc_stream(source.file, n_rows=most // width + 1)
    if read.height * width > most:
        raise DataError(
            f"{source.path} is a stream of more than {most // width:,} rows of {width:,} columns: no more can"
            " be read; cut it into several files, or save it as Parquet"
        )
    return read.lazy()


def json_lines(source: Source, longest: int) -> pl.LazyFrame:
    """A file of JSON objects, one a line: all cells as text; its columns are the keys of the first lines.

    Raises:
        DataError: a line is no object.
    """
    names: dict[str, None] = {}
    _bounded(source, longest)
    with source.file.open("rb") as stream:
        for number, line in enumerate(islice(stream, _JSON_LINES), 1):
            if line.strip():
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    found = None
                if not isinstance(found, dict):
                    raise DataError(f"{source.path}, line {number} is no JSON object; write one a line")
                names |= dict.fromkeys(found)
    if not names:
        raise DataError(f"{source.path} has no keys; write a JSON object a line")
    return pl.scan_ndjson(source.file, schema=dict.fromkeys(names, pl.String))


def _bounded(source: Source, longest: int) -> None:
    """Sees that no line is longer than it may be."""
    number, since = 1, 0
    for chunk in chunks(source):
        end = chunk.find(b"\n")
        if since + (len(chunk) if end < 0 else end) > longest:
            raise DataError(f"{source.path}, line {number} is longer than {longest // 2**20} MiB; cut it up")
        number += chunk.count(b"\n")
        since = since + len(chunk) if end < 0 else len(chunk) - chunk.rfind(b"\n") - 1


def spreadsheet(source: Source) -> tuple[list[str], pl.DataFrame, str, int]:
    """A sheet with a table: its header, all cells under it as text, which it is, and the header's row.

    It is the first that has a tenth of the rows of the longest. Rows before the header that have a single cell
    are titles. A shorter table beside it, an empty column apart, and sums at the end are left out. Where no
    sheet has a row under a header of two columns, it is the first with something in it.

    Raises:
        DataError: it is damaged, unfolds to more than it may, or there is nothing in it.
    """
    from fastexcel import FastExcelError, read_excel

    _unfold(source)
    try:
        book = read_excel(str(source.file))
        sheets = {
            name: pl.DataFrame(book.load_sheet(name, header_row=None, dtypes="string"))
            for name in book.sheet_names
        }
        filled = [name for name, frame in sheets.items() if frame.height]
        if not filled:
            raise DataError(f"{source.path} has no sheet with anything in it; give it a header and rows")
        starts = {name: _header(sheets[name]) for name in filled}
        under = {name: sheets[name].height - starts[name] - 1 for name in filled}
        most = max(under.values())
        name = next((each for each in filled if under[each] and under[each] * _FEWER >= most), filled[0])
        frame, start = _largest(sheets[name], starts[name]), starts[name]
    except (FastExcelError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DataError(f"{source.path} is not a readable .xlsx file; save it again") from error
    header = [cell or "" for cell in frame.row(start)]
    others = [other for other in book.sheet_names if other != name]
    told = f"sheet '{name}'" + (f" of {len(others) + 1}" if others else "")
    end = frame.height
    while end > max(start + 2, frame.height - MOST) and is_summary(frame.row(end - 1)):
        end -= 1
    return header, frame[start + 1 : end], told + (f", header in row {start + 1}" if start else ""), start + 1


def _header(frame: pl.DataFrame) -> int:
    """The row that names the columns, from 0: the first with more than one cell, where there are such rows."""
    top = frame.head(_TITLES + 3).rows()
    counts = [sum(1 for cell in row if cell and cell.strip()) for row in top[:_TITLES]]
    start = next((row for row, count in enumerate(counts) if count > 1), 0)
    return start + are_groups(top[start : start + 3])


def _largest(frame: pl.DataFrame, start: int) -> pl.DataFrame:
    """The table of a sheet without a shorter one beside it, which an empty column parts from it."""
    filled = [(frame[name].fill_null("").str.strip_chars() != "").arg_true() for name in frame.columns]
    heights = [int(rows[-1]) + 1 if len(rows) else 0 for rows in filled]
    blocks: list[list[int]] = [[]]
    for i, height in enumerate(heights):
        if height:
            blocks[-1].append(i)
        elif blocks[-1]:
            blocks.append([])
    tall = [max((heights[i] for i in block), default=0) for block in blocks]
    if 2 * sorted(tall)[-2:][0] > max(tall) - start:
        return frame
    return frame.select(frame.columns[i] for i in blocks[tall.index(max(tall))])


def _unfold(source: Source) -> None:
    """Sees that a spreadsheet does not unfold to more than memory holds, whatever it says of itself."""
    total = 0
    try:
        with zipfile.ZipFile(source.file) as archive, source.file.open("rb") as stream:
            for member in archive.infolist():
                if not member.filename.endswith((".xml", ".rels")):
                    continue
                stream.seek(member.header_offset + 26)
                lengths = stream.read(4)
                stream.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
                if member.compress_type != zipfile.ZIP_DEFLATED:
                    total += member.compress_size
                    continue
                left = member.compress_size
                packed = iter(lambda: stream.read(CHUNK), b"")
                del left
                for piece in inflated(packed, -15):
                    total += len(piece)
                    if total > MOST_SHEET_BYTES:
                        raise too_large(source.path, MOST_SHEET_BYTES)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{source.path} is not a readable .xlsx file; save it again") from error

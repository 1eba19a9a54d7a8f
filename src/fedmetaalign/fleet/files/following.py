"""A table that grows: its rows as they are appended, each once and none half-written."""

import codecs
import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files.dialect import Options, is_number
from fedmetaalign.fleet.files.following_json import objects
from fedmetaalign.fleet.files.loading import JSON_LINES, TEXTS, Only, read
from fedmetaalign.fleet.files.raw import Raw
from fedmetaalign.fleet.files.source import CHUNK, STDIN, Folder, Source, opened
from fedmetaalign.fleet.files.styles import decide, known, styled
from fedmetaalign.fleet.files.text import LONGEST_LINE, Text

_WIDE = {b"\xff\xfe": b"\n\0", b"\xfe\xff": b"\0\n"}  # line feeds of UTF-16, by its byte-order marks


@dataclass(frozen=True)
class Lines:
    """The lines that the rows of a piece begin on."""

    of_rows: tuple[int, ...]

    def line(self, row: int) -> int:
        """The line of a row."""
        return self.of_rows[row]

    def named(self, row: int) -> str:
        """The line of a row, for a sentence."""
        return f"line {self.of_rows[row]}"


def follow(path: Path, only: Only, options: Options, wait: float = 0.5) -> Iterator[Raw | DataError]:
    """Yields the rows of a growing file, or of standard input (`-`), which ends when its writer leaves.

    The dialect is that of the rows which are there first. A last line without an end waits for it.

    Args:
        path: text, or JSON lines.
        only: as in `load`.
        options: what is known of its dialect.
        wait: seconds between looks at the file.

    Yields:
        Some rows, or what is wrong with a line that is left out.

    Raises:
        DataError: there is no such file, its beginning cannot be read, or it became shorter.
    """
    pieces = _appended(path, wait)
    begin = b""
    if str(path) == STDIN:
        begin = next(pieces, b"")
        suffix = ".jsonl" if begin.lstrip().startswith(b"{") else ".csv"
    else:
        source = opened(path)
        suffix = source.suffix
        if source.packed or suffix not in (*TEXTS, *JSON_LINES):
            raise DataError(
                f"{path} can be read when it is whole, and no sooner, as every .gz, .parquet, .xlsx and .arrow:"
                " score it then, or follow a CSV file or JSON lines"
            )
    pieces = chain([begin], pieces)
    if suffix in JSON_LINES:
        yield from objects(Path("standard input") if str(path) == STDIN else path, pieces, only)
        return
    begun, first = b"", None
    for piece in pieces:
        begun += piece
        if piece and (first := _beginning(path, begun, only, options)) is not None:
            break
    if first is None:
        if begun and (first := _beginning(path, begun + b"\n", only, options, ended=True)) is not None:
            yield first[0]
        return
    raw, used = first
    yield raw
    yield from _rest(raw, begun[:used].count(b"\n"), begun[used:], pieces, options)


def _beginning(
    path: Path, begun: bytes, only: Only, options: Options, *, ended: bool = False
) -> tuple[Raw, int] | None:
    """Reads the whole lines that are there, and how many bytes they are; None without a row."""
    feed = _WIDE.get(begun[:2], b"\n")
    used = begun.rfind(feed) + len(feed)
    lines = begun[:used].translate(None, b"\0\xff\xfe\xef\xbb\xbf").splitlines()
    if begun[:used].count(b'"') % 2 or all(not line.strip() or line.startswith(b"#") for line in lines):
        return None
    folder = Folder()
    copy = folder.path / "begun.csv"
    copy.write_bytes(begun[:used])
    shown = Path("standard input") if str(path) == STDIN else path
    raw = read(Source(shown, copy, ".csv", folder=folder), only, (), options)
    if raw.frame.is_empty() or not (ended or raw.frame.height > 1 or any(map(is_number, _cells(raw)))):
        return None  # a row without a number may yet turn out to be of units
    return raw, used


def _cells(raw: Raw) -> list[str]:
    return [cell or "" for cell in raw.frame.row(0)]


def _rest(
    raw: Raw, line: int, begun: bytes, pieces: Iterator[bytes], options: Options
) -> Iterator[Raw | DataError]:
    """The rows after the first ones, which are written as those are."""
    text = raw.text
    assert isinstance(text, Text)  # noqa: S101 - `read` made it
    dialect, names = text.dialect, list(text.names)
    writer = _Numbers(raw, text, known(raw, dialect.separator, options))
    comment = "#" if dialect.comment is None else dialect.comment
    name = codecs.lookup(dialect.encoding.replace("-sig", "")).name
    if name == "utf-16":  # its mark is behind us
        name = "utf-16-be" if begun_big_endian(text.source) else "utf-16-le"
    decoder = codecs.getincrementaldecoder(name)(errors="replace")
    waiting = decoder.decode(begun)
    for piece in pieces:
        waiting += decoder.decode(piece)
        whole = waiting[: waiting.rfind("\n") + 1]
        if not whole or whole.count('"') % 2:
            if len(waiting) > LONGEST_LINE:
                raise DataError(f"{raw.path}, line {line + 1} is longer than {LONGEST_LINE // 2**20} MiB")
            continue
        waiting = waiting[len(whole) :]
        rows: list[list[str]] = []
        lines: list[int] = []
        reader = csv.reader(whole.splitlines(keepends=True), delimiter=dialect.separator)
        begin = line + 1
        for row in reader:
            if len(row) == len(names):
                rows.append(row)
                lines.append(begin)
            elif any(cell.strip() for cell in row) and not (comment and row[0].startswith(comment)):
                if rows:
                    yield from writer.pieces(rows, lines)
                    rows, lines = [], []
                yield DataError(
                    f"{raw.path}, line {begin} has {len(row)} cells where the header has {len(names)} columns"
                )
            begin = line + reader.line_num + 1
        line += reader.line_num
        if rows:
            yield from writer.pieces(rows, lines)


@dataclass(frozen=True)
class _Numbers:
    """Makes later rows of a text like the first ones.

    Attributes:
        raw: the first ones.
        text: where they come from.
        options: how numbers are written, as far as the first ones prove it.
    """

    raw: Raw
    text: Text
    options: Options

    def pieces(self, rows: list[list[str]], lines: list[int]) -> Iterator[Raw | DataError]:
        """Some rows and the lines that they begin on: together, or one by one where one cannot be read."""
        frame = pl.DataFrame(rows, schema=dict.fromkeys(self.text.names, pl.String), orient="row")
        lazy, needed = frame.lazy(), self.raw.frame.columns
        separator, where = self.text.dialect.separator, Lines(tuple(lines))
        try:
            styles = decide(self.raw.path, lazy, needed, (), self.options, separator, where.named)
        except DataError as error:
            if len(rows) == 1:
                yield error
                return
            for row, line in zip(rows, lines, strict=True):
                yield from self.pieces([row], [line])
            return
        yield replace(self.raw, frame=styled(lazy.select(needed), styles).collect(), text=where)


def begun_big_endian(source: Source) -> bool:
    """Tells whether a text begins with the byte-order mark of the bigger end."""
    with source.file.open("rb") as stream:
        return stream.read(2) == b"\xfe\xff"


def _appended(path: Path, wait: float) -> Iterator[bytes]:
    """What is in a file and what is appended to it, and nothing each time that nothing was."""
    if str(path) == STDIN:
        while piece := os.read(sys.stdin.fileno(), CHUNK):
            yield piece
        yield b"\n"  # nobody will end its last line
        return
    with path.open("rb") as stream:
        while True:
            if piece := stream.read(CHUNK):
                yield piece
                continue
            if path.stat().st_size < stream.tell():
                raise DataError(f"{path} became shorter while it was followed; call again")
            yield b""
            time.sleep(wait)

"""A file of any kind that is read becomes a table of cells."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import typed
from fedmetaalign.fleet.files.dialect import SEPARATORS, Dialect, Options
from fedmetaalign.fleet.files.footers import Footers
from fedmetaalign.fleet.files.names import checked_names, missing
from fedmetaalign.fleet.files.numbers import Style
from fedmetaalign.fleet.files.raw import Later, Raw, listed
from fedmetaalign.fleet.files.source import SMALL_BYTES, Source, opened
from fedmetaalign.fleet.files.styles import decide, styled
from fedmetaalign.fleet.files.text import LONGEST_LINE, examine, scanned

MOST_ROWS = 20_000_000
MOST_CELLS = 200_000_000
"""Of the columns that are read."""
MOST_HELD = 20_000_000
"""Cells of a file that are held as they are before they become numbers, where that can be."""
MOST_GLANCED = 500_000
"""Rows of a file that is only looked at."""
_RUNS = 20
MOST_CELLS_AT_ONCE = 2**20
"""Of a piece, where a file is read piece by piece."""

CERTAIN = ("commas, UTF-8", "Parquet", "Arrow", "JSON lines")
"""The dialects of which there is nothing to say."""

Only = Sequence[str] | Callable[[Sequence[str]], Sequence[str]] | None
"""The columns that are needed: named, chosen among those that there are, or all."""

TEXTS = (".csv", ".tsv", ".txt", ".tab", ".dat")
ARROWS = (".feather", ".arrow", ".arrows", ".ipc")
JSON_LINES = (".jsonl", ".ndjson")
KINDS = (*TEXTS, ".xlsx", ".parquet", *ARROWS, *JSON_LINES)
SUFFIXES = tuple(kind + packed for kind in KINDS for packed in ("", ".gz"))
"""How a file's name ends that can be read."""


def load(
    path: Path | Source,
    only: Only = None,
    texts: Collection[str] = (),
    options: Options | None = None,
    *,
    later: bool = False,
) -> Raw:
    """Reads a file without giving its columns a meaning; unnamed columns become "(column 8)".

    Args:
        path: text with a header (.csv, .tsv, .txt) in any dialect, .xlsx, .parquet, .feather, .arrow or .jsonl,
            each also packed as .gz; `-` is standard input. Or a source that is open.
        only: the columns that are needed, what chooses them among those that there are, or None for all.
        texts: those of them that are no numbers; of any other that has some it is an error if nobody can tell
            how they are written.
        options: what is known of the dialect of a text.
        later: leave the columns of a large file that are not among `texts` where they are.

    Raises:
        DataError: the file is missing, empty, not what its name says, or beyond the bounds; it has two columns
            of one name, a row that is longer or shorter than the header, no row at all, not all columns that
            are needed, or numbers that can be read in two ways.
    """
    source = path if isinstance(path, Source) else opened(Path(path))
    with _scanned(source, only, texts, options or Options()) as found, typed.readable(source.path, found.kind):
        raw = _held_in_part(found, only, texts, options) if later else None
        return _not_empty(raw or _whole(found, texts))


def read(source: Source, only: Only, texts: Collection[str], options: Options) -> Raw:
    """As `load`, of a file that has been looked at; perhaps without a row."""
    with _scanned(source, only, texts, options) as found, typed.readable(source.path, found.kind):
        return _whole(found, texts)


def columns(path: Path, options: Options | None = None) -> list[str]:
    """Returns the names of a file's columns.

    Raises:
        DataError: as `load`, but for a file without rows.
    """
    source = opened(Path(path))
    with _scanned(source, None, (), options or Options()) as found:
        return found.raw.frame.columns


def glanced(path: Path, options: Options | None = None, most: int = MOST_GLANCED) -> Raw:
    """As `load`, but of a file with more rows runs of neighbours from all over it, about so many rows in all.

    Raises:
        DataError: as `load`.
    """
    source = opened(Path(path))
    with _scanned(source, None, (), options or Options()) as found, typed.readable(source.path, found.kind):
        if found.height > most:
            run = -(-most // _RUNS)
            every = -(-found.height // (run * _RUNS))
            number = pl.col("\0row")
            rows = found.rows.with_row_index("\0row").filter(number // run % every == 0)
            frame = rows.collect(engine="streaming")
            return replace(
                found.raw, frame=frame.drop("\0row"), rows=frame["\0row"].to_numpy().astype(np.int64)
            )
        return _not_empty(_whole(found, ()))


def _whole(found: "_Scanned", texts: Collection[str]) -> Raw:
    """All rows."""
    if found.large:
        return replace(
            found.raw, frame=_large(found.rows, [n for n in found.raw.frame.columns if n not in texts])
        )
    return replace(found.raw, frame=found.rows.collect(engine=found.engine))


def _held_in_part(found: "_Scanned", only: Only, texts: Collection[str], options: Options | None) -> Raw | None:
    """The texts alone of a file with more cells than should be held twice; None of a smaller one."""
    needed = found.raw.frame.columns
    held = [name for name in needed if name in texts]
    if not held or found.kind == ".xlsx" or found.height * len(needed) <= MOST_HELD:
        return None
    frame = found.rows.select(held).collect(engine="streaming")
    frame = frame.with_columns(pl.lit(None).alias(name) for name in needed if name not in held).select(needed)
    again = (found.raw.path, only, texts, options)
    return replace(found.raw, frame=frame, later=Later(partial(pieces, *again), partial(load, *again)))


def pieces(
    path: Path | Source, only: Only, texts: Collection[str] = (), options: Options | None = None
) -> Generator[Raw, None, None]:
    """Yields the rows of a file in their order, at most `MOST_CELLS_AT_ONCE` cells at a time.

    Args:
        path: as in `load`.
        only: as in `load`.
        texts: as in `load`.
        options: as in `load`.

    Raises:
        DataError: as `load`.
    """
    source = path if isinstance(path, Source) else opened(Path(path))
    with _scanned(source, only, texts, options or Options()) as found:
        rows = max(1, MOST_CELLS_AT_ONCE // max(16, found.raw.frame.width))
        batches = found.rows.collect_batches(chunk_size=rows, maintain_order=True)
        first = 0
        while True:
            with typed.readable(source.path, found.kind):
                frame = next(batches, None)
            if frame is None:
                break
            if frame.height:
                yield replace(found.raw, frame=frame, rows=np.arange(first, first + frame.height))
            first += frame.height
    if not first:
        _not_empty(found.raw)


def _not_empty(raw: Raw) -> Raw:
    if raw.frame.is_empty():
        raise DataError(f"{raw.path} has a header but no rows; remove the device or give it data")
    return raw


@dataclass(frozen=True)
class _Scanned:
    """A file whose columns are known, and whose rows wait to be read.

    Attributes:
        raw: what is known of it, without a row.
        rows: of the columns that are needed.
        kind: for a sentence.
        height: how many there are.
        large: a text that should not be held as one.
        engine: of polars.
    """

    raw: Raw
    rows: pl.LazyFrame
    kind: str
    height: int
    large: bool = False
    engine: Literal["auto", "streaming"] = "streaming"


@contextmanager
def _scanned(source: Source, only: Only, texts: Collection[str], options: Options) -> Iterator[_Scanned]:
    """Finds out how a file is written; its rows can be read as long as the context lasts."""
    match source.suffix:
        case kind if kind in TEXTS:
            with TemporaryDirectory(prefix="fedmetaalign-") as folder:
                yield _text(source, only, texts, options, Path(folder))
        case ".xlsx":
            header, frame, sheet, first = typed.spreadsheet(source)
            names = checked_names([name.strip() for name in header], f"{source.path}, row {first}")
            frame.columns = list(names)
            needed = needed_of(source.path, names, only)
            _check(source, frame.height, needed)
            whole = frame.lazy()
            styles = decide(
                source.path, whole, needed, texts, options, ",", lambda row: f"row {row + first + 1}"
            )
            raw = Raw(source.path, _bare(needed), first=first + 1, dialect=sheet, styles=styles)
            yield _Scanned(raw, styled(whole.select(needed), styles), ".xlsx", frame.height, engine="auto")
        case kind if kind in JSON_LINES:
            yield _typed(source, typed.json_lines(source, LONGEST_LINE), only, "JSON", "JSON lines")
        case ".parquet":
            yield _typed(source, typed.parquet(source), only, "Parquet")
        case kind if kind in ARROWS:
            yield _typed(source, typed.arrow(source, MOST_CELLS), only, "Arrow")
        case other:
            kinds = f"{', '.join(KINDS[:-1])} and {KINDS[-1]}"
            raise DataError(f"{source.path} ends in '{other}', but only {kinds} can be read; export it as one")


def _bare(names: Sequence[str]) -> pl.DataFrame:
    """Columns without rows."""
    return pl.DataFrame(schema=dict.fromkeys(names, pl.String))


def _typed(source: Source, lazy: pl.LazyFrame, only: Only, kind: str, dialect: str = "") -> _Scanned:
    """A file that has types."""
    with typed.readable(source.path, kind):
        there = lazy.collect_schema().names()
        names = checked_names(there, str(source.path))
        if renamed := {old: new for old, new in zip(there, names, strict=True) if old != new}:
            lazy = lazy.rename(renamed)
        rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
    needed = needed_of(source.path, names, only)
    _check(source, rows, needed)
    return _Scanned(Raw(source.path, _bare(needed), dialect=dialect or kind), lazy.select(needed), kind, rows)


def needed_of(path: Path, names: Sequence[str], only: Only) -> list[str]:
    """The columns that are needed, once each, which have to be there."""
    wanted = names if only is None else only(names) if callable(only) else only
    for name in wanted:
        if name not in names:
            raise missing(path, name, names, listed(names))
    return list(dict.fromkeys(wanted))


def _check(source: Source, rows: int, needed: Sequence[str]) -> None:
    """Sees that all of it fits into memory."""
    if rows > MOST_ROWS or rows * len(needed) > MOST_CELLS:
        raise DataError(
            f"{source.path} has {rows:,} rows and {len(needed):,} columns to read, and {MOST_ROWS:,} rows and"
            f" {MOST_CELLS:,} cells can be; name fewer columns, or cut it into several files"
        )


def _text(source: Source, only: Only, texts: Collection[str], options: Options, folder: Path) -> _Scanned:
    text = examine(source, options)
    needed = needed_of(source.path, text.names, only)
    separator = text.dialect.separator
    with typed.readable(source.path, "CSV"):
        footers = Footers()
        whole = scanned(text, folder, footers)
        height = int(whole.select(pl.len()).collect(engine="streaming").item())
        _check(source, height, needed)
        lines = lambda row: f"line {text.line(row)}"  # noqa: E731
        styles = decide(source.path, whole, needed, texts, options, separator, lines)
    dialect = _told(source, text.dialect, styles.values(), len(footers.lines))
    raw = Raw(source.path, _bare(needed), text, dialect=dialect, units=text.units, styles=styles)
    large = text.size > SMALL_BYTES
    rows = styled(whole.select(needed), styles)
    return _Scanned(raw, rows, "CSV", height, large, "streaming" if large else "auto")


def _large(lazy: pl.LazyFrame, numbers: Sequence[str]) -> pl.DataFrame:
    """The cells of a large text: columns as Float64 where every cell is a finite number or empty."""
    texts = {name: pl.col(name).str.strip_chars() for name in numbers}
    values = {name: text.cast(pl.Float64, strict=False) for name, text in texts.items()}
    bad = [
        ((texts[name] != "") & (values[name].is_finite().fill_null(value=False).not_())).any().alias(name)
        for name in numbers
    ]
    found = lazy.select(bad).collect(engine="streaming").row(0, named=True) if bad else {}
    return lazy.with_columns(values[name] for name in numbers if not found[name]).collect(engine="streaming")


def _told(source: Source, dialect: Dialect, styles: Collection[Style], sums: int) -> str:
    """How a text was read, in a few words."""
    words = [SEPARATORS.get(dialect.separator, f"separated by {dialect.separator!r}")]
    if any(style.decimal == "," for style in styles):
        words.append("decimal commas")
    if parted := {sign for style in styles for sign in style.thousands if sign in ".,"}:
        words.append(f"thousands with '{parted.pop()}'")
    words.append(
        {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "latin-1": "Latin-1"}.get(dialect.encoding, dialect.encoding)
    )
    if dialect.header > 1:
        words.append(f"header in line {dialect.header}")
    if dialect.unit_line:
        words.append("a line of units")
    if sums:
        words.append(f"{sums} line{'s' * (sums > 1)} at the end left out (sums and the like)")
    if source.packed:
        words.append("gzip")
    return ", ".join(words)

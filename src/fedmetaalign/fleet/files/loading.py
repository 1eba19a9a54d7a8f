"""A file of any kind that is read becomes a table of cells."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import numbers as written
from fedmetaalign.fleet.files import typed
from fedmetaalign.fleet.files.dialect import SEPARATORS, Dialect, Options
from fedmetaalign.fleet.files.names import checked_names, missing
from fedmetaalign.fleet.files.numbers import Proofs, Style
from fedmetaalign.fleet.files.raw import Raw, listed
from fedmetaalign.fleet.files.source import SMALL_BYTES, Source, opened
from fedmetaalign.fleet.files.text import LONGEST_LINE, examine, scanned

MOST_ROWS = 20_000_000
MOST_CELLS = 200_000_000
"""Of the columns that are read."""

CERTAIN = ("commas, UTF-8", "Parquet", "Arrow", "JSON lines")
"""The dialects of which there is nothing to say."""

Only = Sequence[str] | Callable[[Sequence[str]], Sequence[str]] | None
"""The columns that are needed: named, chosen among those that there are, or all."""

_SHOWN = 1000  # rows that are asked what the decimal sign is, once that is settled

TEXTS = (".csv", ".tsv", ".txt", ".tab", ".dat")
ARROWS = (".feather", ".arrow", ".arrows", ".ipc")
JSON_LINES = (".jsonl", ".ndjson")
KINDS = (*TEXTS, ".xlsx", ".parquet", *ARROWS, *JSON_LINES)


def load(
    path: Path,
    only: Only = None,
    texts: Collection[str] = (),
    options: Options | None = None,
) -> Raw:
    """Reads a file without giving its columns a meaning; unnamed columns become "(column 8)".

    Args:
        path: text with a header (.csv, .tsv, .txt) in any dialect, .xlsx, .parquet, .feather, .arrow or .jsonl,
            each also packed as .gz; `-` is standard input.
        only: the columns that are needed, what chooses them among those that there are, or None for all.
        texts: those of them that are no numbers; of any other that has some it is an error if nobody can tell
            how they are written.
        options: what is known of the dialect of a text.

    Raises:
        DataError: the file is missing, empty, not what its name says, or beyond the bounds; it has two columns
            of one name, a row that is longer or shorter than the header, no row at all, not all columns that
            are needed, or numbers that can be read in two ways.
    """
    source = opened(Path(path))
    options = options or Options()
    raw = read(source, only, texts, options)
    if raw.frame.is_empty():
        raise DataError(f"{source.path} has a header but no rows; remove the device or give it data")
    return raw


def read(source: Source, only: Only, texts: Collection[str], options: Options) -> Raw:
    """As `load`, of a file that has been looked at; perhaps without a row."""
    match source.suffix:
        case kind if kind in TEXTS:
            return _text(source, only, texts, options)
        case ".xlsx":
            header, frame, sheet = typed.spreadsheet(source)
            names = checked_names([name.strip() for name in header], f"{source.path}, row 1")
            frame.columns = list(names)
            needed = _needed(source, names, only)
            _check(source, frame.height, needed)
            whole = frame.lazy()
            styles = decide(source.path, whole, needed, texts, options, ",", lambda row: f"row {row + 2}")
            frame = styled(whole.select(needed), styles).collect()
            return Raw(source.path, frame, first=2, dialect=sheet, styles=styles)
        case kind if kind in JSON_LINES:
            lazy = typed.json_lines(source, LONGEST_LINE)
            return Raw(source.path, _typed(source, lazy, only, "JSON"), dialect="JSON lines")
        case ".parquet":
            return Raw(source.path, _typed(source, typed.parquet(source), only, "Parquet"), dialect="Parquet")
        case kind if kind in ARROWS:
            return Raw(source.path, _typed(source, typed.arrow(source), only, "Arrow"), dialect="Arrow")
        case other:
            kinds = f"{', '.join(KINDS[:-1])} and {KINDS[-1]}"
            raise DataError(f"{source.path} ends in '{other}', but only {kinds} can be read; export it as one")


def _typed(source: Source, lazy: pl.LazyFrame, only: Only, kind: str) -> pl.DataFrame:
    """The columns that are needed, of a file that has types."""
    with typed.readable(source.path, kind):
        names = checked_names(lazy.collect_schema().names(), str(source.path))
        rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
    needed = _needed(source, names, only)
    _check(source, rows, needed)
    with typed.readable(source.path, kind):
        return lazy.select(needed).collect(engine="streaming")


def _needed(source: Source, names: Sequence[str], only: Only) -> list[str]:
    """The columns that are needed, once each, which have to be there."""
    wanted = names if only is None else only(names) if callable(only) else only
    for name in wanted:
        if name not in names:
            raise missing(source.path, name, names, listed(names))
    return list(dict.fromkeys(wanted))


def _check(source: Source, rows: int, needed: Sequence[str]) -> None:
    """Sees that all of it fits into memory."""
    if rows > MOST_ROWS or rows * len(needed) > MOST_CELLS:
        raise DataError(
            f"{source.path} has {rows:,} rows and {len(needed):,} columns to read, and {MOST_ROWS:,} rows and"
            f" {MOST_CELLS:,} cells can be; name fewer columns, or cut it into several files"
        )


def _text(source: Source, only: Only, texts: Collection[str], options: Options) -> Raw:
    text = examine(source, options)
    needed = _needed(source, text.names, only)
    separator = text.dialect.separator
    with TemporaryDirectory(prefix="fedmetaalign-") as folder, typed.readable(source.path, "CSV"):
        whole = scanned(text, Path(folder))
        _check(source, int(whole.select(pl.len()).collect(engine="streaming").item()), needed)
        lines = lambda row: f"line {text.line(row)}"  # noqa: E731
        styles = decide(source.path, whole, needed, texts, options, separator, lines)
        lazy = styled(whole.select(needed), styles)
        if text.size <= SMALL_BYTES:
            frame = lazy.collect()
        else:
            frame = _large(lazy, [name for name in needed if name not in texts])
    dialect = _told(source, text.dialect, styles.values())
    return Raw(source.path, frame, text, dialect=dialect, units=text.units, styles=styles)


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


def decide(
    path: Path,
    whole: pl.LazyFrame,
    needed: Sequence[str],
    texts: Collection[str],
    options: Options,
    separator: str,
    where: Callable[[int], str],
) -> dict[str, Style]:
    """Decides how each column writes its numbers; those that polars reads as they are are left out.

    Of a file that is separated by commas only the columns that are to be numbers are looked at.
    """
    scope = [name for name in needed if separator != "," or name not in texts]
    found: dict[str, Style] = {}
    decimal, thousands = options.decimal, options.thousands
    if thousands in (" ", "'"):  # kinds of blanks look alike
        thousands = written.BLANKS
    decimal = decimal or {".": ",", ",": "."}.get(thousands or "")
    if decimal is not None:
        other = ",.".replace(decimal, "")
        parted = set[str]()
        if thousands is None:
            parted = {*_true(whole, written.parted(scope, other))}
        for name in _true(whole, written.suspects(scope, ";")):
            signs = (other if name in parted else "") + written.BLANKS
            found[name] = Style(decimal, signs if thousands is None else thousands)
            foreign = found[name].foreign(pl.col(name))
            if name not in texts and (row := _first(whole, foreign)) is not None:
                cell = _cell(whole, name, row)
                raise DataError(
                    f"{path}, {where(row)}, column '{name}' holds '{cell}', and the decimal sign is"
                    f" '{decimal}'; correct it, or decimal in [fleet.csv]"
                )
        return found
    suspected = _true(whole, written.suspects(scope, separator))
    own = _proofs(whole, suspected)
    every: list[Proofs] | None = None
    for name in suspected:
        style = written.style(own[name], [own[name]], separator == ",")
        if style is None:
            if every is None:
                every = [
                    each for each in _proofs(whole, whole.collect_schema().names()).values() if each.are_numbers
                ]
            style = written.style(own[name], every, separator == ",")
        if style is None:
            if name not in texts:
                raise _doubt(path, whole, name, own[name], where)
        elif not style.is_plain:
            found[name] = style if thousands is None else replace(style, thousands=thousands)
    return found


def known(raw: Raw, separator: str, options: Options) -> Options:
    """Adds to what is known of numbers what some rows prove: the decimal sign, and what parts thousands."""
    if options.decimal is not None:
        return options
    found = {style.decimal for style in raw.styles.values()}
    proofs = _proofs(raw.frame.lazy(), raw.frame.columns).items()
    points = any(each.are_numbers and each.has("point") for name, each in proofs if name not in raw.styles)
    if separator == "," or points:
        found.add(".")
    if len(found) != 1:
        return options
    thousands = options.thousands
    if thousands is None:
        thousands = "".join(sorted({sign for style in raw.styles.values() for sign in style.thousands}))
    return replace(options, decimal=found.pop(), thousands=thousands)


def proven(raw: Raw, features: Sequence[str]) -> dict[str, str]:
    """Returns the decimal sign of a text's features, as [fleet.csv] has it, where cells might leave it open.

    In a text that is separated by commas a point is the decimal sign, of which there is nothing to say.
    """
    signs = {raw.styles[name].decimal for name in features if name in raw.styles}
    if not raw.dialect.startswith(SEPARATORS[","]):
        plain = [name for name in features if name in raw.frame.columns and name not in raw.styles]
        shown = raw.frame.select(pl.col(plain).head(_SHOWN).cast(pl.String))
        signs |= {"."} if any(shown[name].str.contains(r"\d\.\d").any() for name in plain) else set()
    return {"decimal": signs.pop()} if len(signs) == 1 else {}


def _doubt(path: Path, whole: pl.LazyFrame, name: str, own: Proofs, where: Callable[[int], str]) -> DataError:
    """Returns the error of a column whose numbers can be read in two ways."""
    say = 'say decimal = "." or decimal = "," in [fleet.csv] of the recipe, or with --csv'
    signs = [sign for sign in ("point", "comma") if own.has(sign)]
    if len(signs) > 1:
        rows = [_first(whole, written.proves(name, sign)) or 0 for sign in signs]
        shown = " and ".join(f"'{_cell(whole, name, row)}' in {where(row)}" for row in rows)
        return DataError(f"{path}, column '{name}' holds {shown}; write both with one decimal sign, or {say}")
    row = _first(whole, written.proves(name, "point?") | written.proves(name, "comma?")) or 0
    cell = _cell(whole, name, row)
    return DataError(
        f"{path}, {where(row)}, column '{name}' holds '{cell}', which may be {cell.replace(',', '.')} or"
        f" {cell.replace(',', '').replace('.', '')}, and no cell tells which; {say}"
    )


def _proofs(whole: pl.LazyFrame, columns: Sequence[str]) -> dict[str, Proofs]:
    if not columns:
        return {}
    counted = whole.select(written.counts(columns)).collect(engine="streaming")
    return {name: Proofs.of(counted, index) for index, name in enumerate(columns)}


def _true(whole: pl.LazyFrame, tests: Sequence[pl.Expr]) -> list[str]:
    """The names of the tests that are true."""
    if not tests:
        return []
    return [
        name
        for name, true in whole.select(tests).collect(engine="streaming").row(0, named=True).items()
        if true
    ]


def _first(whole: pl.LazyFrame, test: pl.Expr) -> int | None:
    """The first row of which a test is true."""
    found = whole.select(test.fill_null(value=False).alias("\0")).with_row_index("\0row").filter(pl.col("\0"))
    rows = found.head(1).collect(engine="streaming")
    return int(rows["\0row"][0]) if rows.height else None


def _cell(whole: pl.LazyFrame, name: str, row: int) -> str:
    return str(whole.select(name).slice(row, 1).collect(engine="streaming").item()).strip()[:40]


def styled(lazy: pl.LazyFrame, styles: Mapping[str, Style]) -> pl.LazyFrame:
    """Cells of text with their numbers as 1234.5."""
    return lazy.with_columns(style.plain(pl.col(name)).alias(name) for name, style in styles.items())


def _told(source: Source, dialect: Dialect, styles: Collection[Style]) -> str:
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
    if source.packed:
        words.append("gzip")
    return ", ".join(words)

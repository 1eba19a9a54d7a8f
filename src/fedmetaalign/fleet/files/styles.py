"""How the columns of a text write their numbers: decided by all their cells, and told where nobody can."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import numbers as written
from fedmetaalign.fleet.files.dialect import SEPARATORS, Options
from fedmetaalign.fleet.files.numbers import Proofs, Style
from fedmetaalign.fleet.files.raw import Raw

_SHOWN = 1000  # rows that are asked what the decimal sign is, once that is settled


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
        parted = {*_true(whole, written.parted(scope, other))} if thousands is None else set[str]()
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

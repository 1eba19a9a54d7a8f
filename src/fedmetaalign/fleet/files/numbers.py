"""Numbers as people write them, such as 1.234,5: which sign is the decimal one, by all cells of a column.

In what follows "point" and "comma" stand for what a cell proves: 0.5 that the point is the decimal sign, 1,2345
that the comma is, 1.234.567 that the point parts thousands. Of 1.234 nobody can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

BLANKS = " '\u2019\u00a0\u2009\u202f"
"""What parts thousands besides a point or a comma."""

_E = r"(?:[eE][+-]?\d+)?$"


def _decimal(sign: str, other: str) -> str:
    """Cells that prove that a sign is the decimal one."""
    groups = rf"\d{{1,3}}(?:[{other}{BLANKS}]\d{{3}})+"
    several = rf"\d{{1,3}}(?:\{other}\d{{3}}){{2,}}"
    plain = rf"(?:0+|\d{{4,}}|)\{sign}\d+|\d+\{sign}(?:\d{{0,2}}|\d{{4,}})"
    return rf"^[+-]?(?:{groups}\{sign}\d+|{several}|{plain}){_E}|^[+-]?\d+\{sign}\d+[eE][+-]?\d+$"


def _doubtful(sign: str) -> str:
    """Cells of which nobody can tell whether a sign is the decimal one."""
    return rf"^[+-]?[1-9]\d{{0,2}}\{sign}\d{{3}}$"


def _grouped(sign: str, other: str) -> str:
    """Cells that prove that a sign parts thousands."""
    return rf"^[+-]?\d{{1,3}}(?:(?:\{sign}\d{{3}})+\{other}\d+|(?:\{sign}\d{{3}}){{2,}}){_E}"


_PROOFS = {
    "point": _decimal(".", ","),
    "comma": _decimal(",", "."),
    "point?": _doubtful("."),
    "comma?": _doubtful(","),
    "thousand points": _grouped(".", ","),
    "thousand commas": _grouped(",", "."),
    "blanks": rf"^[+-]?\d{{1,3}}(?:[{BLANKS}]\d{{3}})+(?:[.,]\d*)?$",
    "whole": r"^[+-]?\d+(?:[eE][+-]?\d+)?$",
}


@dataclass(frozen=True)
class Style:
    """How numbers are written: the decimal sign, and what parts thousands ("" for nothing)."""

    decimal: str = "."
    thousands: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether polars reads it as it is."""
        return self == Style()

    def plain(self, text: pl.Expr) -> pl.Expr:
        """Cells of text with the numbers of this style as 1234.5, all others as they are."""
        if self.is_plain:
            return text
        bare = text.str.strip_chars()
        plain = bare.str.replace_all(rf"[{self.thousands}]", "") if self.thousands else bare
        plain = plain.str.replace(self.decimal, ".", literal=True)
        return pl.when(bare.str.contains(self._number)).then(plain).otherwise(text)

    def foreign(self, text: pl.Expr) -> pl.Expr:
        """Tells of cells of text whether polars reads them as numbers, but not of this style."""
        bare = text.str.strip_chars()
        return bare.str.contains(r"^[+-]?\d*\.\d*" + _E) & ~bare.str.contains(self._number)

    @property
    def _number(self) -> str:
        groups = rf"\d{{1,3}}(?:[{self.thousands}]\d{{3}})+|" if self.thousands else ""
        return rf"^[+-]?(?:{groups}\d+|)(?:\{self.decimal}\d*)?{_E}"


def counts(columns: Sequence[str]) -> list[pl.Expr]:
    """Expressions that count what the cells of columns of text prove; their results go to `Proofs`."""
    counted = []
    for index, name in enumerate(columns):
        bare = pl.col(name).str.strip_chars()
        counted += [
            bare.str.contains(pattern).sum().alias(f"{index} {proof}") for proof, pattern in _PROOFS.items()
        ]
        counted.append((bare != "").sum().alias(f"{index} filled"))
    return counted


def proves(column: str, proof: str) -> pl.Expr:
    """Tells which cells of a column of text prove something."""
    return pl.col(column).str.strip_chars().str.contains(_PROOFS[proof])


def parted(columns: Sequence[str], sign: str) -> list[pl.Expr]:
    """Expressions that tell of columns of text whether a sign parts the thousands of a number there."""
    pattern = rf"^[+-]?\d{{1,3}}(?:[{BLANKS}]\d{{3}})*\{sign}\d{{3}}"
    return [pl.col(name).str.strip_chars().str.contains(pattern).any().alias(name) for name in columns]


def suspects(columns: Sequence[str], separator: str) -> list[pl.Expr]:
    """Expressions that tell of columns of text whether a cell has a sign that `counts` has to look at."""
    signs = f"[,{BLANKS}]" if separator == "," else f"[.,{BLANKS}]"
    return [pl.col(name).str.strip_chars().str.contains(signs).any().alias(name) for name in columns]


@dataclass(frozen=True)
class Proofs:
    """How many cells of a column prove what, by the names in `_PROOFS`, of so many that are not empty."""

    count: Mapping[str, int]
    filled: int

    @classmethod
    def of(cls, counted: pl.DataFrame, index: int) -> "Proofs":
        """Takes a column's out of what `counts` found."""
        found = counted.row(0, named=True)
        count = {proof: int(found[f"{index} {proof}"] or 0) for proof in _PROOFS}
        return cls(count, int(found[f"{index} filled"] or 0))

    @property
    def are_numbers(self) -> bool:
        """Whether most cells are numbers, in whatever way."""
        numbers = sum(self.count[proof] for proof in ("point", "comma", "point?", "comma?", "whole"))
        return 2 * max(numbers, self.count["blanks"]) > self.filled

    def has(self, *proofs: str) -> bool:
        """Whether a cell proves one of these."""
        return any(self.count[proof] for proof in proofs)


def style(own: Proofs, every: Sequence[Proofs], comma_separated: bool) -> Style | None:
    """Decides how a column writes its numbers, or returns None where nobody can tell.

    What a cell of the column proves decides; else what cells of the other columns prove, if they agree. A sign
    that is not the decimal one parts thousands only where a cell of the file proves that it does. In a file
    that is separated by commas a point is the decimal sign.

    Args:
        own: of the column.
        every: of all columns of the file that are numbers.
        comma_separated: the cells of the file are.
    """
    if not own.are_numbers:
        return Style()
    points, commas = own.has("point"), own.has("comma")
    if points and commas:
        return Style() if comma_separated else None
    if not points and not commas:
        if own.has("point?") and own.has("comma?"):
            return None
        if own.has("point?", "comma?"):
            points, commas = (any(each.has(sign) for each in every) for sign in ("point", "comma"))
            if comma_separated and own.has("point?"):
                points, commas = True, False
            if points == commas:
                return None
    decimal, other, groups = (
        (",", "point?", "thousand points") if commas else (".", "comma?", "thousand commas")
    )
    thousands = BLANKS if own.has("blanks") else ""
    if own.has(other) or own.has(groups):
        if not any(each.has(groups) for each in every):
            return None
        thousands += "." if commas else ","
    return Style(decimal, thousands)

"""How a table is written as text: sniffed from its beginning, unless the recipe says so."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NUMBER = re.compile(r"\s*[+-]?(\d[\d.,'\u2019\u00a0\u202f\u2009 ]*|[.,]\d+)(e[+-]?\d+)?\s*", re.IGNORECASE)
_TITLES = 10  # lines before a header that may be titles
_SEP = re.compile('"?sep=(.)"?', re.IGNORECASE)  # what spreadsheets tell each other in a first line
_BASE = (
    r"(da|[yzafpnumµμcdhkMGTPE])?"
    r"(m|g|s|A|K|mol|cd|Hz|N|Pa|J|W|C|V|F|Ω|Ohm|ohm|Ohms|S|Wb|T|H|lm|lx|bar|l|L|eV|rad|Nm|Wh|VA|var|Ah|t)"
)
_WHOLE = (
    r"[°º]\s?[CFK]?|deg|degC|degF|%|‰|ppm|ppb|rpm|RPM|U/min|1/min|rev|min|h|d|hr|hrs|sec|a|psi|mmHg|in|ft"
    r"|dB|dBA|g0|Grad|inch|gal|count|counts|1/s|cps|pH"
)
_UNIT = re.compile(rf"({_BASE}|{_WHOLE})([²³]|\^?-?\d)?([*·./ ]({_BASE}|{_WHOLE})([²³]|\^?-?\d)?)*")


@dataclass(frozen=True)
class Options:
    """What the recipe says of text tables, in [fleet.csv]; what is None is sniffed.

    Attributes:
        separator: between cells.
        decimal: "." or ",".
        thousands: "" for none.
        encoding: such as "cp1252".
        comment: what a line begins with that is none of the table's; "" for none.
        header: the line that names the columns, as an editor counts.
        unit_line: the line under the header holds units.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None
    header: int | None = None
    unit_line: bool | None = None


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        encoding: of its bytes, for Python's codecs.
        separator: between cells.
        header: the line of the header, from 1.
        comment: what a comment begins with; None for "#", where a line does not have the header's cells.
        unit_line: the record under the header holds units.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    header: int = 1
    comment: str | None = None
    unit_line: bool = False


def sniff(lines: Sequence[str], encoding: str, options: Options) -> Dialect:
    """Finds how a text is written from its first lines.

    The separator is that of , ; tab | which gives every line as many cells as the header, more than one; of
    several the one by which most cells are numbers, and of equals the first. Where none does, it is the one
    that cuts the header into most.
    """
    comment = options.comment
    first = (options.header or 1) - 1
    separator = options.separator
    if options.header is None:
        first = _content(lines, 0)
        if first < len(lines) and (told := _SEP.fullmatch(lines[first].strip("\ufeff\r\n"))):
            separator = separator or told[1]
            first = _content(lines, first + 1)
        mark = "#" if comment is None else comment
        while mark and first < len(lines) and lines[first].startswith(mark):
            if comment is None and _is_header(lines, first, separator):
                break
            first = _content(lines, first + 1)
    if first >= len(lines):  # comments alone
        first = _content(lines, 0)
    if options.header is None:
        first = _under_titles(lines, first, comment, separator)
        first = _under_groups(lines, first, comment, separator)
    separator = separator or _separator(_without_comments(lines[first:], comment))
    rows = records_of(_without_comments(lines[first:], comment), separator)
    unit_line = options.unit_line if options.unit_line is not None else _are_units(rows)
    return Dialect(encoding, separator, first + 1, comment, unit_line)


def records_of(lines: Sequence[str], separator: str, most: int = 200) -> list[list[str]]:
    """The first records of some lines that are not blank; those that cannot be parsed end them."""
    rows: list[list[str]] = []
    try:
        for row in islice(csv.reader(lines, delimiter=separator), most):
            if any(cell.strip() for cell in row) or len(row) > 1:
                rows.append(row)
    except csv.Error:
        pass
    return rows


def is_number(cell: str) -> bool:
    """Tells whether a cell is a number in whatever way to write one."""
    return _NUMBER.fullmatch(cell) is not None


def unit_of(cell: str) -> str:
    """A unit without its brackets."""
    text = cell.strip()
    return text[1:-1].strip() if text[:1] + text[-1:] in ("[]", "()") else text


def _content(lines: Sequence[str], start: int) -> int:
    """The first line from `start` that is not blank."""
    return next((i for i in range(start, len(lines)) if lines[i].strip("\ufeff \t\r\n")), len(lines))


def _under_titles(lines: Sequence[str], first: int, comment: str | None, separator: str | None) -> int:
    """The line of the header, below lines with a single cell each: under these all lines are as wide as it."""
    for start in range(first, min(first + _TITLES, len(lines))):
        below = _content(lines, start + 1)
        rest = _without_comments(lines[below:], comment)
        if not rest or any(_filled(lines[start], each) > 1 for each in separator or SEPARATORS):
            return first
        rows = records_of(rest, separator or _separator(rest), 50)
        names = [cell for cell in rows[0] if cell.strip()] if rows else []
        alike = len(rows) > 1 and len({*map(len, rows)}) == 1
        if alike and len(names) > 1 and not any(map(is_number, names)):
            return below
    return first


def _under_groups(lines: Sequence[str], first: int, comment: str | None, separator: str | None) -> int:
    """The line of the header, below one that names groups of columns and has gaps between them."""
    rest = _without_comments(lines[first:], comment)
    rows = records_of(rest, separator or _separator(rest), 50)
    return _content(lines, first + 1) if are_groups(rows) and not _are_units(rows) else first


def are_groups(rows: Sequence[Sequence[str | None]]) -> bool:
    """Tells whether the first record names groups of columns, and the second the columns.

    The first has gaps, and the second has none, and no number; the third has one.
    """
    if len(rows) < 3 or len(rows[0]) != len(rows[1]):
        return False
    groups, names, values = ([(cell or "").strip() for cell in row] for row in rows[:3])
    width = max((i for i, cell in enumerate(names) if cell), default=-1) + 1
    own = names[:width]
    return (
        "" in groups[1:width]
        and all(own)
        and len({*own}) == width
        and len([cell for cell in groups if cell]) > 1
        and not any(map(is_number, (*own, *groups)))
        and any(map(is_number, values))
    )


def _filled(line: str, separator: str) -> int:
    """How many cells of a line have something in them."""
    return sum(1 for row in records_of([line], separator) for cell in row if cell.strip())


def _without_comments(lines: Sequence[str], comment: str | None) -> list[str]:
    """Some lines without those that may be comments, but for the first, which is the header."""
    mark = "#" if comment is None else comment
    return [line for i, line in enumerate(lines) if not (i and mark and line.startswith(mark))]


def _is_header(lines: Sequence[str], first: int, separator: str | None) -> bool:
    """Tells whether a line that begins with # names the columns: the next has as many cells, and a number."""
    below = [line for line in islice(lines, first + 1, None) if line.strip() and not line.startswith("#")][:50]
    rows = records_of([lines[first], *below], separator or _separator([lines[first], *below]))
    return len(rows) > 1 and len(rows[0]) == len(rows[1]) and any(map(is_number, rows[1]))


def _separator(lines: Sequence[str]) -> str:
    best, found = (False, 0.0), ""
    widest, most = 1, ","
    for separator in SEPARATORS:
        rows = records_of(lines, separator)
        if not rows:
            continue
        width = len(rows[0])
        if width > widest:
            widest, most = width, separator
        if width > 1 and all(len(row) == width for row in rows[1:]):
            below = [cell for row in rows[1:] for cell in row]
            score = (True, sum(map(is_number, below)) / max(len(below), 1))
            if score > best:
                best, found = score, separator
    return found or most


def _are_units(rows: Sequence[Sequence[str]]) -> bool:
    """Tells whether the record under the header is of units: most over numbers are, none is a number."""
    if len(rows) < 3 or len(rows[1]) != len(rows[0]):
        return False
    over_numbers = named = units = 0
    for i, cell in enumerate(rows[1]):
        below = [row[i] for row in rows[2:] if i < len(row) and row[i].strip()]
        numbers = bool(below) and 2 * sum(map(is_number, below)) > len(below)
        over_numbers += numbers
        text = cell.strip()
        if text in ("", "-"):
            named += numbers and text == "-"  # it has none
            continue
        bracketed = text[0] + text[-1] in ("[]", "()") and not any(map(str.isdigit, text))
        if not bracketed and not (numbers and _UNIT.fullmatch(unit_of(text))):
            return False
        named += numbers
        units += numbers
    return units > 0 and 2 * named > over_numbers

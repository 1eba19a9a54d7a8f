"""Lines at the end of a table that are none of it: sums, means, counts, and zeros where a log was cut off."""

import re
from collections.abc import Iterable, Iterator, Sequence

_SUMS = (
    "sums?|totals?|subtotal|average|avg|mean|summe|gesamt|gesamtsumme|mittelwert|durchschnitt|somme|totaux"
    "|moyenne|suma|promedio|totale|somma"
)
_OTHERS = (
    r"min|max|median|minimum|maximum|count|std|stdev|anzahl|nombre|media|mittel|eof"
    r"|(end|ende|fin) (of|der|de) \w+|\d+ (rows?|lines?|records?|Zeilen|lignes|filas)"
)
_SUM = re.compile(rf"[\W_]*({_SUMS})\b", re.IGNORECASE)
_OTHER = re.compile(rf"[\W_]*({_OTHERS})\b", re.IGNORECASE)
MOST = 5
"""Such lines at the end of a table; more are rows."""


def is_summary(cells: Sequence[str | None]) -> bool:
    """Whether a row may be such a line, by its first cell that is not empty.

    Words that a state or a mode may be called by, too, count only in a row that lacks cells.
    """
    first = next((cell for cell in cells if cell and cell.strip()), "")
    lacks = len(cells) == 1 or not all(cell and cell.strip() for cell in cells)
    only_zeros = bool(first) and not first.strip("\0 \t\r\n")
    return only_zeros or _SUM.match(first) is not None or (lacks and _OTHER.match(first) is not None)


def ends_so(lines: Iterable[str]) -> bool:
    """Whether the last of some lines may be one."""
    last = [line for line in lines if line.strip()][-1:]
    return bool(last) and is_summary([last[0].strip().strip("'\"")])


class Footers:
    """Keeps such records back until it is known that they are the last.

    Attributes:
        lines: where those begin that were left out.
    """

    def __init__(self) -> None:
        """Starts with no record."""
        self.lines: list[int] = []
        self._rows: list[tuple[int, list[str]]] = []
        self._known = False  # they are among the rows: none is a footer

    def without(self, records: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
        """Yields records, each with the line it begins on, but for a few at the end that sum up."""
        for record in records:
            if not self._known and is_summary(record[1]):
                self._rows.append(record)
                continue
            if self._rows:
                self._known = True
                yield from self._rows
                self._rows = []
            yield record
        if len(self._rows) > MOST:
            yield from self._rows
        else:
            self.lines = [line for line, _ in self._rows]

"""Rows that two files share: a split that does not know of them trains on what it tests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.fleet.columns.findings import are_row_numbers, of_no_use
from fedmetaalign.fleet.files import Raw, cells, parse


@dataclass(frozen=True)
class Overlap:
    """Rows of one file that are also in another.

    Attributes:
        first: the file, or the device, whose rows were looked for.
        second: the one they were found in.
        columns: the columns of numbers that both have, over which rows were compared.
        shared: rows of `first` (each unlike all others in it) that `second` holds.
        rows: all rows of `first`.
    """

    first: Path | str
    second: Path | str
    columns: tuple[str, ...]
    shared: int
    rows: int

    @property
    def share(self) -> float:
        """The part of the first file's rows, 0 to 1."""
        return self.shared / self.rows

    @property
    def sentence(self) -> str:
        """What was found and what to do."""
        share = "All" if self.shared == self.rows else f"{self.shared:,} of"
        return (
            f"{share} {self.rows:,} rows of {self.first} are also in {self.second} (the same "
            f"{', '.join(self.columns)}); keep the two files on one side of every split."
        )


def overlaps(files: Sequence[tuple[Path | str, Mapping[str, np.ndarray]]]) -> tuple[Overlap, ...]:
    """Looks for rows that two files share, over the columns of numbers (more than two values) both have.

    Rows that repeat within their own file say nothing (few possible values) and are not counted; neither is
    an overlap of fewer than ten rows or 1 %, or over a single column. Of each pair the fuller direction is
    given.

    Args:
        files: the path of each, and its columns as `comparable` gives them: (rows,) float64, without -0.0.
    """
    found = []
    for index, (first, a) in enumerate(files):
        for second, b in files[:index]:
            common = tuple(name for name in a if name in b)
            if len(common) < 2:
                continue
            mine, theirs = _packed(a, common), _packed(b, common)
            fuller = max(
                Overlap(first, second, common, len(_once(mine) & set(theirs)), len(mine)),
                Overlap(second, first, common, len(_once(theirs) & set(mine)), len(theirs)),
                key=lambda overlap: overlap.share,
            )
            if fuller.shared >= 10 and fuller.share >= 0.01:
                found.append(fuller)
    return tuple(found)


def comparable(raw: Raw) -> dict[str, np.ndarray]:
    """The columns of finite numbers with more than two values that are not row numbers."""
    columns = {}
    for name in raw.frame.columns:
        if of_no_use(raw.frame[name]):
            continue
        series = raw.frame[name]
        values = np.array(series, np.float64) if series.dtype.is_numeric() else parse(cells(raw, name))[0]
        if np.isfinite(values).all() and len(np.unique(values)) > 2 and not are_row_numbers(values):
            columns[name] = values + 0.0  # -0.0 becomes 0.0: rows are compared by their bytes
    return columns


def _packed(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> list[bytes]:
    """Each row of some columns as its bytes."""
    return [row.tobytes() for row in np.stack([columns[name] for name in names], axis=1)]


def _once(rows: Sequence[bytes]) -> set[bytes]:
    """The rows that occur a single time."""
    return {row for row, count in Counter(rows).items() if count == 1}

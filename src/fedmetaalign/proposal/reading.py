"""Tables to look at: the files of a folder, and which of them are tables of one kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw, load

SUFFIXES = (".csv", ".parquet")
"""How a file's name ends that is taken for a table unasked."""
_ALIKE = 0.5  # the share of columns that tables of one kind have in common


@dataclass(frozen=True)
class Family:
    """Tables of one kind, and all their rows as one.

    Attributes:
        raws: the tables.
        pooled: all rows in the order of the tables; a cell is null where a table lacks the column.
    """

    raws: tuple[Raw, ...]
    pooled: Raw

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(raw.path for raw in self.raws)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order in which the tables have them."""
        return tuple(self.pooled.frame.columns)

    def lacking(self, column: str) -> tuple[Path, ...]:
        """The tables without a column."""
        return tuple(raw.path for raw in self.raws if column not in raw.frame.columns)


def tables_in(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The tables that are named, and those of the folders that are, sorted.

    Raises:
        DataError: a path is not there, or there is no table at all.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.is_file() and p.name.lower().endswith(SUFFIXES))
        inside = [p for p in inside if not p.name.startswith(".")]
        if not inside:
            below = sorted({str(p.parent) for p in path.rglob("*") if p.name.lower().endswith(SUFFIXES)})
            hint = f"; there are some in {', '.join(below[:3])}" if below else ""
            raise DataError(f"{path} holds no table ({', '.join(SUFFIXES)}){hint}: name another folder.")
        found += inside
    return tuple(dict.fromkeys(found))


def read(paths: Sequence[Path]) -> tuple[tuple[Family, ...], tuple[str, ...]]:
    """Reads tables and sorts them by kind: tables are of one kind that share half of their columns.

    Returns:
        The families, that of the first table first, and a sentence for each table that cannot be read.

    Raises:
        DataError: none can be read.
    """
    raws: list[Raw] = []
    wrong: list[str] = []
    for path in paths:
        try:
            raws.append(load(path))
        except DataError as error:
            wrong.append(str(error))
    if not raws:
        raise DataError(wrong[0] if len(wrong) == 1 else f"None of {len(wrong)} tables can be read: {wrong[0]}")
    return tuple(Family(tuple(kin), _pooled(kin)) for kin in _kin(raws)), tuple(wrong)


def _kin(raws: Sequence[Raw]) -> Iterator[list[Raw]]:
    families: list[list[Raw]] = []
    for raw in raws:
        own = {*raw.frame.columns}
        for family in families:
            others = {*family[0].frame.columns}
            if len(own & others) >= _ALIKE * len(own | others):
                family.append(raw)
                break
        else:
            families.append([raw])
    yield from families


def _pooled(raws: Sequence[Raw]) -> Raw:
    if len(raws) == 1:
        return raws[0]
    frames = [raw.frame for raw in raws]
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).add(dtype)
    mixed = [name for name, found in types.items() if len(found) > 1]
    frames = [
        frame.with_columns(pl.col(n).cast(pl.String) for n in mixed if n in frame.columns) for frame in frames
    ]
    return Raw(raws[0].path, pl.concat(frames, how="diagonal"))

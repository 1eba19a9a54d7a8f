"""Tables to look at: the files of a folder, and which of them are tables of one kind."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.in_names import bare_of
from fedmetaalign.fleet.files import CERTAIN, Options, Raw, glanced
from fedmetaalign.fleet.files.loading import KINDS
from fedmetaalign.proposal.conversions import alike, in_one_unit

_LOOSE = (".txt", ".dat")  # notes, perhaps: taken for tables where there are no others
SUFFIXES = tuple(kind + packed for kind in KINDS if kind not in _LOOSE for packed in ("", ".gz"))
"""How a file's name ends that is taken for a table unasked."""
_ALIKE = 0.5  # the share of columns that tables of one kind have in common


@dataclass(frozen=True)
class Family:
    """Tables of one kind, and all their rows as one.

    Attributes:
        raws: the tables.
        pooled: all rows in the order of the tables; a cell is null where a table lacks the column.
        decimals: of texts that do not prove what their decimal sign is, what it was taken for; and of all
            others, too, where one of them proves it.
        proof: the name of that one; empty where there is none.
    """

    raws: tuple[Raw, ...]
    pooled: Raw
    decimals: Mapping[Path, str] = field(default_factory=dict)
    proof: str = ""

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
        here = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "~$")))
        inside = [p for p in here if p.name.lower().endswith(SUFFIXES)]
        inside = inside or [p for p in here if p.name.lower().endswith(_LOOSE)]
        if not inside:
            below = sorted({str(p.parent) for p in path.rglob("*") if p.name.lower().endswith(SUFFIXES)})
            hint = f"; there are some in {', '.join(below[:3])}" if below else ""
            raise DataError(f"{path} holds no table ({', '.join(KINDS)}){hint}: name another folder.")
        found += inside
    return tuple(dict.fromkeys(found))


def below(paths: Sequence[Path]) -> Iterator[str]:
    """Yields what tables lie in folders of the folders that are named, which are not looked at."""
    for path in paths:
        inside = [p for p in path.rglob("*") if p.name.lower().endswith(SUFFIXES)] if path.is_dir() else []
        counts = Counter(str(p.parent) for p in inside if p.parent != path)
        for folder, count in sorted(counts.items()):
            yield f"{folder} has {count} table{'s' * (count > 1)} more, which were not looked at: name it, too."


def read(paths: Sequence[Path], options: Options | None = None) -> tuple[tuple[Family, ...], dict[Path, str]]:
    """Reads tables and sorts them by kind: tables are of one kind that share half of their columns.

    Args:
        paths: the tables.
        options: what is known of the dialect of texts.

    Returns:
        The families, that of the first table first, and why which tables cannot be read.

    Raises:
        DataError: none can be read.
    """
    options = options or Options()
    raws: list[Raw] = []
    wrong: dict[Path, str] = {}
    decimals: dict[Path, str] = {}
    seen: dict[Path, Path] = {}
    for path in paths:
        if (known := seen.setdefault(path.resolve(), path)) != path:
            wrong[path] = f"{path} is a link to {known}, which is there already"
            continue
        try:
            raws.append(glanced(path, options))
        except DataError as error:
            if (sign := _decimal(path, options)) and (raw := _with(path, sign, options)):
                raws.append(raw)
                decimals[path] = sign
            else:
                wrong[path] = str(error)
    if not raws:
        first = next(iter(wrong.values()))
        raise DataError(first if len(wrong) == 1 else f"None of {len(wrong)} tables can be read: {first}")
    return tuple(_family(kin, decimals, options) for kin in _kin(raws)), wrong


def _family(kin: Sequence[Raw], decimals: Mapping[Path, str], options: Options) -> Family:
    """Makes tables of one kind a family; one that proves its decimal comma speaks for those that do not."""
    own = {raw.path: decimals[raw.path] for raw in kin if raw.path in decimals}
    sure = [raw for raw in kin if raw.path not in own]
    proofs = [raw for raw in sure if any(style.decimal == "," for style in raw.styles.values())]
    if {*own.values()} == {","} and proofs and all(_reads_with_commas(raw, options) for raw in sure):
        kin = alike(kin)
        return Family(
            tuple(kin), _pooled(in_one_unit(kin)), {raw.path: "," for raw in kin}, proofs[0].path.name
        )
    kin = alike(kin)
    return Family(tuple(kin), _pooled(in_one_unit(kin)), own)


def _reads_with_commas(raw: Raw, options: Options) -> bool:
    """Whether a table is the same where it is told that its decimal sign is the comma."""
    again = _with(raw.path, ",", options)
    return again is not None and again.frame.equals(raw.frame)


def _decimal(path: Path, options: Options) -> str | None:
    """The sign that a text writes before three digits, where it is one and the same: a decimal sign, likely.

    Nothing proves it, which is why `load` refuses such a text; a recipe can say it, for somebody to check.
    """
    if options.decimal is not None or not path.is_file():
        return None
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            start = file.read(1 << 16).replace(b"\0", b"").decode("latin-1")  # UTF-16 too
    except (OSError, EOFError, zlib.error):
        return None
    signs = set(re.findall(r"(?<![\d.,])\d{1,3}([.,])\d{3}(?![\d.,])", start))
    return signs.pop() if len(signs) == 1 else None


def _with(path: Path, decimal: str, options: Options) -> Raw | None:
    try:
        return glanced(path, replace(options, decimal=decimal))
    except DataError:
        return None


def _kin(raws: Sequence[Raw]) -> Iterator[list[Raw]]:
    families: list[list[Raw]] = []
    for raw in raws:
        own = {bare_of(name)[0] for name in raw.frame.columns}
        for family in families:
            others = {bare_of(name)[0] for name in family[0].frame.columns}
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
    dialects = dict.fromkeys(raw.dialect for raw in raws if raw.dialect not in CERTAIN)
    units = {name: unit for raw in reversed(raws) for name, unit in raw.units.items()}
    return Raw(raws[0].path, pl.concat(frames, how="diagonal"), dialect="; ".join(dialects), units=units)

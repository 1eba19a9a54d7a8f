"""Folders of recordings: a file each, whose name says what it is of."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError, DataErrors, Problem, noting
from fedmetaalign.fleet.columns.units import bare
from fedmetaalign.fleet.division.cutting import Candidate, unique_names
from fedmetaalign.fleet.files import Raw, load
from fedmetaalign.fleet.files.loading import SUFFIXES
from fedmetaalign.fleet.patterns import is_pattern
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.tables import Columns, of_raw
from fedmetaalign.fleet.windows.joined import joined
from fedmetaalign.fleet.windows.windowed import ShortError


@dataclass(frozen=True)
class Recording:
    """A file.

    Attributes:
        path: where it is.
        parts: what its name says, by the names of the parts.
    """

    path: Path
    parts: tuple[tuple[str, str], ...]


def recordings_in(table: Path, pattern: str) -> list[Recording]:
    """Returns the files of a folder, sorted, with what their names say.

    Args:
        table: with `*` or `?` in its name, and in those of as many folders above it as `pattern` has.
        pattern: such as "{machine}/{state}_{run}", of a file's name without what says how it is written. A part
            is as short as it can be.

    Raises:
        DataError: there is none, or one is called otherwise.
    """
    depth = pattern.count("/") + 1
    base, name = Path(*table.parts[:-depth]), "/".join(table.parts[-depth:])
    found = [
        _recording(path, pattern, "name it so, or let fleet.table leave it out")
        for path in sorted(base.glob(name))
    ]
    if not found:
        raise DataError(f"No file matches {table}: check the recipe's table and --data.")
    return found


def recordings_among(paths: Sequence[Path], pattern: str) -> list[Recording]:
    """As `recordings_in`, of one device: of files, of folders of them, and of patterns for files.

    Raises:
        DataError: there is none, or one is called otherwise.
    """
    files: dict[Path, None] = {}
    for path in paths:
        there = [path]
        if path.is_dir():
            there = [each for each in path.rglob("*") if each.name.lower().endswith(SUFFIXES)]
        elif is_pattern(str(path)):
            there = [*Path(path.anchor).glob(str(path.relative_to(path.anchor)))]
        if not there:
            raise DataError(f"{path} stands for no table: check --table.")
        files |= dict.fromkeys(sorted(there))
    return [_recording(path, pattern, "name it so, or let --table leave it out") for path in files]


def _recording(path: Path, pattern: str, otherwise: str) -> Recording:
    named = re.compile(
        "".join(
            f"(?P<{piece[1:-1]}>[^/]+?)" if piece.startswith("{") else re.escape(piece)
            for piece in re.split(r"(\{\w+\})", pattern)
        )
    )
    stem = Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem
    folders = path.absolute().parts[:-1]
    match = named.fullmatch("/".join([*folders[len(folders) - pattern.count("/") :], stem]))
    if match is None:
        raise DataError(f"{path} is not called like fleet.window.files = '{pattern}': {otherwise}.")
    return Recording(path, tuple(match.groupdict().items()))


def devices_of(
    found: Sequence[Recording], columns: Columns, by: tuple[str, ...], name: str | None
) -> Iterator[Candidate]:
    """Yields the devices that recordings are of.

    Args:
        found: the files.
        columns: what their columns mean; those that a file's name tells are columns, too.
        by: parts of the name that say which device; none where all are of one.
        name: of the only device, or put in front of those of several.

    Raises:
        DataError: a part is none.
    """
    told = dict(found[0].parts)
    if strange := [part for part in by if part not in told]:
        raise DataError(
            f"fleet.device names '{strange[0]}', and the names of files tell {', '.join(told)}: take of these."
        )
    groups: dict[tuple[str, ...], list[Recording]] = defaultdict(list)
    for each in found:
        parts = dict(each.parts)
        groups[tuple(parts[part] for part in by)].append(each)
    keys = sorted(groups)
    called = ["-".join((*([name] if name else []), *key)) or found[0].path.parent.name for key in keys]
    for key, text, safe in zip(keys, called, unique_names(called), strict=True):
        yield Candidate(text, safe, partial(read_recordings, groups[key], columns, safe))


def read_recordings(
    found: Sequence[Recording], columns: Columns, name: str, change: Callable[[Raw], Raw] = lambda raw: raw
) -> Table:
    """Reads one device's recordings, window by window; one that is too short is left out, and told.

    Args:
        found: the files.
        columns: what their columns mean.
        name: of the device.
        change: what is done to the rows of each before they get their meaning.

    Raises:
        DataErrors: one cannot be used, or all are too short.
    """
    tables: list[Table] = []
    short: list[ShortError] = []
    problems: list[Problem] = []
    for each in found:
        with noting(problems):
            try:
                tables.append(_of_one(change(raw_of(each, columns)), columns, name))
            except ShortError as error:
                short.append(error)
    if problems:
        raise DataErrors(problems)
    if not tables:
        raise short[0]
    table = joined(tables, name)
    if short and table.windows is not None:
        told = f"{name}: {len(short):,} of {len(found):,} recordings are shorter than a window and left out."
        table = replace(table, windows=replace(table.windows, notes=(*table.windows.notes, told)))
    return table


def raw_of(recording: Recording, columns: Columns) -> Raw:
    """Returns the rows of a recording, with what its name says as columns.

    Raises:
        DataError: the file cannot be read, or has a column that its name tells, too.
    """
    parts = dict(recording.parts)

    def needed(there: Sequence[str]) -> Sequence[str]:
        others = bare(there, columns.spoken)
        wanted = columns.needed([*there, *(part for part in parts if part not in others)])
        return [column for column in there if column in wanted]

    texts = tuple(column for column in columns.texts if column not in parts)
    raw = load(recording.path, needed, texts, columns.csv)
    if both := [part for part in parts if part in raw.frame.columns]:
        raise DataError(
            f"{recording.path} has a column '{both[0]}', and its name tells '{both[0]}', too: call the part of"
            " fleet.window.files otherwise."
        )
    told = (pl.lit(text).alias(part) for part, text in parts.items())
    return replace(raw, frame=raw.frame.with_columns(told))


def _of_one(raw: Raw, columns: Columns, name: str) -> Table:
    table = of_raw(raw, columns, name)
    windows = table.windows
    if windows is None:
        return table
    stem = "/".join([*raw.path.parent.parts[-1:], raw.path.stem])
    own = [stem] * len(table) if not columns.recordings else [f"{stem}:{each}" for each in windows.recordings]
    return replace(table, windows=replace(windows, recordings=np.array(own, str)))

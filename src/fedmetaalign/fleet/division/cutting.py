"""One table is cut into devices by the values of some of its columns, each with a name of its own."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw, filled, require
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.tables import Columns, device_of, loaded, of_raw, safe_name, table_of


@dataclass(frozen=True)
class Candidate:
    """What may become a device.

    Attributes:
        called: what a file's name, the cells of a table or the recipe call it.
        name: the same made safe, and unique, also on a file system that ignores case ("Pump-New_York").
        read: returns its table, or raises a DataError where that cannot be used.
        notice: what the user has to know of it; empty for nothing.
    """

    called: str
    name: str
    read: Callable[[], Table]
    notice: str = ""


def cut(path: Path, columns: Columns, by: tuple[str, ...], name: str | None = None) -> list[Candidate]:
    """Cuts one table into devices, one for each combination of values of some columns.

    Args:
        path: as in `read`.
        columns: as in `read`.
        by: the columns to cut by.
        name: put in front of every device's name where given.

    Returns:
        The devices sorted by name.

    Raises:
        DataError: as `read`, nothing to cut by, or a value that is named and never occurs; but what is wrong
            with the rows of some devices alone is no error of the others.
    """
    if not by:
        raise DataError(f"{path}: no column is named to cut the table into devices by; name at least one")
    columns = replace(columns, others=tuple(dict.fromkeys((*columns.others, *by))))
    raw = loaded(path, columns)
    require(raw, by)
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(*(filled(raw, column) for column in by), strict=True)):
        rows[key].append(row)
    keys = sorted(rows)
    called = ["-".join((*([name] if name else []), *key)) for key in keys]
    parts = zip(called, unique_names(called), (np.array(rows[key]) for key in keys), strict=True)
    return sorted(_parts(raw, columns, list(parts)), key=lambda found: found.name)


def _parts(raw: Raw, columns: Columns, devices: list[tuple[str, str, np.ndarray]]) -> Iterator[Candidate]:
    """Yields the devices of a table, each given by what it is called, its name and its rows."""
    try:
        whole, empty, gaps = table_of(raw, columns, safe_name(raw.path.stem), strict=True)
    except DataError as error:
        each = [Candidate(text, name, partial(of_raw, raw.take(r), columns, name)) for text, name, r in devices]
        if sum(map(_can_be_read, each)) in (0, len(each)):
            raise error from None  # it is nobody's in particular
        yield from each
        return
    for text, name, rows in devices:
        own = whole.take(rows, name), empty[rows], gaps.take(rows)
        yield Candidate(text, name, partial(device_of, *own, columns))


def _can_be_read(candidate: Candidate) -> bool:
    try:
        candidate.read()
    except DataError:
        return False
    return True


def unique_names(called: Iterable[str]) -> list[str]:
    """Returns a safe name for each text, all of them unlike, also on a file system that ignores case."""
    names: list[str] = []
    taken: set[str] = set()
    for text in called:
        name = unique = safe_name(text)
        number = 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique.casefold())
        names.append(unique)
    return names

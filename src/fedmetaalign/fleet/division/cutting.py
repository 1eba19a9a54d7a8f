"""One table is cut into devices by the values of some of its columns, each with a name of its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import coded, filled, require
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
    values, place = _keys([coded([filled(raw, column)]) for column in by])
    called = ["-".join((*([name] if name else []), *key)) for key in values]
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(np.bincount(place, minlength=len(values)))
    devices = [*zip(called, unique_names(called), map(slice, [0, *ends[:-1]], ends), strict=True)]
    try:
        whole, empty, gaps = table_of(raw, columns, safe_name(path.stem), strict=True)
    except DataError as error:
        raw = raw if raw.later is None else raw.later.whole()
        found = [
            Candidate(text, name, partial(of_raw, raw.take(order[rows]), columns, name))
            for text, name, rows in devices
        ]
        if sum(map(_can_be_read, found)) in (0, len(found)):
            raise error from None  # it is nobody's in particular
    else:
        # Put in order, and in place, the rows of each device are a part of the whole: none are held twice.
        for column in whole.x.T:
            column[:] = column[order]
        whole = replace(replace(whole, x=whole.x[:, :0]).take(order), x=whole.x)
        empty, gaps = empty[order], gaps.take(order)
        found = []
        for text, name, rows in devices:
            own = whole.take(rows, name), empty[rows], gaps.take(rows)
            found.append(Candidate(text, name, partial(device_of, *own, columns)))
    return sorted(found, key=lambda each: each.name)


def _keys(columns: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Returns the combinations of values that occur, sorted, and the place of each row's own, (rows,) int64.

    Args:
        columns: as `coded` returns them.
    """
    sizes = [len(values) for values, _ in columns]
    joint, place = np.unique(np.ravel_multi_index([place for _, place in columns], sizes), return_inverse=True)
    each = zip(columns, np.unravel_index(joint, sizes), strict=True)
    return [*zip(*(values[own].tolist() for (values, _), own in each), strict=True)], place


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

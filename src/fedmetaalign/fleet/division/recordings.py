"""Divides windows of recordings, so that no sample is on both sides of a split.

Windows of one recording are nearly the same: a model that has seen one knows the other, and accuracies of 99 %
come about that way. So a recording is on one side, test or training, as a whole, unless the recipe asks for
more in words (`split_recordings`): then its parts lie one after the other, and windows across the border are
left out. The phases share the training recordings in the same way, part after part.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.dealing import deal
from fedmetaalign.fleet.labels.classes import canonical, text_of
from fedmetaalign.fleet.patterns import like
from fedmetaalign.fleet.schema import Table, Windows
from fedmetaalign.recipe import Splits

WHOLE = 2
"""A class with so many times as many training recordings as there are parts is dealt by whole recordings."""

_GOLDEN = (5**0.5 - 1) / 2  # whose multiples fill the numbers from 0 to 1 evenly

_WHY = (
    "a recording is not cut between training and test, since its windows are nearly the same and a model that"
    " has seen one knows the others (99 % comes about that way)"
)
_DO = "record more, or set fleet.window.split_recordings = true to test on the later part of each"


def hold_out(
    table: Table, splits: Splits, strata: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the test windows and the training windows, rising; none shares a sample with one of the others.

    Args:
        table: windows.
        splits: the recipe's section. Under "rows" and "units" each class with two units (recordings) or more
            has its share of them in the test set, one at least. Under "time" the latest recordings are it.
        strata: (rows,) int64, the class of each window.
        random: draws the units.

    Raises:
        DataError: a recording would have to be cut, and may not be.
    """
    windows = _of(table)
    parted = windows.parted
    if splits.kind == "blocks" or (splits.kind == "rows" and parted):
        if not parted:
            raise DataError(
                f'Device {table.name}: splits.kind = "blocks" cuts recordings, and {_WHY}; leave splits.kind'
                f" out, or {_DO.partition(', or ')[2]}."
            )
        if splits.kind == "blocks":
            blocks = _blocks(windows, splits.block)
            parts = deal(
                np.arange(len(table)), blocks, strata, {"test": splits.test, "train": 1 - splits.test}, random
            )
            test = parts["test"]
        else:
            test = _later_of_each(windows, strata, splits.test)
    elif splits.kind == "time" and table.times is not None:
        test = _latest(table, windows, splits.test)
    elif splits.test_units:
        test = named_units(table, splits)
        if parted:  # what no test unit has is tested on the later part of what it has
            lacking = np.flatnonzero(~np.isin(strata, strata[test]))
            later = _later_of_each(windows.take(lacking), strata[lacking], splits.test)
            test = np.union1d(test, lacking[later])
        held = np.isin(np.arange(len(table)), test)
        assert table.groups is not None  # noqa: S101 - `named_units` saw to it
        _check(table, held, "unit", table.groups)
    else:
        test = _units(table, splits, strata, random)
    train = apart(windows, np.setdiff1d(np.arange(len(table)), test), test)
    return test, train


def named_units(table: Table, splits: Splits) -> np.ndarray:
    """Returns the rows of the units that the recipe names as the test set, rising.

    Raises:
        DataError: the device has none of them, or no other.
    """
    assert table.groups is not None  # noqa: S101 - the caller saw to it
    wanted = {canonical(value) for value in splits.test_units}
    names, inverse = np.unique(table.groups, return_inverse=True)
    chosen = np.array(
        [
            canonical(name) in wanted or any(like(str(value), name) for value in splits.test_units)
            for name in names
        ]
    )
    if chosen.all() or not chosen.any():
        told = ", ".join(map(text_of, splits.test_units))
        has = f"{', '.join(map(str, names[:8]))}{', ...' if len(names) > 8 else ''}"
        what = "no other" if chosen.any() else "none of them"
        raise DataError(
            f"Device {table.name}: splits.test_units = {told} are values of '{splits.unit}', and it has {what}:"
            f" its units are {has}."
        )
    return np.flatnonzero(chosen[inverse])


def parts_of(
    table: Table,
    rows: np.ndarray,
    strata: np.ndarray,
    wanted: Mapping[str, float],
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Divides training windows among the parts of the phases.

    A class with many recordings is dealt recording by recording. Of others each recording is cut into as many
    stretches as there are parts, in their order, so that every part has every class. Windows that a query set
    shares samples with are left out of the support sets, unless nothing would be left.

    Args:
        table: windows.
        rows: (training,) int64, those to divide.
        strata: (rows,) int64, the class of each window of the table.
        wanted: the share of each part; 0 for none.
        random: deals recordings.
    """
    windows = _of(table)
    names = sorted((name for name, share in wanted.items() if share), key=lambda name: "query" in name)
    shares = np.array([wanted[name] for name in names])
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for stratum in np.unique(strata[rows]):
        own = rows[strata[rows] == stratum]
        recordings = windows.recordings[own]
        if len(np.unique(recordings)) >= WHOLE * len(names):
            groups = np.unique(windows.recordings, return_inverse=True)[1]
            dealt = deal(own, groups, np.zeros(len(table), np.int64), {n: wanted[n] for n in names}, random)
            for name in names:
                found[name].append(dealt[name])
            continue
        for i, run in enumerate(_by_recording(windows, own)):
            # What is due to a part and no whole window here, is a window in one of the next recordings.
            cuts = np.floor(np.cumsum(shares) / shares.sum() * len(run) + (i + 1) * _GOLDEN % 1).astype(int)
            for name, part in zip(names, np.split(run, cuts[:-1]), strict=True):
                found[name].append(part)
    parts = {name: np.sort(np.concatenate([np.empty(0, np.int64), *own])) for name, own in found.items()}
    for name in names:
        own = name.replace("support", "query")
        for query in {own, "personalize_query"} & {*names} - {name}:
            left = apart(windows, parts[name], parts[query])
            parts[name] = left if set(strata[left]) == set(strata[parts[name]]) else parts[name]
    return parts


def apart(windows: Windows, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the rows, (rows,) int64, that share no sample with any of some others."""
    if not len(rows) or not len(others):
        return rows
    starts, ends = windows.spans[others].T
    order = np.argsort(starts)
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    before = np.searchsorted(starts, windows.spans[rows, 1]) - 1  # the last that begins before a row ends
    reach = np.where(before >= 0, ends[np.maximum(before, 0)], -1)
    return np.asarray(rows[reach <= windows.spans[rows, 0]])


def notices(devices: Sequence[tuple[Table, np.ndarray, np.ndarray]]) -> Iterator[str]:
    """Yields what the user has to know of windows across borders.

    Args:
        devices: of each its windows, the test rows and the training rows.
    """
    unused = [(t.name, len(t) - len(test) - len(train), len(t)) for t, test, train in devices if t.windows]
    told = [f"{count:,} of {total:,} of {name}" for name, count, total in unused if count]
    if told:
        rest = f" and some of {len(told) - 5} more devices" if len(told) > 5 else ""
        yield f"Windows across a border of the split, which no side of it has: {', '.join(told[:5])}{rest}."


def _of(table: Table) -> Windows:
    assert table.windows is not None  # noqa: S101 - the caller saw to it
    return table.windows


def _units(table: Table, splits: Splits, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the test windows: whole units, of each class with two or more at least one."""
    windows = _of(table)
    units = table.groups if splits.kind == "units" and table.groups is not None else windows.recordings
    thing = "unit" if units is table.groups else "recording"
    names, inverse = np.unique(units, return_inverse=True)
    if len(names) < 2 and not windows.parted:
        raise DataError(f"Device {table.name} has a single {thing}, '{names[0]}', and {_WHY}: {_DO}.")
    counts = np.zeros((len(names), 1 + int(strata.max(initial=0))), np.int64)
    np.add.at(counts, (inverse, strata), 1)
    # A unit counts for the rarest class that it has.
    label = np.where(counts > 0, (counts > 0).sum(axis=0), len(names) + 1).argmin(axis=1)
    chosen: list[np.ndarray] = []
    for value in np.unique(label):
        members = random.permutation(np.flatnonzero(label == value))
        if len(members) > 1:
            number = min(len(members) - 1, max(1, round(splits.test * len(members))))
            chosen.append(np.flatnonzero(np.isin(inverse, members[:number])))
        elif windows.parted:
            own = np.flatnonzero(inverse == members[0])
            chosen.append(own[_later_of_each(windows.take(own), strata[own], splits.test)])
    test = np.sort(np.concatenate([np.empty(0, np.int64), *chosen]))
    _check(table, np.isin(np.arange(len(table)), test), thing, units)
    return test


def _check(table: Table, held: np.ndarray, thing: str, units: np.ndarray) -> None:
    """Sees that a device with normal windows and faults is tested on normal ones, and learns from both."""
    if table.known != "faults":
        return
    for fault, what in ((0, "normal"), (1, "faulty")):
        own = table.faults == fault
        for side, name in ((held, "test"), (~held, "training")):
            if not (own & side).any() and not (fault and name == "test"):
                theirs = np.unique(units[own])
                raise DataError(
                    f"Device {table.name} has no {what} {thing} left for its {name} set (all its {what} windows"
                    f" are of {thing} {', '.join(map(repr, map(str, theirs[:3])))}), and {_WHY}: {_DO}."
                )


def _later_of_each(windows: Windows, strata: np.ndarray, share: float) -> np.ndarray:
    """Returns the later part of each recording and class, rising; of a single window nothing."""
    found = [np.empty(0, np.int64)]
    for stratum in np.unique(strata):
        for run in _by_recording(windows, np.flatnonzero(strata == stratum)):
            number = min(len(run) - 1, max(1, round(share * len(run))))
            found.append(run[len(run) - number :])
    return np.sort(np.concatenate(found))


def _latest(table: Table, windows: Windows, share: float) -> np.ndarray:
    """Returns the latest windows, in whole recordings unless these may be cut, rising."""
    assert table.times is not None  # noqa: S101 - the caller saw to it
    times, count = table.times.values, len(table)
    if windows.parted:
        cut = times[min(round((1 - share) * count), count - 1)]
        return np.flatnonzero(times >= cut) if (times < cut).any() else np.arange(count - 1, count)
    names, inverse = np.unique(windows.recordings, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"Device {table.name} has a single recording, '{names[0]}', and {_WHY}: {_DO}.")
    begin = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(begin, inverse, times)
    order = np.argsort(begin, kind="stable")[::-1]  # the latest first
    sizes = np.cumsum(np.bincount(inverse)[order])[:-1]
    number = int(np.argmin(np.abs(sizes - share * count))) + 1
    return np.flatnonzero(np.isin(inverse, order[:number]))


def _by_recording(windows: Windows, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields some rows recording by recording, each in order of time."""
    ordered = rows[np.argsort(windows.spans[rows, 0], kind="stable")]
    recordings = windows.recordings[ordered]
    for name in dict.fromkeys(recordings.tolist()):
        yield ordered[recordings == name]


def _blocks(windows: Windows, size: int) -> np.ndarray:
    """Returns the block of each window, (rows,) int64: so many neighbours of one recording."""
    found, start = np.empty(len(windows.spans), np.int64), 0
    for run in _by_recording(windows, np.arange(len(windows.spans))):
        found[run] = start + np.arange(len(run)) // size
        start += -(-len(run) // size)
    return found

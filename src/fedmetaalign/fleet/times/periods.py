"""Trains on the earlier and tests on the later part of a device's time.

The test set is the latest rows. The training period is cut into blocks of neighbouring rows, and whole blocks
are dealt to the phases: what a phase is evaluated on lies beside what it trains on only where two blocks meet,
both come from all of the period, and faults, which come in spells, are in both. Taking the latest part for
validation, too, would leave many a device without a fault there, and keep the newest samples from training.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.placement import joined
from fedmetaalign.fleet.schema import Table
from fedmetaalign.recipe import Splits

BLOCKS_OF_A_PART = 2
"""A training period has so many blocks that the smallest part is due this many; a short one has single rows."""

MOST_TOLD = 5
"""Devices of whose times the notices tell, before they count."""


def later(table: Table, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the test rows, which are a share of all and later than all others, and the training rows, rising.

    Raises:
        DataError: all rows are of one time.
    """
    times = _times(table)
    steps = np.flatnonzero(np.diff(times) > 0) + 1  # rows before which time goes on: one time is never cut
    if not len(steps):
        raise DataError(
            f"Device {table.name}: all of its {len(table)} rows are of one time, and none is later: correct the"
            ' time column, or set splits.kind = "rows".'
        )
    cut = int(steps[np.argmin(np.abs(steps - round((1 - share) * len(table))))])
    return np.arange(cut, len(table)), np.arange(cut)


def blocks(rows: int, wanted: Mapping[str, float]) -> np.ndarray:
    """Returns the block of each row of a training period, (rows,) int64, from 0, rising.

    Args:
        rows: in order of time.
        wanted: the share of each part, 0 for none.
    """
    least = min(share for share in wanted.values() if share) / sum(wanted.values())
    return np.arange(rows) // max(1, int(rows * least / BLOCKS_OF_A_PART))


def deal(
    groups: np.ndarray, strata: np.ndarray, wanted: Mapping[str, float], random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Deals whole blocks to parts, so that each part has its share of every class, as far as whole blocks can.

    A block counts as the class that has most of its samples there: a block with a few faults as one of faults.
    The rarest class is dealt first, and of it the blocks with most. Every part has a block where that can be.

    Args:
        groups: (rows,) int64, the block of each row.
        strata: (rows,) int, its class.
        wanted: the share of each part.
        random: breaks ties.

    Returns:
        Row numbers of each part, (rows,) int64, rising.
    """
    names = [name for name, share in wanted.items() if share]
    shares = np.array([wanted[name] for name in names]) / sum(wanted[name] for name in names)
    ids, inverse = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(ids), 1 + int(strata.max(initial=0))), np.int64)
    np.add.at(counts, (inverse, strata), 1)
    totals = counts.sum(axis=0)
    label = (counts / np.maximum(totals, 1)).argmax(axis=1)
    part_of = np.full(len(ids), -1)
    for value in np.argsort(totals, kind="stable"):
        members = random.permutation(np.flatnonzero(label == value))
        members = members[np.argsort(-counts[members, value], kind="stable")]
        lacking = shares * counts[members, value].sum()
        for member in members:
            part = int(np.argmax(lacking))
            part_of[member] = part
            lacking[part] -= counts[member, value]
    for part in range(len(names)):
        held = np.bincount(part_of, minlength=len(names))
        if not held[part] and held.max() > 1:
            # The block with the fewest of the rarest class: a part that has nothing needs anything.
            richest = np.flatnonzero(part_of == int(held.argmax()))
            part_of[richest[int(label[richest].argmin())]] = part
    found = {name: np.flatnonzero(part_of[inverse] == part) for part, name in enumerate(names)}
    return {name: found.get(name, np.empty(0, np.int64)) for name in wanted}


def notices(devices: Sequence[tuple[Table, np.ndarray, np.ndarray]], splits: Splits) -> Iterator[str]:
    """Yields what the user has to know of the times of a fleet, a sentence each.

    Args:
        devices: of each its samples, the test rows and the training rows.
        splits: the recipe's section.
    """
    timed = [(table, test, train) for table, test, train in devices if table.times is not None]
    told = [
        f"{table.name}: {'; '.join(table.times.notes)}"
        for table, *_ in timed
        if table.times and table.times.notes
    ]
    if told:
        more = f" The like on other devices: {len(told) - MOST_TOLD}." if len(told) > MOST_TOLD else ""
        yield f"Rows were put in order of time. {'. '.join(told[:MOST_TOLD])}.{more}"
    if splits.kind != "time":
        return
    if bare := [table.name for table, *_ in devices if table.times is None]:
        yield f"Devices whose source names no time, and that are split by rows: {joined(bare)}."
    bare = [t.name for t, test, _ in timed if t.known == "faults" and not t.faults[test].any()]
    if bare:
        yield f"Devices whose later part, on which they are tested, has no fault: {joined(bare)}."
    if bare := [t.name for t, _, train in timed if t.known == "faults" and not t.faults[train].any()]:
        yield f"Devices all of whose faults are in the later part, and cannot be learnt: {joined(bare)}."


def _times(table: Table) -> np.ndarray:
    assert table.times is not None  # noqa: S101 - the caller saw to it
    return table.times.values

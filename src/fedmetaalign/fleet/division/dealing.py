"""Groups of rows are dealt to parts by their shares, those of each class by themselves."""

import numpy as np


def deal(
    rows: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    wanted: dict[str, float],
    random: np.random.Generator,
    *,
    rare: bool = False,
) -> dict[str, np.ndarray]:
    """Deals whole groups to the parts, the largest first, each to the part that lacks most of its class.

    `groups` and `strata` are those of the whole table; `rows` are the ones to deal. A group's class is that of
    most of its rows, or the rarest that it has: then a class that stands in few groups is in all parts that
    these can be dealt to.
    """
    names = list(wanted)
    share = np.array([wanted[name] for name in names])
    share = share / share.sum()
    ids, inverse, sizes = _counted(groups[rows])
    counts = np.zeros((len(ids), 1 + int(strata.max(initial=0))), np.int64)
    np.add.at(counts, (inverse, strata[rows]), 1)
    label = counts.argmax(axis=1)
    if rare:
        label = np.where(counts > 0, counts.sum(axis=0), len(rows) + 1).argmin(axis=1)
    part_of = np.empty(len(ids), np.int64)
    for value in range(counts.shape[1]):
        members = random.permutation(np.flatnonzero(label == value))
        members = members[np.argsort(-sizes[members], kind="stable")]
        part_of[members] = _in_turn(share, sizes[members])
    return {name: np.sort(rows[part_of[inverse] == i]) for i, name in enumerate(names)}


def _counted(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `np.unique` with inverse and counts, and at once where each row is a group, in order."""
    if (groups[1:] > groups[:-1]).all():
        return groups, np.arange(len(groups)), np.ones(len(groups), np.int64)
    return np.unique(groups, return_inverse=True, return_counts=True)


def _in_turn(share: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the part of each group, (groups,) int64: the one that lacks most of its share by then."""
    lacking = share * sizes.sum()
    if (sizes == 1).all():  # the same for millions: what a part lacks when it gets its first, second, ...
        each = [lack - np.arange(int(lack) + 2) for lack in lacking]
        part = np.repeat(np.arange(len(share)), [len(lacks) for lacks in each])
        return np.asarray(part[np.lexsort((part, -np.concatenate(each)))[: len(sizes)]])
    found = np.empty(len(sizes), np.int64)
    for i, size in enumerate(sizes):
        found[i] = np.argmax(lacking)
        lacking[found[i]] -= size
    return found


def spread(parts: dict[str, np.ndarray], groups: np.ndarray, faults: np.ndarray) -> dict[str, np.ndarray]:
    """Gives a part without a fault, or without a normal sample, a group that has some, from the part with most.

    Whole groups are dealt by most of their rows, which may leave all faults of a small share to the others.
    Where fewer groups have a fault than there are parts, all stay as they are.

    Args:
        parts: the rows of each part, (rows,) int64.
        groups: (rows,) int64, of the whole table.
        faults: (rows,) 1 at faults.
    """
    found = dict(parts)
    names = [name for name, rows in found.items() if len(rows)]
    for kind in (1, 0):
        held = {name: np.unique(groups[rows[faults[rows] == kind]]) for name in names for rows in [found[name]]}
        if sum(map(len, held.values())) < len(names):
            continue
        for name in [name for name in names if not len(held[name])]:
            donor = max(names, key=lambda other: len(held[other]))
            there, other = groups[found[donor]], faults[found[donor]] != kind
            # One without the other kind, of which the part may have no more, and of these the smallest.
            group = min(held[donor], key=lambda g: ((other & (there == g)).any(), (there == g).sum()))
            moved = groups[found[donor]] == group
            found[name] = np.sort(np.concatenate([found[name], found[donor][moved]]))
            found[donor] = found[donor][~moved]
            held[name], held[donor] = np.array([group]), held[donor][held[donor] != group]
    return found


def spare(rows: np.ndarray, groups: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Returns the rows of the smallest group whose classes others have too, at best one with a rare class."""
    ids, inverse, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    rare = np.zeros(len(ids), np.int64)
    np.maximum.at(rare, inverse, strata[rows])
    for group in np.lexsort((sizes, -rare)):
        mine, others = rows[inverse == group], rows[inverse != group]
        if np.isin(strata[mine], strata[others]).all():
            return np.asarray(mine)
    return rows[:0]

"""Divides a device's samples among the test set and the phases.

One rule serves every kind of split: samples come in groups that are never cut (a row, a block of neighbouring
rows, a unit), and the groups of each class are dealt to the parts by their shares.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Splits


@dataclass(frozen=True)
class Rows:
    """Row numbers of each part of a device's samples, each (rows,) int64, rising.

    The parts are disjoint and complete, but for `reuse`, where `personalize_support` is all training rows
    other than `personalize_query`.
    """

    test: np.ndarray
    serial_support: np.ndarray
    serial_query: np.ndarray
    parallel_support: np.ndarray
    parallel_query: np.ndarray
    personalize_support: np.ndarray
    personalize_query: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """All rows but the test rows."""
        return np.unique(np.concatenate([getattr(self, f.name) for f in fields(self) if f.name != "test"]))

    @property
    def own_support(self) -> np.ndarray:
        """All training rows but phase 3's query set: what the device trains on when it uses all it has."""
        return np.setdiff1d(self.train, self.personalize_query)


def shares(splits: Splits) -> dict[str, float]:
    """Returns each part's share of a device's samples; they sum to one."""
    result = {"test": splits.test}
    for phase in ("serial", "parallel", "personalize"):
        share = (1 - splits.test) * getattr(splits, phase)
        result |= {f"{phase}_support": share * (1 - splits.query), f"{phase}_query": share * splits.query}
    return result


def split(table: Table, splits: Splits, seed: int) -> Rows:
    """Splits a device's samples, stratified by label.

    The support and query sets of a phase are drawn once and kept in every round: the paper calls them
    dedicated, and a query sample that an earlier round trained on would flatter the score.

    Args:
        table: the device's samples; rows that its source has `reserved` are its test set.
        splits: the recipe's section.
        seed: the recipe's seed; the device's name is the rest of the address.

    Raises:
        DataError: a part would be empty, or the test set or the training set would lack a class.
    """
    random = generator(seed, "split", table.name)
    wanted = shares(splits)
    groups = _groups(table, splits)
    parts: dict[str, np.ndarray] = {}
    open_rows = np.arange(len(table))
    if table.reserved is not None:
        parts["test"] = np.flatnonzero(table.reserved)
        open_rows = np.flatnonzero(~table.reserved)
        wanted = {part: share for part, share in wanted.items() if part != "test"}
    parts |= _deal(open_rows, groups[open_rows], table.y[open_rows], wanted, random)
    rows = Rows(**parts)
    _check(table, rows)
    if splits.reuse:
        rows = replace(rows, personalize_support=rows.own_support)
    return rows


def _groups(table: Table, splits: Splits) -> np.ndarray:
    """Returns the group of each row, (rows,) int64."""
    if splits.kind == "rows":
        return np.arange(len(table))
    if splits.kind == "blocks":
        return np.arange(len(table)) // splits.block
    if table.groups is None:
        raise DataError(
            f'Device {table.name} has no units: name their column in splits.unit, or use kind = "rows".'
        )
    return np.unique(table.groups, return_inverse=True)[1]


def _deal(
    rows: np.ndarray, groups: np.ndarray, y: np.ndarray, wanted: dict[str, float], random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Deals whole groups to the parts, the largest first, each to the part that lacks most of its class."""
    names = list(wanted)
    share = np.array([wanted[name] for name in names])
    share = share / share.sum()
    ids, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    faults = np.bincount(inverse, weights=y)
    label = (2 * faults > sizes).astype(np.int64)  # of a group: that of most of its rows
    part_of = np.empty(len(ids), np.int64)
    for value in (0, 1):
        members = random.permutation(np.flatnonzero(label == value))
        members = members[np.argsort(-sizes[members], kind="stable")]
        lacking = share * sizes[members].sum()
        for member in members:
            part = int(np.argmax(lacking))
            part_of[member] = part
            lacking[part] -= sizes[member]
    return {name: np.sort(rows[part_of[inverse] == i]) for i, name in enumerate(names)}


def _check(table: Table, rows: Rows) -> None:
    for field in fields(rows):
        if not len(getattr(rows, field.name)):
            raise DataError(
                f"Device {table.name} has too few samples: of its {len(table)}, none is left for the"
                f" {field.name.replace('_', ' ')} part; give it more, or change [splits]."
            )
    for part, name in ((rows.test, "test"), (rows.train, "training")):
        present = np.unique(table.y[part])
        if len(present) < 2:
            kind = "faults" if present[0] else "normal samples"
            raise DataError(
                f"Device {table.name} has only {kind} in its {name} set: give it more samples of both classes,"
                " or change [splits]."
            )

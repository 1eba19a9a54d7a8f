"""Divides a device's samples among the test set and the phases.

One rule serves every kind of split: samples come in groups that are never cut (a row, a block of neighbouring
rows, a unit), and the groups of each class are dealt to the parts by their shares.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division import recordings
from fedmetaalign.fleet.division.dealing import deal, spare, spread
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.times import periods
from fedmetaalign.model.target import ONE_SIDED
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Splits

ENOUGH = 3
"""Groups with faults from which on the test set has one of them: two are better trained on."""


@dataclass(frozen=True)
class Rows:
    """Row numbers of each part of a device's samples, each (rows,) int64, rising.

    The parts are disjoint and complete, but for `reuse`, where `personalize_support` is all training rows
    other than `personalize_query`, for windows of a signal, of which those across a border are in none, for an
    unseen device, which leaves some of its rows unused, and for a small device, whose phases all train on the
    same rows and evaluate on the same others. Those of the tour are empty where phase 1 has no share. A device
    with samples of one kind is not fine-tuned: all of its share of phase 3 is `personalize_query`. One without
    a label has no rows to divide.
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
        """All rows of the phases."""
        rows = np.sort(np.concatenate([getattr(self, f.name) for f in fields(self) if f.name != "test"]))
        first = np.append(True, rows[1:] > rows[:-1])[: len(rows)]
        return np.asarray(rows[first])  # np.unique takes ten times as long for millions

    @property
    def own_support(self) -> np.ndarray:
        """All training rows but phase 3's query set: what the device trains on when it uses all it has."""
        return np.setdiff1d(self.train, self.personalize_query)


def shares(splits: Splits) -> dict[str, float]:
    """Returns each part's share of a device's samples; they sum to one, and serial's may be 0."""
    result = {"test": splits.test}
    for phase in ("serial", "parallel", "personalize"):
        share = (1 - splits.test) * getattr(splits, phase)
        result |= {f"{phase}_support": share * (1 - splits.query), f"{phase}_query": share * splits.query}
    return result


def split(table: Table, splits: Splits, seed: int) -> Rows:
    """Splits a device's samples, stratified by class.

    The support and query sets of a phase are drawn once and kept in every round: the paper calls them
    dedicated, and a query sample that an earlier round trained on would flatter the score. How the phases share
    the training rows does not change the test set, so that their shares can be compared on the same samples.

    Args:
        table: the device's samples; rows that its source has `reserved` are its test set.
        splits: the recipe's section.
        seed: the recipe's seed; the device's name is the rest of the address.

    Raises:
        DataError: a part would be empty, the test set or the training set would lack normal samples, or all
            faults would be in the test set.
    """
    nothing = np.empty(0, np.int64)
    if table.known == "nothing":
        return Rows(*[nothing] * len(fields(Rows)))
    random = generator(seed, "split", table.name)
    groups, strata = _groups(table, splits), strata_of(table, splits)
    test, train = _hold_out(table, groups, splits, random)
    wanted = {part: share for part, share in shares(splits).items() if part != "test"}
    by_time = _by_time(table, splits)
    if table.known in ONE_SIDED or (by_time and not table.faults[train].any()):
        wanted["personalize_query"] += wanted.pop("personalize_support")
    parts = _parts(table, train, groups, strata, wanted, random, by_time=by_time)
    if table.windows is None and splits.kind in ("blocks", "units") and table.known == "faults":
        parts = spread(parts, groups, table.faults)
    if any(share and not len(parts[part]) for part, share in wanted.items()):
        parts = _the_same(table, train, groups, strata, splits, wanted, random)
    rows = Rows(test, **({"personalize_support": nothing} | parts))
    _check(table, rows, [part for part, share in wanted.items() if share], splits, groups)
    if splits.reuse:
        rows = replace(rows, personalize_support=rows.own_support)
    return rows


def _the_same(
    table: Table,
    train: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    splits: Splits,
    wanted: dict[str, float],
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Gives all phases of a device that is too small for parts of their own the same support and query sets.

    A single group is cut after all: it is no test set that its rows are on both sides of.
    """
    if len(np.unique(groups[train])) == 1:
        groups = np.arange(len(groups))
    shared = {"support": 1 - splits.query, "query": splits.query}
    if table.windows is not None:
        parts = recordings.parts_of(table, train, strata, shared, random)
    else:
        parts = deal(train, groups, strata, shared, random, rare=True)
    if not len(parts["query"]):
        parts["query"] = spare(train, groups, strata)
        parts["support"] = np.setdiff1d(train, parts["query"])
    nothing = np.empty(0, np.int64)
    return {part: parts[part.rpartition("_")[2]] if share else nothing for part, share in wanted.items()}


def split_newcomer(table: Table, splits: Splits, samples: int, seed: int) -> Rows:
    """Splits the samples of a device that takes no part in the federation and has only few to train on.

    It is tested on what it would be tested on as a member. Of its training rows so many are drawn, stratified
    by label and at least one of each that it has; a larger draw holds a smaller one. All of them are phase 3's.

    Args:
        table: as in `split`.
        splits: as in `split`; the shares of the phases do not matter here.
        samples: how many to draw, at least 2.
        seed: as in `split`.

    Raises:
        DataError: it has fewer, none of them is left for validation, or a class is missing.
    """
    random = generator(seed, "split", table.name)
    groups = _groups(table, splits)
    test, train = _hold_out(table, groups, splits, random)
    nothing = np.empty(0, np.int64)
    rows = Rows(test, nothing, nothing, nothing, nothing, train, nothing)
    _check(table, rows, ["personalize_support"], splits, groups)
    if len(train) < samples:
        raise DataError(
            f"Device {table.name} has {len(train)} training samples, and fleet.unseen.samples asks for"
            f" {samples}: lower that or splits.test."
        )
    drawn = _draw(train, table.faults[train], samples, generator(seed, "newcomer", table.name))
    wanted = {"personalize_support": 1 - splits.query, "personalize_query": splits.query}
    parts = _parts(table, drawn, groups, table.strata, wanted, random, by_time=_by_time(table, splits))
    if table.windows is not None and not all(map(len, parts.values())):  # a few windows, of here and there
        parts = deal(drawn, np.arange(len(table)), table.strata, wanted, random)
        support = recordings.apart(table.windows, parts["personalize_support"], parts["personalize_query"])
        parts["personalize_support"] = support
    rows = replace(rows, **parts)
    if not len(rows.personalize_support) or not len(rows.personalize_query):
        raise DataError(
            f"Device {table.name}: {samples} training samples are too few to train on some and choose a"
            " threshold on the others; raise fleet.unseen.samples or change splits.query."
        )
    return rows


def split_few(table: Table, rows: np.ndarray, splits: Splits, test: float, seed: int) -> Rows:
    """Divides the labelled samples of a device that joins a trained fleet: all are phase 3's but a test share.

    Args:
        table: the device's samples.
        rows: (rows,) int64, those with a label.
        splits: the recipe's section; the shares of the phases do not matter here.
        test: share that is held out for testing, may be 0.
        seed: the recipe's seed.

    Raises:
        DataError: the split is by units, and the table does not say which.
    """
    random = generator(seed, "split", table.name)
    groups, nothing = _groups(table, splits), np.empty(0, np.int64)
    held = {"test": nothing, "train": rows}
    by_time = _by_time(table, splits)
    if test and by_time:
        late, early = periods.later(table.take(rows), test)
        held = {"test": rows[late], "train": rows[early]}
    elif test and table.windows is not None:
        own = table.take(rows)
        late, early = recordings.hold_out(own, splits, own.strata, random)
        held = {"test": rows[late], "train": rows[early]}
    elif test:
        held = deal(rows, groups, table.strata, {"test": test, "train": 1 - test}, random)
    wanted = {"personalize_support": 1 - splits.query, "personalize_query": splits.query}
    parts = _parts(table, held["train"], groups, table.strata, wanted, random, by_time=by_time)
    return Rows(held["test"], nothing, nothing, nothing, nothing, **parts)


def strata_of(table: Table, splits: Splits) -> np.ndarray:
    """Returns what each part has its share of, (rows,) int64: the classes, or the kinds within them."""
    if splits.stratify == "class" or table.kinds is None:
        return table.strata
    names, kind = np.unique(table.kinds, return_inverse=True)
    return np.asarray(np.unique(table.strata.astype(np.int64) * len(names) + kind, return_inverse=True)[1])


def _hold_out(
    table: Table, groups: np.ndarray, splits: Splits, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the test rows and the training rows, rising."""
    if table.reserved is not None:
        return np.flatnonzero(table.reserved), np.flatnonzero(~table.reserved)
    if table.windows is not None:
        return recordings.hold_out(table, splits, strata_of(table, splits), random)
    if splits.test_units:
        test = recordings.named_units(table, splits)
        return test, np.setdiff1d(np.arange(len(table)), test)
    if _by_time(table, splits):
        return periods.later(table, splits.test)
    wanted = {"test": splits.test, "train": 1 - splits.test}
    rows, strata = np.arange(len(table)), strata_of(table, splits)
    parts = deal(rows, groups, strata, wanted, random)
    whole = splits.kind in ("blocks", "units")
    if whole and table.known == "faults":
        faulty = len(np.unique(groups[table.faults == 1]))
        least = {"test": ENOUGH, "train": 1}
        if any(faulty >= least[part] and not table.faults[where].any() for part, where in parts.items()):
            parts = deal(rows, groups, strata, wanted, random, rare=True)
    if whole and not len(parts["test"]):
        parts["test"] = spare(rows, groups, strata)
        parts["train"] = np.setdiff1d(rows, parts["test"])
    return parts["test"], parts["train"]


def _by_time(table: Table, splits: Splits) -> bool:
    """Whether it is tested on its later part; a device whose source tells no time is split by rows."""
    return splits.kind == "time" and table.times is not None


def _parts(
    table: Table,
    rows: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    wanted: dict[str, float],
    random: np.random.Generator,
    *,
    by_time: bool,
) -> dict[str, np.ndarray]:
    """Deals training rows as `deal` does, or in blocks of their time; windows by their recordings."""
    if table.windows is not None and len(rows):
        return recordings.parts_of(table, rows, strata, wanted, random)
    if not by_time or not len(rows):
        return deal(rows, groups, strata, wanted, random)
    dealt = periods.deal(periods.blocks(len(rows), wanted), strata[rows], wanted, random)
    return {part: rows[own] for part, own in dealt.items()}


def _draw(rows: np.ndarray, fault: np.ndarray, samples: int, random: np.random.Generator) -> np.ndarray:
    """Draws so many rows, at least one normal and one fault where there are both."""
    if not fault.any():
        return np.sort(random.permutation(rows)[:samples])
    normal, faulty = (random.permutation(rows[fault == value]) for value in (0, 1))
    least, most = max(1, samples - len(normal)), min(samples - 1, len(faulty))
    faults = min(max(round(samples * len(faulty) / len(rows)), least), most)
    return np.sort(np.concatenate([normal[: samples - faults], faulty[:faults]]))


def _groups(table: Table, splits: Splits) -> np.ndarray:
    """Returns the group of each row, (rows,) int64."""
    if table.windows is not None:
        return np.unique(table.windows.recordings, return_inverse=True)[1]
    if splits.kind in ("rows", "time"):  # the blocks of a time are those of its training period
        return np.arange(len(table))
    if splits.kind == "blocks":
        return np.arange(len(table)) // splits.block
    if table.groups is None:
        raise DataError(
            f'Device {table.name} has no units: name their column in splits.unit, or use kind = "rows".'
        )
    return np.unique(table.groups, return_inverse=True)[1]


def _check(table: Table, rows: Rows, parts: list[str], splits: Splits, groups: np.ndarray) -> None:
    what = {"rows": "samples", "time": "samples"}.get(splits.kind, splits.kind)
    if table.windows is not None:
        what, groups = "windows", np.arange(len(table))
    for part in ["test", *parts]:
        if not len(getattr(rows, part)):
            raise DataError(
                f"Device {table.name} has too few {what}: of its {len(np.unique(groups))}, none is left for"
                f" the {part.replace('_', ' ')} part; give it more, or change [splits]."
            )
    both = [(rows.test, "test"), (rows.train, "training")]
    if _by_time(table, splits):  # time brings what it brings: it takes normal samples to learn from, no more
        both = [each for each in both[1:] if table.faults[each[0]].all()]
    for drawn, name in both if table.known == "faults" else ():
        present = np.unique(table.faults[drawn])
        # With a single fault or two a device can learn, and is judged by its false alarms, like one without.
        if len(present) < 2 and (present[0] or name == "training"):
            kind = "faults" if present[0] else "normal samples"
            raise DataError(
                f"Device {table.name} has only {kind} in its {name} set: give it more samples of both classes,"
                " or change [splits]."
            )

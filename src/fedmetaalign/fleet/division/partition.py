"""Cuts one table into devices whose mixtures of classes differ, by draws from a Dirichlet distribution."""

from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Partition

ATTEMPTS = 1000


@dataclass(frozen=True)
class Cut:
    """A table that is cut into devices.

    Attributes:
        devices: their tables.
        notice: what the user has to know of it; empty for nothing.
    """

    devices: list[Table]
    notice: str = ""


def dirichlet(table: Table, partition: Partition, test_share: float, seed: int) -> Cut:
    """Draws each device's mixture q ~ Dir(alpha n p) and deals it samples by q.

    After Hsu, Qi & Brown, 2019 (the paper's [12]), with p the table's own mixture of its n classes. The factor
    n, which they leave out, makes it the symmetric Dir(alpha) of later work where the classes are equally
    large. No sample goes to two devices, but for the common test pool of `test = "all"`. A mixture that leaves
    a device fewer than `minimum` normal or faulty samples is drawn again; where a thousand draws leave some
    device too few, every device takes what is nearest to its first draw and leaves enough to those after it. A
    device's features are multiplied by factors of its own, drawn evenly from [1 - gain, 1 + gain]: the sensors
    of its training and test samples.

    Args:
        table: what to cut, by its `kinds`, else by its labels.
        partition: the recipe's section.
        test_share: share of each device's samples that is its test set.
        seed: the recipe's seed.

    Returns:
        One table a device, named after the table; under `test = "all"` the rows drawn from the common pool,
        each class alike, are `reserved` for testing.

    Raises:
        DataError: the table has too few samples, or too few normal or faulty ones for so many devices.
    """
    classes, kind = np.unique(table.strata if table.kinds is None else table.kinds, return_inverse=True)
    random = generator(seed, "partition", table.name)
    pools = [random.permutation(np.flatnonzero(kind == c)) for c in range(len(classes))]
    common: list[np.ndarray] = []
    train = partition.samples
    if partition.test == "all":
        cuts = [max(1, round(test_share * len(pool))) for pool in pools]
        common = [pool[:cut] for pool, cut in zip(pools, cuts, strict=True)]
        pools = [pool[cut:] for pool, cut in zip(pools, cuts, strict=True)]
        train = round((1 - test_share) * partition.samples)
        least = -(-(partition.samples - train) // len(classes))
        for name, pool in zip(classes, common, strict=True):
            if len(pool) < least:
                raise DataError(
                    f"{table.name}: a test set with every class alike needs {least} samples of class {name},"
                    f' and {len(pool)} are set aside for testing: lower partition.samples or use test = "own".'
                )
    _check(table, partition, train, pools)
    prior: np.ndarray = np.bincount(kind) / len(kind)
    names = [f"{table.name}-{i:02d}" for i in range(partition.count)]
    randoms = [generator(seed, "mixture", name) for name in names]
    given = _Given(prior, pools, table, partition, train)
    dealt, notice = _drawn(randoms, given), ""
    if dealt is None:
        randoms = [generator(seed, "mixture", name) for name in names]
        dealt, moved = _nearest(randoms, given)
        notice = (
            f"{table.name} has too few samples of some class for partition.alpha = {partition.alpha:g}:"
            f" {moved.sum():,} samples of {np.count_nonzero(moved)} devices are of another than was drawn, so"
            f" that all {len(names)} have {partition.minimum} normal and {partition.minimum} faulty ones."
        )
    devices = []
    for name, parts in zip(names, dealt, strict=True):
        rows = np.concatenate(parts)
        held: list[np.ndarray] = []
        if common:
            each = np.diff(np.linspace(0, partition.samples - train, len(classes) + 1).round().astype(int))
            draw = generator(seed, "common-test", name)
            held = [draw.choice(pool, n, replace=False) for pool, n in zip(common, each, strict=True)]
        device = table.take(np.concatenate([rows, *held]), name)
        if common:
            device = replace(device, reserved=np.arange(len(device)) >= len(rows))
        factors = generator(seed, "gain", name).uniform(
            1 - partition.gain, 1 + partition.gain, len(table.features)
        )
        devices.append(replace(device, x=device.x * factors))
    return Cut(devices, notice)


def _check(table: Table, partition: Partition, train: int, pools: list[np.ndarray]) -> None:
    """Sees that a table is large enough for what is asked of it; what is possible is then done.

    Raises:
        DataError: it is not.
    """
    count, minimum = partition.count, partition.minimum
    total = sum(map(len, pools))
    if train * count > total:
        raise DataError(
            f"{table.name}: {count} devices of {train} samples need {train * count} rows,"
            f" and the table has {total} to give: ask for fewer devices or samples."
        )
    if train < 2 * minimum:
        raise DataError(
            f"{table.name}: a device of {train} samples to train on cannot have {minimum} normal and {minimum}"
            " faulty ones: raise partition.samples or lower partition.minimum."
        )
    faults = sum(int(table.faults[pool].sum()) for pool in pools)
    for have, what in ((faults, "faulty"), (total - faults, "normal")):
        if have < count * minimum:
            enough = {"partition.minimum": have // count, "partition.count": have // minimum}
            lower = " or ".join(f"{key} to {number}" for key, number in enough.items() if number)
            raise DataError(
                f"{table.name}: {count} devices with {minimum} {what} samples each need {count * minimum}, and"
                f" the table has {have} to give: {f'lower {lower}' if lower else 'add some'}."
            )


@dataclass(frozen=True)
class _Given:
    """What rows are dealt from.

    Attributes:
        prior: (classes,) each class's share of the table.
        pools: of each class the rows that are left.
        table: theirs.
        partition: the recipe's section.
        samples: that each device gets.
    """

    prior: np.ndarray
    pools: list[np.ndarray]
    table: Table
    partition: Partition
    samples: int


def _drawn(randoms: list[np.random.Generator], given: _Given) -> list[list[np.ndarray]] | None:
    """Deals each device its rows of each class, by draws; None where one has no mixture with enough of both."""
    pools, samples, minimum = given.pools, given.samples, given.partition.minimum
    found = []
    for random in randoms:
        for _ in range(ATTEMPTS):
            counts = _counts(random, given.prior, pools, given.partition.alpha, samples)
            if _enough(_faults(given.table, pools, counts), samples, minimum):
                break
        else:
            return None
        found.append([pool[:n] for pool, n in zip(pools, counts, strict=True)])
        pools = [pool[n:] for pool, n in zip(pools, counts, strict=True)]
    return found


def _enough(faults: int, samples: int, minimum: int) -> bool:
    return min(faults, samples - faults) >= minimum


def _faults(table: Table, pools: list[np.ndarray], counts: np.ndarray) -> int:
    """Counts the faults among the first so many rows of each class."""
    return sum(int(table.faults[pool[:n]].sum()) for pool, n in zip(pools, counts, strict=True))


def _counts(
    random: np.random.Generator, prior: np.ndarray, pools: list[np.ndarray], alpha: float, samples: int
) -> np.ndarray:
    """Draws how many samples of each class a device gets, (classes,) int64."""
    left = np.array([len(pool) for pool in pools])
    mixture = random.dirichlet(alpha * len(prior) * prior)
    counts: np.ndarray = np.minimum(random.multinomial(samples, mixture), left)
    while counts.sum() < samples:  # a class ran out: the others fill up, as far as they can
        open_classes = counts < left
        weights = np.where(open_classes, mixture + 1e-9, 0)
        extra = random.multinomial(samples - counts.sum(), weights / weights.sum())
        counts = np.minimum(counts + extra, left)
    return counts


def _nearest(randoms: list[np.random.Generator], given: _Given) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Deals each device what is nearest to its first draw and leaves enough of both kinds to those after it.

    Returns:
        The rows of each device and class, and how many samples of each device are another than was drawn.
    """
    pools, samples, minimum = given.pools, given.samples, given.partition.minimum
    faults = given.table.faults.astype(bool)
    left = np.concatenate(pools)
    found, moved = [], np.zeros(len(randoms), np.int64)
    for i, random in enumerate(randoms):
        later = minimum * (len(randoms) - i - 1)
        faulty = int(faults[left].sum())
        counts = _counts(random, given.prior, pools, given.partition.alpha, samples)
        drawn = np.concatenate([pool[:n] for pool, n in zip(pools, counts, strict=True)])
        least = max(minimum, samples - (len(left) - faulty - later))
        have, most = int(faults[drawn].sum()), min(samples - minimum, faulty - later)
        want = min(max(have, least), most)
        moved[i] = abs(want - have)
        rows = np.concatenate(
            [
                _some(drawn[faults[drawn] == kind], left[faults[left] == kind], number)
                for kind, number in ((False, samples - want), (True, want))
            ]
        )
        found.append([pool[np.isin(pool, rows)] for pool in pools])
        pools = [pool[~np.isin(pool, rows)] for pool in pools]
        left = np.concatenate(pools)
    return found, moved


def _some(drawn: np.ndarray, others: np.ndarray, number: int) -> np.ndarray:
    """Returns so many rows: those drawn, evenly thinned, or with others, evenly taken, for what they lack."""
    if number > len(drawn):
        return np.concatenate([drawn, _some(np.setdiff1d(others, drawn), others, number - len(drawn))])
    return np.asarray(drawn[np.arange(number) * len(drawn) // max(number, 1)])

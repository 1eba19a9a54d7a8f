"""Cuts one table into devices whose mixtures of classes differ, by draws from a Dirichlet distribution."""

from dataclasses import replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Partition

ATTEMPTS = 1000


def dirichlet(table: Table, partition: Partition, test_share: float, seed: int) -> list[Table]:
    """Draws each device's mixture q ~ Dir(alpha n p) and deals it samples by q.

    After Hsu, Qi & Brown, 2019 (the paper's [12]), with p the table's own mixture of its n classes. The factor
    n, which they leave out, makes it the symmetric Dir(alpha) of later work where the classes are equally
    large. No sample goes to two devices, but for the common test pool of `test = "all"`. A mixture that leaves
    a device fewer than `minimum` normal or faulty samples is drawn again. A device's features are multiplied by
    factors of its own, drawn evenly from [1 - gain, 1 + gain]: the sensors of its training and test samples.

    Args:
        table: what to cut, by its `kinds`, else by its labels.
        partition: the recipe's section.
        test_share: share of each device's samples that is its test set.
        seed: the recipe's seed.

    Returns:
        One table a device, named after the table; under `test = "all"` the rows drawn from the common pool,
        each class alike, are `reserved` for testing.

    Raises:
        DataError: the table has too few samples, or no mixture gives every device enough of both classes.
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
    if train * partition.count > sum(map(len, pools)):
        raise DataError(
            f"{table.name}: {partition.count} devices of {train} samples need {train * partition.count} rows,"
            f" and the table has {sum(map(len, pools))} to give: ask for fewer devices or samples."
        )
    prior: np.ndarray = np.bincount(kind) / len(kind)
    devices = []
    for i in range(partition.count):
        name = f"{table.name}-{i:02d}"
        counts = _mixture(generator(seed, "mixture", name), prior, pools, table, partition, train, name)
        rows = np.concatenate([pool[:n] for pool, n in zip(pools, counts, strict=True)])
        pools = [pool[n:] for pool, n in zip(pools, counts, strict=True)]
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
    return devices


def _mixture(
    random: np.random.Generator,
    prior: np.ndarray,
    pools: list[np.ndarray],
    table: Table,
    partition: Partition,
    samples: int,
    name: str,
) -> np.ndarray:
    """Returns how many samples of each class a device gets, (classes,) int64."""
    left = np.array([len(pool) for pool in pools])
    for _ in range(ATTEMPTS):
        mixture = random.dirichlet(partition.alpha * len(prior) * prior)
        counts: np.ndarray = np.minimum(random.multinomial(samples, mixture), left)
        while counts.sum() < samples:  # a class ran out: the others fill up, as far as they can
            open_classes = counts < left
            weights = np.where(open_classes, mixture + 1e-9, 0)
            extra = random.multinomial(samples - counts.sum(), weights / weights.sum())
            counts = np.minimum(counts + extra, left)
        faults = sum(int(table.faults[pool[:n]].sum()) for pool, n in zip(pools, counts, strict=True))
        if min(faults, samples - faults) >= partition.minimum:
            return counts
    raise DataError(
        f"{name}: {ATTEMPTS} draws gave no mixture with {partition.minimum} normal and {partition.minimum}"
        " faulty samples: raise partition.alpha or samples, or lower partition.minimum or count."
    )

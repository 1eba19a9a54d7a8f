"""A recipe's sources become tables: files are read, a table is cut into devices, devices are simulated."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet import files, partition, simulators, tables
from fedmetaalign.fleet.gaps import in_range, settled
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import check_faults
from fedmetaalign.fleet.usable import check
from fedmetaalign.model.missing import Missing
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe, Source, Splits


def raw_tables(recipe: Recipe) -> list[Table]:
    """Reads, cuts or simulates all devices of a recipe, sorted by name.

    Raises:
        DataError: a table cannot be used.
    """
    raw = [table for source in recipe.fleet.sources for table in tables_of(source, recipe.splits, recipe.seed)]
    check(raw, recipe.model)
    check_faults(table.known for table in raw)
    return sorted(raw, key=lambda table: table.name)


def hashes(sources: Iterable[Path | None]) -> dict[str, str]:
    """Returns the sha256 of each file."""
    return {str(path): files.sha256(path) for path in sorted(p for p in sources if p is not None)}


def tables_of(source: Source, splits: Splits, seed: int) -> list[Table]:
    """Reads or simulates the devices of one source."""
    if source.simulator is not None:
        simulator = simulators.find(source.simulator)
        if source.name is not None:  # a named group of devices is another one than the group without a name
            seed = int(generator(seed, source.name).integers(2**31))
        devices = [_in_range(device, source) for device in simulator(source.count, source.samples, seed)]
        if source.name is not None:
            prefix = tables.safe_name(source.name)
            devices = [replace(device, name=f"{prefix}-{i:02d}") for i, device in enumerate(devices)]
        if not source.kinds:
            return devices
        kinds = simulators.kinds(source.simulator, devices)
        return [_of_kinds(device, kinds) for device in devices]
    assert source.table is not None  # noqa: S101 - the recipe's validators saw to it
    columns, named = columns_of(source, splits), "normal" if source.normal else "positive"
    pattern = path = Path(source.table)
    if any(wildcard in path.name for wildcard in "*?"):
        paths = sorted(pattern.parent.glob(pattern.name))
        if not paths:
            raise DataError(f"No file matches {source.table}: check the recipe's table and --data.")
        if missing := tables.unseen(columns, paths):
            raise DataError(
                f"No file that matches {source.table} has the label {', '.join(missing)}: correct {named}."
            )
        prefix = f"{source.name}-" if source.name else ""
        return [tables.read(path, columns, prefix + path.stem) for path in paths]
    if source.device:
        by = (source.device,) if isinstance(source.device, str) else source.device
        return tables.read_many(path, columns, by, source.name)
    if missing := tables.unseen(columns, [path]):
        raise DataError(f"{path} never has the label {', '.join(missing)}: correct {named}.")
    table = tables.read(path, columns, source.name or path.stem)
    if source.partition is not None:
        return partition.dirichlet(table, source.partition, splits.test, seed)
    return [table]


def _in_range(table: Table, source: Source) -> Table:
    """Applies a source's rule for missing values to a simulated device, whose values may leave their ranges."""
    if strange := set(source.ranges) - set(table.features):
        raise DataError(
            f"The recipe has a range for '{min(strange)}', which no {source.simulator} has: drop it."
        )
    missing = missing_of(source)
    gaps = in_range(table.x, table.features, missing)
    return settled(table, np.zeros(len(table), bool), gaps, missing)[0]


def missing_of(source: Source) -> Missing:
    """Returns what a source's values are that are missing, and what is done about it."""
    return Missing(source.missing_values, source.missing_texts, dict(source.ranges))


def _of_kinds(table: Table, classes: tuple[str, ...]) -> Table:
    """Makes a simulated device's kinds its classes."""
    assert table.kinds is not None  # noqa: S101 - every simulator tells them
    y = np.array([classes.index(kind) for kind in table.kinds], np.int8)
    return replace(table, y=y, classes=classes, normal=classes[:1])


def columns_of(source: Source, splits: Splits) -> tables.Columns:
    """Returns what the columns of a source's tables mean."""
    assert source.label is not None  # noqa: S101 - the recipe's validators saw to it
    return tables.Columns(
        label=source.label,
        features=source.features,
        positive=source.positive,
        normal=source.normal,
        classes=source.classes,
        kinds=source.kinds,
        categories=source.categories,
        kind=source.partition.by or None if source.partition else None,
        group=splits.unit if splits.kind == "units" else None,
        units=source.units,
        missing=missing_of(source),
    )

"""From a recipe to a fleet: sources become tables, tables are split, standardised and padded."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet import partition, tables
from fedmetaalign.fleet.device import Device, Fleet, Moments, Part, Scaler
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators import SIMULATORS
from fedmetaalign.fleet.splits import Rows, split
from fedmetaalign.model.online import Samples
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Model, Recipe, Source

PHASES = ("serial", "parallel", "personalize")


def build(recipe: Recipe, folder: Path) -> Fleet:
    """Builds the fleet of a recipe; nothing is written.

    Args:
        recipe: what to build.
        folder: where relative table paths start.

    Raises:
        DataError: a table or a device cannot be used; the sentence names it.
    """
    raw = [table for source in recipe.fleet.sources for table in _tables(source, recipe, folder)]
    _check(raw, recipe.model)
    raw.sort(key=lambda table: table.name)
    rows = {table.name: split(table, recipe.splits, recipe.seed) for table in raw}
    moments = {table.name: Moments.of(table.x[rows[table.name].train]) for table in raw}
    if recipe.fleet.scaling == "fleet":
        moments = _pooled(raw, moments)
    devices, test = [], {}
    for table in raw:
        scaler = moments[table.name].scaler(placement(len(table.features), recipe.model))
        devices.append(_device(table, rows[table.name], scaler))
        test[table.name] = _samples(table, rows[table.name].test, scaler)
    public = _public(recipe, folder) if recipe.foundation.enabled else None
    sources = {table.source for table in raw} | ({public[1]} if public else set())
    files = {str(path): tables.sha256(path) for path in sorted(p for p in sources if p is not None)}
    return Fleet(tuple(devices), test, public[0] if public else None, files)


def placement(features: int, model: Model) -> np.ndarray:
    """Returns which feature each input of the network takes, (inputs,) int64, -1 for none."""
    inputs = np.arange(model.inputs)
    return inputs % features if model.padding == "repeat" else np.where(inputs < features, inputs, -1)


def _tables(source: Source, recipe: Recipe, folder: Path) -> list[Table]:
    """Reads or simulates the devices of one source."""
    if source.simulator is not None:
        return SIMULATORS[source.simulator](source.count, source.samples, recipe.seed)
    assert source.table is not None and source.label is not None  # noqa: S101 - the recipe's validators saw to it
    columns = tables.Columns(
        label=source.label,
        features=source.features,
        positive=source.positive,
        categories=source.categories,
        kind=source.partition.by or None if source.partition else None,
        group=recipe.splits.unit if recipe.splits.kind == "units" else None,
        units=source.units,
    )
    if any(c in source.table for c in "*?"):
        paths = sorted(folder.glob(source.table))
        if not paths:
            raise DataError(f"No file in {folder} matches {source.table}: check fleet.table and --data.")
        return [tables.read(path, columns, tables.safe_name(path.stem)) for path in paths]
    path = folder / source.table
    if source.device:
        by = (source.device,) if isinstance(source.device, str) else source.device
        return tables.read_many(path, columns, by, source.name)
    table = tables.read(path, columns, tables.safe_name(source.name or path.stem))
    if source.partition is not None:
        return partition.dirichlet(table, source.partition, recipe.splits.test, recipe.seed)
    return [table]


def _check(raw: list[Table], model: Model) -> None:
    names = [table.name.casefold() for table in raw]
    for i, table in enumerate(raw):
        if names[i] in names[:i]:
            raise DataError(f"Two devices are called {table.name}: give one of them another name in the recipe.")
        if len(table.features) > model.inputs:
            raise DataError(
                f"Device {table.name} has {len(table.features)} features and the network takes {model.inputs}:"
                " raise model.inputs or name fewer features."
            )
        if len(np.unique(table.y)) < 2:
            kind = "faults" if table.y.any() else "normal samples"
            where = f" in {table.source}" if table.source else ""
            raise DataError(
                f"Device {table.name}{where} has only {kind}: a classifier needs samples of both; add some or"
                " leave the device out."
            )


def _pooled(raw: Iterable[Table], moments: dict[str, Moments]) -> dict[str, Moments]:
    """Adds up the moments of all devices with the same features in the same order."""
    pool: dict[tuple[str, ...], Moments] = {}
    for table in raw:
        seen = pool.get(table.features)
        pool[table.features] = seen + moments[table.name] if seen else moments[table.name]
    return {table.name: pool[table.features] for table in raw}


def _samples(table: Table, rows: np.ndarray, scaler: Scaler) -> Samples:
    return Samples(scaler.transform(table.x[rows]), table.y[rows].astype(np.float32))


def _device(table: Table, rows: Rows, scaler: Scaler) -> Device:
    parts = {
        phase: Part(
            _samples(table, getattr(rows, f"{phase}_support"), scaler),
            _samples(table, getattr(rows, f"{phase}_query"), scaler),
        )
        for phase in PHASES
    }
    return Device(table.name, table.features, table.units, scaler, parts, _samples(table, rows.train, scaler))


def _public(recipe: Recipe, folder: Path) -> tuple[Part, Path | None]:
    """Returns the public samples of phase 0, with a query set as the phases have, and their file."""
    found = _tables(recipe.foundation, recipe, folder)
    _check(found, recipe.model)
    table = found[0]
    if len(found) > 1:  # several simulated devices, or a glob: they are pooled
        if any(other.features != table.features for other in found):
            raise DataError("The tables of [foundation] have unlike columns: name one table.")
        x, y = np.concatenate([t.x for t in found]), np.concatenate([t.y for t in found])
        table = Table("public", table.features, x, y, table.units)
    order = generator(recipe.seed, "split", "public").permutation(len(table))
    cut = round(recipe.splits.query * len(table))
    support, query = np.sort(order[cut:]), np.sort(order[:cut])
    scaler = Moments.of(table.x[support]).scaler(placement(len(table.features), recipe.model))
    return Part(_samples(table, support, scaler), _samples(table, query, scaler)), table.source

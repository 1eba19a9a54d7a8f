"""From a recipe to a fleet: sources become tables, tables are split, standardised and padded."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet import files, partition, simulators, tables
from fedmetaalign.fleet.device import Device, Fleet, Moments, Part
from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.imputation import correlations_of
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Place, Shared, check_faults, share, union
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.fleet.splits import Rows, split, split_newcomer
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target, known
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Model, Recipe, Source, Splits

PHASES = ("serial", "parallel", "personalize")
EXAMPLES = 64
"""Raw samples that a device keeps for the golden vectors of its bundle."""


def build(recipe: Recipe, *, unseen_devices: bool = False) -> Fleet:
    """Builds the fleet of a recipe; nothing is written.

    Args:
        recipe: what to build; its table paths are absolute or relative to the working directory.
        unseen_devices: the caller makes use of the devices that fleet.unseen holds out; nobody else may
            lose them.

    Raises:
        DataError: a table or a device cannot be used; the sentence names it.
        RecipeError: the recipe holds devices out, and the caller has no use for them.
    """
    return build_shared(recipe, unseen_devices=unseen_devices)[0]


def build_shared(recipe: Recipe, *, unseen_devices: bool = False) -> tuple[Fleet, Shared]:
    """As `build`, and what the devices agree on."""
    unseen = recipe.fleet.unseen
    if unseen.count and not unseen_devices:
        raise RecipeError(
            f"fleet.unseen.count = {unseen.count} holds devices out of the federation, which only"
            " `fedmetaalign compare` can do: compare this recipe, or set fleet.unseen.count = 0."
        )
    every = raw_tables(recipe)
    raw = [table for table in every if table.known != "nothing"]
    federated, new = raw[: len(raw) - unseen.count], raw[len(raw) - unseen.count :]
    if not federated or len(new) < unseen.count:
        raise DataError(
            f"fleet.unseen.count = {unseen.count} leaves none of the {len(raw)} devices for the federation:"
            " lower it."
        )
    rows = {table.name: split(table, recipe.splits, recipe.seed) for table in federated}
    rows |= {t.name: split_newcomer(t, recipe.splits, unseen.samples, recipe.seed) for t in new}
    bare = [table for table in every if table.known == "nothing"]
    rows |= {table.name: split(table, recipe.splits, recipe.seed) for table in bare}
    own = {table.name: own_of(table, rows[table.name].train, recipe) for table in every}
    hellos = {table.name: hello_of(table, rows[table.name].train, own[table.name], recipe) for table in every}
    public, sources = public_table(recipe)
    sources |= {table.source for table in every}
    shared = share({t.name: hellos[t.name] for t in (*federated, *bare)}, recipe, public)
    check_classes(federated, shared.target)
    devices, test = [], {}
    for table in (*raw, *bare):
        place = shared.place(hellos[table.name], recipe.model)
        device, held_out = prepared(table, rows[table.name], place, own[table.name])
        devices.append(device)
        test[table.name] = held_out
    part = public_part(recipe, public, shared) if public else None
    if not any(shared.target.faults(test[table.name].y).any() for table in federated):
        raise DataError(
            "No device has a fault in its test set, and nothing can be judged: give one of them more faults,"
            " or change [splits]."
        )
    took_part, new_devices = tuple(devices[: len(federated)]), tuple(devices[len(federated) : len(raw)])
    notices = (*shared.notices, *read_as((table.source, table.dialect) for table in every))
    target, others = shared.target, tuple(devices[len(raw) :])
    fleet = Fleet(took_part, test, part, hashes(sources), new_devices, notices, target, others)
    return fleet, shared


def raw_tables(recipe: Recipe) -> list[Table]:
    """Reads, cuts or simulates all devices of a recipe, sorted by name.

    Raises:
        DataError: a table cannot be used.
    """
    raw = [table for source in recipe.fleet.sources for table in _tables(source, recipe.splits, recipe.seed)]
    check(raw, recipe.model)
    check_faults(table.known for table in raw)
    return sorted(raw, key=lambda table: table.name)


def read_as(files: Iterable[tuple[Path | None, str]]) -> list[str]:
    """Says of files whose dialect had to be guessed how they were read, a sentence for each dialect."""
    alike: dict[str, list[str]] = {}
    for path, dialect in dict(files).items():
        if path is not None and dialect:
            alike.setdefault(dialect, []).append(path.name)
    return [f"{listed(names)}: {dialect}." for dialect, names in alike.items()]


def hashes(sources: Iterable[Path | None]) -> dict[str, str]:
    """Returns the sha256 of each file."""
    return {str(path): files.sha256(path) for path in sorted(p for p in sources if p is not None)}


def _tables(source: Source, splits: Splits, seed: int) -> list[Table]:
    """Reads or simulates the devices of one source."""
    if source.simulator is not None:
        simulator = simulators.find(source.simulator)
        if source.name is not None:  # a named group of devices is another one than the group without a name
            seed = int(generator(seed, source.name).integers(2**31))
        devices = simulator(source.count, source.samples, seed)
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
        csv=files.Options(**source.csv.model_dump()) if source.csv else files.Options(),
    )


def check(raw: list[Table], model: Model) -> None:
    """Sees that each table makes a device, and that no two have one name.

    Raises:
        DataError: one does not; the sentence names it.
    """
    names = [table.name.casefold() for table in raw]
    for i, table in enumerate(raw):
        if names[i] in names[:i]:
            raise DataError(
                f"Two devices are called {table.name}: give one of them another name in the recipe."
            )
        if len(table.features) > model.inputs:
            raise DataError(
                f"Device {table.name} has {len(table.features)} features and the network takes {model.inputs}:"
                " raise model.inputs or name fewer features."
            )
        if table.faults.all() and len(table):
            raise one_kind(table, "faults")


def one_kind(table: Table, kind: str) -> DataError:
    """Returns the error of a table that has one kind of sample where both are needed."""
    return DataError(
        f"Device {table.name}{_origin(table)} has only {kind}: a classifier needs samples of both; add some or"
        " leave the device out."
    )


def check_classes(tables: Iterable[Table], target: Target) -> None:
    """Sees that no kind of more than two has a single sample, with which it can be either learnt or tested.

    Raises:
        DataError: one has.
    """
    y = np.concatenate([table.labels(target) for table in tables]).astype(np.int64)
    for name, count in zip(target.classes, np.bincount(y, minlength=len(target.classes)), strict=True):
        if count == 1 and target.outputs > 1:
            raise DataError(
                f"One sample of the whole fleet is of class '{name}', which cannot be both learnt and tested:"
                " add some, or leave it out."
            )


def moments_of(table: Table, rows: np.ndarray) -> Moments:
    """Returns the moments of some of a table's rows, and of all without a label.

    Raises:
        DataError: a value's square is beyond float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        moments = Moments.of(table.measured(rows))
    for name, square in zip(table.features, moments.squares, strict=True):
        if not np.isfinite(square):
            raise DataError(
                f"Device {table.name}{_origin(table)}: the values of '{name}' are too large to standardise;"
                " correct them or change their unit."
            )
    return moments


def own_of(table: Table, rows: np.ndarray, recipe: Recipe) -> Moments | tuple[Sketch, ...]:
    """Returns what a device knows of its training samples: moments, or the quantiles of each feature.

    Raises:
        DataError: as `moments_of`.
    """
    moments = moments_of(table, rows)
    if recipe.fleet.encoding == "linear":
        return moments
    return tuple(map(Sketch.of, table.measured(rows).T))


def hello_of(table: Table, rows: np.ndarray, own: Moments | tuple[Sketch, ...], recipe: Recipe) -> Hello:
    """Returns what a device tells of itself, and of its training samples no more than the recipe needs."""
    if recipe.fleet.scaling == "device":
        return Hello.of(table)
    if recipe.fleet.missing == "zero":
        return Hello.of(table, own)
    x = table.measured(rows)
    if isinstance(own, Moments):
        mean, scale = own.standardization()
        return Hello.of(table, own, correlations_of((x - mean) / scale))
    scores = [curve_of([sketch]).apply(values) for sketch, values in zip(own, x.T, strict=True)]
    return Hello.of(table, own, correlations_of(np.column_stack(scores)))


def _origin(table: Table) -> str:
    return f" in {table.source}" if table.source else ""


def prepared(
    table: Table, rows: Rows, place: Place, own: Moments | tuple[Sketch, ...]
) -> tuple[Device, Samples]:
    """Returns a device, and apart from it its test set.

    Args:
        table: its samples.
        rows: how they are divided.
        place: in its fleet.
        own: what it knows of its samples, by which it is encoded where the fleet says nothing.
    """
    preparation = _preparation(table, place, own)
    device = replace(_device(table, rows, preparation, place.target), fill=place.fill)
    return device, _samples(table, rows.test, preparation, place.target)


def _preparation(table: Table, place: Place, own: Moments | tuple[Sketch, ...]) -> Preparation:
    mean, scale, curves = place.mean, place.scale, place.curves
    if isinstance(own, Moments):
        mean, scale = (
            a or tuple(b.tolist()) for a, b in zip((mean, scale), own.standardization(), strict=True)
        )
    else:
        curves = curves or tuple(curve_of([sketch]) for sketch in own)
        mean, scale = tuple(curve.middle for curve in curves), tuple(curve.unit for curve in curves)
    return Preparation(table.features, table.units, table.categories, mean, scale, place.columns, curves)


def _samples(table: Table, rows: np.ndarray, preparation: Preparation, target: Target) -> Samples:
    return Samples(preparation.apply(table.x[rows]), table.labels(target)[rows])


def _device(table: Table, rows: Rows, preparation: Preparation, target: Target) -> Device:
    def samples(part: str) -> Samples:
        return _samples(table, getattr(rows, part), preparation, target)

    parts = {phase: Part(samples(f"{phase}_support"), samples(f"{phase}_query")) for phase in PHASES}
    own = Part(samples("own_support"), parts["personalize"].query)
    examples = table.x[rows.personalize_query[:EXAMPLES]]
    more = None if table.unlabelled is None else preparation.apply(table.unlabelled)
    if table.unlabelled is not None and table.known == "nothing":
        examples = table.unlabelled[:EXAMPLES]
    tells = known(target.faults(np.concatenate([own.support.y, own.query.y])))
    return Device(table.name, preparation, examples, parts, own, tells, more)


def public_table(recipe: Recipe) -> tuple[Table | None, set[Path | None]]:
    """Returns the public samples of phase 0, None where it is left out, and their files.

    Raises:
        DataError: a table cannot be used.
    """
    if not recipe.foundation.enabled:
        return None, set()
    # Simulated public machines are others than the fleet's of the same name: their samples would be its own.
    seed = int(generator(recipe.seed, "public").integers(2**31))
    found = _tables(recipe.foundation, Splits(), seed)  # the fleet's units are not the public table's
    check(found, recipe.model)
    if lacking := [each for each in found if each.known != "faults"]:
        raise one_kind(lacking[0], "normal samples" if len(lacking[0]) else "samples without a label")
    table = found[0]
    if len(found) > 1:  # several simulated devices, or a glob: they are pooled
        if any(other.features != table.features for other in found):
            raise DataError("The tables of [foundation] have unlike columns: name one table.")
        target = union({t.name: Hello.of(t) for t in found}, ())
        x, y = np.concatenate([t.x for t in found]), np.concatenate([t.labels(target) for t in found])
        normal = tuple(target.classes[i] for i in target.normal)
        table = replace(
            Table("public", table.features, x, y.astype(np.int8), table.units),
            classes=target.classes,
            normal=normal,
        )
    moments_of(table, np.arange(len(table)))  # so that values that are too large are known of now
    return table, {t.source for t in found}


def public_part(recipe: Recipe, table: Table, shared: Shared) -> Part:
    """Divides the public samples as the phases' are; their inputs and classes are the fleet's.

    Raises:
        DataError: they have a class that the fleet has not.
    """
    order = generator(recipe.seed, "split", "public").permutation(len(table))
    cut = round(recipe.splits.query * len(table))
    support, query = np.sort(order[cut:]), np.sort(order[:cut])
    own = own_of(table, support, recipe)
    # Moments stay their own; a map is the fleet's where it has the feature.
    place = shared.place(Hello.of(table, () if isinstance(own, Moments) else own), recipe.model)
    preparation = _preparation(table, place, own)
    return Part(*(_samples(table, rows, preparation, shared.target) for rows in (support, query)))

"""A recipe's sources become tables: files are read, a table is cut into devices, devices are simulated."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fedmetaalign.errors import DataError, DataErrors, Problem, noting
from fedmetaalign.fleet import files, simulators, tables
from fedmetaalign.fleet.division import partition
from fedmetaalign.fleet.division.cutting import Candidate, cut, unique_names
from fedmetaalign.fleet.division.thinning import notice, thinned
from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.folders import devices_of, recordings_in
from fedmetaalign.fleet.missing.gaps import in_range, settled
from fedmetaalign.fleet.patterns import is_pattern, like
from fedmetaalign.fleet.placement import conversions_told, converted, joined
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.fleet.twins import twins
from fedmetaalign.fleet.usable import LeftOut, check, check_names, refuse
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.model.missing import Missing
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe, Source, Splits
from fedmetaalign.recipe.fleet import Conversion


@dataclass(frozen=True)
class Found:
    """The devices of a recipe's sources.

    Attributes:
        tables: those that can be read, sorted by name.
        left_out: those that cannot.
        notices: what the user has to know of them, one sentence each.
    """

    tables: tuple[Table, ...]
    left_out: tuple[LeftOut, ...]
    notices: tuple[str, ...]


def find_devices(recipe: Recipe) -> Found:
    """Reads, cuts or simulates all devices of a recipe.

    Raises:
        DataError: a source cannot be used at all, two devices have one name, or `fleet.exclude` names nobody.
    """
    every: list[Candidate] = []
    unusable: list[Problem] = []
    sources = recipe.fleet.sources
    for source in sources:
        with noting(unusable):
            every += candidates(
                source, recipe.splits, recipe.seed, recipe.fleet.conversions, alone=len(sources) == 1
            )
    if len(sources) > 1:
        with noting(unusable):
            _check_labels(sources, recipe.splits)
    excluded = recipe.fleet.exclude
    chosen = [each for each in every if not any(_is_meant(each, name) for name in excluded)]
    found: list[Table] = []
    left_out: list[LeftOut] = []
    large: dict[str, int] = {}
    for candidate in chosen:
        try:
            table = converted(candidate.read(), recipe.fleet.conversions)
            check(table, recipe)
            found.append(thinned(table, recipe.splits, recipe.seed))
            if len(found[-1]) < len(table):
                large[table.name] = len(table)
        except DataError as error:
            left_out.append(LeftOut(candidate.name, error.on(candidate.name)))
    if unusable:
        raise refuse(left_out, *unusable)
    if nobody := [name for name in excluded if not any(_is_meant(each, name) for each in every)]:
        raise DataError(
            f"fleet.exclude names {listed(nobody)}, and no device is called so: the fleet has"
            f" {listed(sorted(each.name for each in every))}."
        )
    check_names(found)
    notices = []
    if renamed := [f"{each.called!r} is {each.name!r}" for each in chosen if each.called != each.name]:
        notices.append(f"Devices are called as their folders can be: {joined(renamed)}.")
    if large:
        notices.append(notice(large, recipe.splits.most))
    told = dict.fromkeys(each.notice for each in chosen if each.notice)
    return Found(
        tuple(sorted(found, key=lambda table: table.name)),
        tuple(sorted(left_out, key=lambda each: each.name)),
        (*notices, *told, *_dialects(found), *_misspelt(found), *conversions_told(found), *twins(found)),
    )


def _dialects(tables: Iterable[Table]) -> Iterator[str]:
    """Says of files whose dialect had to be guessed how they were read, a sentence for each dialect."""
    alike: dict[str, list[str]] = {}
    for path, dialect in {table.source: table.dialect for table in tables}.items():
        if path is not None and dialect:
            alike.setdefault(dialect, []).append(path.name)
    yield from (f"{listed(names)}: {dialect}." for dialect, names in alike.items())


def _misspelt(tables: Iterable[Table]) -> Iterator[str]:
    """Says which devices may have a feature that they seem to lack."""
    if said := [sentence for table in tables for sentence in table.lacks]:
        yield f"Features that seem to be lacking: {joined(said)}"


def _is_meant(candidate: Candidate, name: str) -> bool:
    """Tells whether a name, or a pattern of names, is a candidate's, also before it was made a folder's."""
    return like(name, candidate.name) or name == candidate.called


def raw_tables(recipe: Recipe) -> list[Table]:
    """Returns the tables of all devices of a recipe that can be read, sorted by name.

    Raises:
        DataError: as `find_devices`, or none can.
    """
    found = find_devices(recipe)
    if not found.tables:
        raise refuse(found.left_out)
    return [*found.tables]


def hashes(sources: Iterable[Path | None]) -> dict[str, str]:
    """Returns the sha256 of each file."""
    return {str(path): files.sha256(path) for path in sorted(p for p in sources if p is not None)}


def tables_of(source: Source, splits: Splits, seed: int) -> list[Table]:
    """Reads or simulates all devices of one source.

    Raises:
        DataErrors: one cannot be used.
    """
    found: list[Table] = []
    problems: list[Problem] = []
    for candidate in candidates(source, splits, seed):
        with noting(problems):
            found.append(candidate.read())
    if problems:
        raise DataErrors(problems)
    return found


def _check_labels(sources: Iterable[Source], splits: Splits) -> None:
    """Sees that of sources with one label some table has each value that the recipe names.

    Raises:
        DataError: a value is in none.
    """
    alike: dict[tuple[Any, ...], list[tuple[Source, set[str]]]] = {}
    for source in sources:
        if source.table is None or source.device:
            continue
        columns = columns_of(source, splits)
        try:
            missing = tables.unseen(columns, files_of(Path(source.table)))
        except DataError:  # of which the source itself tells
            continue
        alike.setdefault((columns.label, columns.named), []).append((source, {*missing}))
    for group in alike.values():
        if nowhere := sorted(set.intersection(*(own for _, own in group))):
            source = group[0][0]
            named = "normal" if source.normal else "positive"
            where = f"{source.table} never has" if len(group) == 1 else "No table of the fleet has"
            raise DataError(f"{where} the label {', '.join(nowhere)}: correct {named}.")


def candidates(
    source: Source,
    splits: Splits,
    seed: int,
    conversions: Mapping[str, Conversion] = MappingProxyType({}),
    *,
    alone: bool = True,
) -> Iterator[Candidate]:
    """Yields what may become the devices of one source.

    Args:
        source: of them.
        splits: the recipe's section.
        seed: the recipe's.
        conversions: of units of samples, which have none any more when they are windows.
        alone: no other source may have the values of the label that this one names.

    Raises:
        DataError: the source cannot be used at all.
    """
    if source.simulator is not None:
        yield from map(_made, _simulated(source, seed))
        return
    assert source.table is not None  # noqa: S101 - the recipe's validators saw to it
    columns, named = columns_of(source, splits, conversions), "normal" if source.normal else "positive"
    path = Path(source.table)
    if source.window is not None and source.window.files is not None:
        found = recordings_in(path, source.window.files)
        yield from devices_of(found, columns, tables.names_of(source.device or None), source.name)
        return
    if is_pattern(path.name):
        paths = files_of(path)
        if alone and (missing := tables.unseen(columns, paths)):
            raise DataError(
                f"No file that matches {source.table} has the label {', '.join(missing)}: correct {named}."
            )
        prefix = f"{source.name}-" if source.name else ""
        called = [prefix + _stem(each) for each in paths]
        for each, text, name in zip(paths, called, unique_names(called), strict=True):
            yield Candidate(text, name, partial(tables.read, each, columns, name))
        return
    if source.device:
        by = (source.device,) if isinstance(source.device, str) else source.device
        yield from cut(path, columns, by, source.name)
        return
    only = source.name or _stem(path)
    if source.partition is not None:
        whole = _read_one(path, columns, only, named, alone)
        parts = partition.dirichlet(whole, source.partition, splits.test, seed)
        yield from (replace(_made(table.in_order()), notice=parts.notice) for table in parts.devices)
        return
    yield Candidate(only, tables.safe_name(only), partial(_read_one, path, columns, only, named, alone))


def files_of(path: Path) -> list[Path]:
    """Returns the files that a path with a pattern for a name stands for, else itself.

    Raises:
        DataError: there is none.
    """
    if not is_pattern(path.name):
        return [path]
    if not (paths := sorted(path.parent.glob(path.name))):
        raise DataError(f"No file matches {path}: check the recipe's table and --data.")
    return paths


def _stem(path: Path) -> str:
    """Returns a file's name without what says how it is written and packed."""
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def _made(table: Table) -> Candidate:
    """Returns a device that there is already."""
    return Candidate(table.name, table.name, lambda: table)


def _read_one(path: Path, columns: tables.Columns, name: str, named: str, alone: bool) -> Table:
    table = tables.read(path, columns, name)
    if alone and (missing := tables.unseen(columns, [path])):
        raise DataError(f"{path} never has the label {', '.join(missing)}: correct {named}.")
    return table


def _simulated(source: Source, seed: int) -> list[Table]:
    assert source.simulator is not None  # noqa: S101 - the caller saw to it
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


def _in_range(table: Table, source: Source) -> Table:
    """Applies a source's rule for missing values to a simulated device, whose values may leave their ranges."""
    if strange := set(source.ranges) - set(table.features):
        raise DataError(
            f"The recipe has a range for '{min(strange)}', which no {source.simulator} has: drop it."
        )
    missing = missing_of(source)
    gaps = in_range(table.x, table.features, missing)
    if source.window is not None:
        return windowed(table, source.window, gaps, missing)
    return settled(table, np.zeros(len(table), bool), gaps, missing)[0]


def missing_of(source: Source) -> Missing:
    """Returns what a source's values are that are missing, and what is done about it."""
    return Missing(source.missing_values, source.missing_texts, dict(source.ranges))


def _of_kinds(table: Table, classes: tuple[str, ...]) -> Table:
    """Makes a simulated device's kinds its classes."""
    assert table.kinds is not None  # noqa: S101 - every simulator tells them
    y = np.array([classes.index(kind) for kind in table.kinds], np.int8)
    return replace(table, y=y, classes=classes, normal=classes[:1])


def columns_of(
    source: Source, splits: Splits, conversions: Mapping[str, Conversion] = MappingProxyType({})
) -> tables.Columns:
    """Returns what the columns of a source's tables mean."""
    assert source.label is not None  # noqa: S101 - the recipe's validators saw to it
    speed = (source.window.speed,) if source.window and source.window.speed else ()
    return tables.Columns(
        label=source.label,
        features=(*source.features, *speed),
        positive=source.positive,
        normal=source.normal,
        classes=source.classes,
        kinds=source.kinds,
        categories=source.categories,
        kind=source.partition.by or None if source.partition else None,
        group=splits.unit if splits.kind == "units" else None,
        units=source.units,
        clock=Clock(tables.names_of(source.time), source.time_format, source.zone),
        missing=missing_of(source),
        csv=files.Options(**source.csv.model_dump()) if source.csv else files.Options(),
        others=(*tables.names_of(source.device), *source.only),
        only=source.only,
        lacking=source.table is not None and is_pattern(Path(source.table).name),
        window=source.window,
        conversions=conversions if source.window else {},
        spoken=(*source.units.values(), *conversions, *(way.to for way in conversions.values())),
    )

"""A device that comes when its fleet is trained: from a table, perhaps without labels, to its samples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet import files, simulators, tables
from fedmetaalign.fleet.columns.units import meant, without_units
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.fleet.division.splits import split_few
from fedmetaalign.fleet.files import Raw, cells, listed
from fedmetaalign.fleet.folders import Recording, raw_of, read_recordings, recordings_among
from fedmetaalign.fleet.missing.gaps import filled, notices, settled
from fedmetaalign.fleet.missing.values import features_of
from fedmetaalign.fleet.placement import as_known, conversions_told, converted
from fedmetaalign.fleet.prepare import EXAMPLES, own_of, prepared
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Shared
from fedmetaalign.fleet.sources import columns_of, missing_of
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.model.online import Samples
from fedmetaalign.model.rules import FLAGGED
from fedmetaalign.recipe import Recipe, Source
from fedmetaalign.recipe.fleet import Conversion

FEWEST_ROWS = 10
"""Samples below which a device's own mean and deviation would be no guess at all."""


@dataclass(frozen=True)
class Newcomer:
    """A device and what its table has told.

    Attributes:
        device: phase 3's part has its labelled samples, but for the test set; the other phases' have none.
        calibration: the same device, whose own samples are all that are not held out, also those without a
            label: enough to calibrate a model on, and never to be trained on.
        test: its held-out samples, perhaps none.
        rows: of its table.
        labelled: how many of them have a label, those held out included.
        kin: devices of the fleet that came, or may have come, of the same source.
        classes: how many labelled samples that are not held out each class has, of the classes that occur.
        notices: what was done about values that its table lacks, and about units, a sentence each.
        files: that it was read from.
    """

    device: Device
    calibration: Device
    test: Samples
    rows: int
    labelled: int
    kin: frozenset[str]
    classes: Mapping[str, int]
    notices: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def newcomer(
    recipe: Recipe,
    shared: Shared,
    federated: Sequence[str],
    paths: Sequence[Path],
    name: str,
    like: str | None,
    test: float,
) -> Newcomer:
    """Makes a device of a table that need not be as large as a member's.

    Args:
        recipe: the fleet's.
        shared: what its devices have agreed on.
        federated: their names.
        paths: its table, with the features of one of the recipe's sources, whose label may be missing, as a
            column or in some rows; or, where the names of files say what recordings are, files and folders.
        name: of the device.
        like: names the source, or a device that came of it, where the recipe has several.
        test: share of the labelled samples to hold out.

    Raises:
        DataError: the table cannot be used, or its features are not the fleet's.
        RecipeError: the recipe does not say which columns the table has.
    """
    known = _columns(recipe, paths, like)
    source = known.meaning
    if source.window is not None:
        table, has_label = _windows(recipe, shared, source, known, name)
    else:
        table, has_label = _table(shared, source, known.raw, name)
    table = converted(table, recipe.fleet.conversions)
    _check_known(shared, table)
    files_of = tuple(each.path for each in known.recordings) or (known.raw.path,)
    told = (*conversions_told([table]), *notices([table]))
    rows = split_few(table, np.flatnonzero(has_label), recipe.splits, test, recipe.seed)
    kept = np.setdiff1d(np.arange(len(table)), rows.test)
    table = _filled(shared, table, kept)
    if not len(kept):
        raise DataError(f"{paths[0]} leaves no sample beside the test set: lower --test.")
    if recipe.fleet.scaling == "device" and len(kept) < FEWEST_ROWS:
        raise DataError(
            f"{paths[0]} has {len(kept)} samples to standardise the device with, and the fleet has agreed on"
            f' nothing better (scaling = "device"): give it at least {FEWEST_ROWS}, labelled or not.'
        )
    own = own_of(table, kept, recipe)
    place = shared.place(Hello.of(table, own if recipe.fleet.scaling == "fleet" else ()), recipe.model)
    device, held_out = prepared(table, rows, place, own, recipe)
    device = replace(device, examples=table.x[kept[:EXAMPLES], : len(device.preparation.measured)])
    inputs = device.preparation.apply(table.x[kept])
    every = Part(Samples(inputs, np.zeros(len(kept), np.float32)), Samples(inputs[:0], np.empty(0, np.float32)))
    counts = Counter(table.classes[i] for i in table.y[rows.train])
    found = {name: counts[name] for name in table.classes if name in counts}
    labelled = int(has_label.sum())
    alike = [each for each in recipe.fleet.sources if _meaning(recipe, each) == source]
    kin = frozenset(each for each in federated if any(_is_like(one, each) for one in alike))
    calibration = replace(device, own=every, period=None)
    if device.raw is not None:
        own_x = table.x[kept, : len(device.preparation.measured)]
        calibration = replace(calibration, raw=own_x, filled=table.filled_in(kept))
    if device.period is not None and table.times is not None:
        calibration = replace(calibration, period=replace(device.period, train=table.times.values[kept]))
    return Newcomer(device, calibration, held_out, len(table), labelled, kin, found, told, files_of)


def _filled(shared: Shared, table: Table, rows: np.ndarray) -> Table:
    """Fills what a newcomer's table lacks; of the inputs that say so it has those that the fleet has."""
    known = {name for family in shared.layout.families for name, _ in family}
    flags = [i for i, name in enumerate(table.features) if FLAGGED.format(name) in known]
    return filled(table, rows, flags)


def _table(shared: Shared, source: tables.Columns, raw: Raw, name: str) -> tuple[Table, np.ndarray]:
    """Returns the samples, and which of them have a label, (rows,) bool; the others count as normal."""
    times = None
    if source.clock.columns and set(source.clock.columns) <= set(raw.frame.columns):
        values = times_of(raw, source.clock).values
        raw = raw.take(np.argsort(values, kind="stable"))
        times = times_of(raw, source.clock)
    source = replace(source, clock=Clock())
    texts = {label: cells(raw, label) for label in source.labels if label in raw.frame.columns}
    has_label = np.ones(len(raw.frame), bool)
    for text in texts.values():
        has_label &= ~text.is_null().to_numpy()
    if not texts or not has_label.any():
        own, units = source.features, {**source.units, **raw.units}
        x, gaps = features_of(raw, own, source.categories, source.missing)
        table = Table(
            name=name,
            features=own,
            x=x,
            y=np.zeros(len(x), np.int8),
            units=tuple(units.get(feature, "") for feature in own),
            groups=np.arange(len(x)).astype(str),
            categories={f: tuple(source.categories[f]) for f in own if f in source.categories},
            source=raw.path,
            classes=shared.target.classes,
            normal=tuple(shared.target.classes[i] for i in shared.target.normal),
        )
        table, _ = settled(table, np.ones(len(x), bool), gaps, source.missing)
        has_label = np.zeros(len(table), bool)
    else:
        first = int(np.argmax(has_label))
        full = raw.frame.with_columns(text.fill_null(text[first]).alias(label) for label, text in texts.items())
        table = tables.of_raw(replace(raw, frame=full), source, name)
        table.labels(shared.target)  # raises where the fleet has no such class
        has_label = has_label if table.dropped is None else np.delete(has_label, table.dropped)
    if times is not None:
        kept = np.delete(np.arange(raw.frame.height), () if table.dropped is None else table.dropped)
        table = replace(table, times=times.take(kept))
    return table, has_label


def _windows(
    recipe: Recipe,
    shared: Shared,
    source: tables.Columns,
    found: "_Found",
    name: str,
) -> tuple[Table, np.ndarray]:
    """As `_table`, of the windows of a signal: those with a label first."""

    def whole(raw: Raw) -> Raw:
        lacking = (label for label in source.labels if label not in raw.frame.columns)
        return replace(raw, frame=raw.frame.with_columns(pl.lit(None, pl.String).alias(lb) for lb in lacking))

    if not set(source.clock.columns) <= set(found.raw.frame.columns):
        source = replace(source, clock=Clock())
    if found.recordings:
        table = read_recordings(
            found.recordings, source, name, lambda raw: whole(_named(raw, source, recipe.fleet.conversions))
        )
    else:
        table = tables.of_raw(whole(found.raw), source, name)
    if len(table):
        table.labels(shared.target)  # raises where the fleet has no such class
    else:
        normal = tuple(shared.target.classes[i] for i in shared.target.normal)
        table = replace(table, classes=shared.target.classes, normal=normal)
    has_label = np.ones(len(table), bool)
    if table.unlabelled is None:
        return table, has_label
    more = len(table.unlabelled)
    windows = table.windows
    if windows is not None:  # nobody asks where those without a label lie
        spans = np.pad(windows.spans, ((0, more), (0, 0)), constant_values=np.iinfo(np.int64).max)
        windows = replace(windows, recordings=np.append(windows.recordings, [""] * more), spans=spans)
    every = replace(
        table,
        x=np.concatenate([table.x, table.unlabelled]),
        y=np.append(table.y, np.zeros(more, np.int8)),
        unlabelled=None,
        kinds=None,
        groups=None,
        times=None,
        windows=windows,
    )
    return every, np.append(has_label, np.zeros(more, bool))


@dataclass(frozen=True)
class _Found:
    """What somebody's tables are.

    Attributes:
        meaning: of their columns.
        raw: the table, or the first recording, with the features under their own names.
        recordings: the files, where their names say what they are.
    """

    meaning: tables.Columns
    raw: Raw
    recordings: tuple[Recording, ...] = ()


def _columns(recipe: Recipe, paths: Sequence[Path], like: str | None) -> _Found:
    """Returns what the columns mean, and the table with the features under their own names.

    Raises:
        DataError: the table cannot be read, or lacks a feature.
        RecipeError: several sources come into question.
    """
    sources = [source for source in recipe.fleet.sources if like is None or _is_like(source, like)]
    if not sources:
        named = _named_sources(recipe.fleet.sources)
        raise RecipeError(f"The fleet has no source or device '{like}': give --like one of {named}.")
    meanings: list[tables.Columns] = []
    for source in sources:
        meaning = _meaning(recipe, source)
        if meaning not in meanings:
            meanings.append(meaning)
    fitting = []
    for meaning in meanings:
        try:
            fitting.append(_fitted(meaning, paths, recipe.fleet.conversions))
        except DataError:
            if len(meanings) == 1:
                raise
    if len(fitting) != 1:
        which = "several sources" if fitting else "no source"
        raise RecipeError(
            f"{paths[0]} has the features of {which} of the fleet: say whose columns it has with --like, one of"
            f" {_named_sources(sources)}."
        )
    return fitting[0]


def _fitted(meaning: tables.Columns, paths: Sequence[Path], conversions: Mapping[str, Conversion]) -> _Found:
    """Reads somebody's tables as those of a source; of several files the first.

    Raises:
        DataError: they are none.
    """
    if meaning.window is not None and meaning.window.files is not None:
        recordings = tuple(recordings_among(paths, meaning.window.files))
        first = raw_of(recordings[0], meaning)
        return _Found(meaning, _named(first, meaning, conversions), recordings)
    if len(paths) > 1 or paths[0].is_dir():
        raise DataError(
            f"{paths[-1]} is not the only table, and of a device without fleet.window.files one is taken: put"
            " all rows into one file."
        )
    return _Found(meaning, _named(files.load(paths[0], options=meaning.csv), meaning, conversions))


def _named(raw: Raw, meaning: tables.Columns, conversions: Mapping[str, Conversion]) -> Raw:
    """Returns a table with the features under their own names, and all units that it tells.

    Raises:
        DataError: a feature is not there, or in a unit that nobody can turn into the source's.
    """
    ways = {meant(unit): way.to for unit, way in conversions.items()}
    renamed, found = without_units(raw, meaning.features, meaning.spoken)
    units = {**raw.units, **found}
    for name, wanted in meaning.units.items():
        ends = {meant(ways.get(meant(unit), unit)) for unit in (units.get(name, wanted), wanted)}
        if len(ends) > 1 and name in renamed.frame.columns:
            column = raw.frame.columns[renamed.frame.columns.index(name)]
            raise DataError(
                f"{raw.path} has '{name}' in {units[name]}, but {wanted} is needed: convert column '{column}'"
                " and rename it"
            )
    files.require(renamed, meaning.features)
    return replace(renamed, units=units)


def _check_known(shared: Shared, table: Table) -> None:
    """Sees that the fleet has all features of a device.

    Raises:
        DataError: it does not.
    """
    known = {feature for family in shared.layout.families for feature in family}
    units = dict(known)
    for name, unit in table.sensors:
        if as_known([(name, unit)], known)[0] in known:
            continue
        if name in units:
            raise DataError(
                f"{table.name} has '{name}' in {unit}, and the fleet has it in {units[name]}: convert the"
                " column, or say how to in the fleet.conversions of the run."
            )
        in_unit = f" in {unit}" if unit else ""
        raise DataError(f"No device of the fleet has '{name}'{in_unit}: its model knows nothing of it.")


def _is_like(source: Source, like: str) -> bool:
    """Tells whether a source has a name, or may be where a device of this name came from."""
    stem = Path(source.table).stem if source.table else str(source.simulator)
    if like in (source.name, source.simulator, source.table):
        return True
    if source.name is not None:
        return like.startswith(f"{source.name}-") or like.startswith(f"{tables.safe_name(source.name)}-")
    if source.device:  # its values are the names
        return True
    several = source.simulator is not None or source.partition is not None
    return fnmatch(like, f"{stem}-*" if several else stem)


def _named_sources(sources: Sequence[Source]) -> str:
    return listed([s.name or s.simulator or Path(str(s.table)).name for s in sources])


def _meaning(recipe: Recipe, source: Source) -> tables.Columns:
    """Returns what columns the table of a newcomer has: a simulator's are those that `data simulate` writes."""
    if source.simulator is None:
        return replace(columns_of(source, recipe.splits, recipe.fleet.conversions), kind=None, only={})
    machines = simulators.find(source.simulator)(1, source.samples, recipe.seed)
    units = dict(zip(machines[0].features, machines[0].units, strict=True))
    group = "event" if recipe.splits.kind == "units" else None
    kinds = simulators.kinds(source.simulator, machines) if source.kinds else ()
    return tables.Columns(
        label="kind" if kinds else "fault",
        features=machines[0].features,
        normal=kinds[:1],
        classes=kinds,
        group=group,
        units=units,
        missing=missing_of(source),
    )

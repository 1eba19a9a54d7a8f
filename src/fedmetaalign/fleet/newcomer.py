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
from fedmetaalign.fleet.columns.units import in_units
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.fleet.division.splits import split_few
from fedmetaalign.fleet.files import Raw, cells, listed
from fedmetaalign.fleet.missing.gaps import filled, notices, settled
from fedmetaalign.fleet.missing.values import features_of
from fedmetaalign.fleet.placement import as_known
from fedmetaalign.fleet.prepare import EXAMPLES, own_of, prepared
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Shared
from fedmetaalign.fleet.sources import columns_of, missing_of
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.model.online import Samples
from fedmetaalign.model.rules import FLAGGED
from fedmetaalign.recipe import Recipe, Source

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
        notices: what was done about values that its table lacks, a sentence each.
    """

    device: Device
    calibration: Device
    test: Samples
    rows: int
    labelled: int
    kin: frozenset[str]
    classes: Mapping[str, int]
    notices: tuple[str, ...] = ()


def newcomer(
    recipe: Recipe,
    shared: Shared,
    federated: Sequence[str],
    raw: Raw,
    name: str,
    like: str | None,
    test: float,
) -> Newcomer:
    """Makes a device of a table that need not be as large as a member's.

    Args:
        recipe: the fleet's.
        shared: what its devices have agreed on.
        federated: their names.
        raw: the table, with the features of one of the recipe's sources. Its label may be missing, as a column
            or in some rows.
        name: of the device.
        like: names the source, or a device that came of it, where the recipe has several.
        test: share of the labelled samples to hold out.

    Raises:
        DataError: the table cannot be used, or its features are not the fleet's.
        RecipeError: the recipe does not say which columns the table has.
    """
    source, raw = _columns(recipe, raw, like)
    if source.window is not None:
        table, has_label = _windows(shared, source, raw, name)
    else:
        table, has_label = _table(shared, replace(source, clock=Clock()), raw, name)
    if source.window is None and source.clock.columns and set(source.clock.columns) <= set(raw.frame.columns):
        times = times_of(raw, source.clock)
        has_label = has_label[np.argsort(times.values, kind="stable")]
        table = replace(table, times=times).in_order()
    told = tuple(notices([table]))
    rows = split_few(table, np.flatnonzero(has_label), recipe.splits, test, recipe.seed)
    kept = np.setdiff1d(np.arange(len(table)), rows.test)
    table = _filled(shared, table, kept)
    if not len(kept):
        raise DataError(f"{raw.path} leaves no sample beside the test set: lower --test.")
    if recipe.fleet.scaling == "device" and len(kept) < FEWEST_ROWS:
        raise DataError(
            f"{raw.path} has {len(kept)} samples to standardise the device with, and the fleet has agreed on"
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
        known = table.x[kept, : len(device.preparation.measured)]
        calibration = replace(calibration, raw=known, filled=table.filled_in(kept))
    if device.period is not None and table.times is not None:
        calibration = replace(calibration, period=replace(device.period, train=table.times.values[kept]))
    return Newcomer(device, calibration, held_out, len(table), labelled, kin, found, told)


def _filled(shared: Shared, table: Table, rows: np.ndarray) -> Table:
    """Fills what a newcomer's table lacks; of the inputs that say so it has those that the fleet has."""
    known = {name for family in shared.layout.families for name, _ in family}
    flags = [i for i, name in enumerate(table.features) if FLAGGED.format(name) in known]
    return filled(table, rows, flags)


def _table(shared: Shared, source: tables.Columns, raw: Raw, name: str) -> tuple[Table, np.ndarray]:
    """Returns the samples, and which of them have a label, (rows,) bool; the others count as normal."""
    known = {feature for family in shared.layout.families for feature in family}
    own = [(feature, source.units.get(feature, "")) for feature in source.features]
    strange = [name for name, unit in own if as_known([(name, unit)], known)[0] not in known]
    if strange:
        unit = source.units.get(strange[0])
        in_unit = f" in {unit}" if unit else ""
        raise DataError(f"No device of the fleet has '{strange[0]}'{in_unit}: its model knows nothing of it.")
    texts = {label: cells(raw, label) for label in source.labels if label in raw.frame.columns}
    has_label = np.ones(len(raw.frame), bool)
    for text in texts.values():
        has_label &= ~text.is_null().to_numpy()
    if not texts or not has_label.any():
        x, gaps = features_of(raw, source.features, source.categories, source.missing)
        table = Table(
            name=name,
            features=source.features,
            x=x,
            y=np.zeros(len(x), np.int8),
            units=tuple(source.units.get(feature, "") for feature in source.features),
            groups=np.arange(len(x)).astype(str),
            categories={f: tuple(source.categories[f]) for f in source.features if f in source.categories},
            source=raw.path,
            classes=shared.target.classes,
            normal=tuple(shared.target.classes[i] for i in shared.target.normal),
        )
        table, _ = settled(table, np.ones(len(x), bool), gaps, source.missing)
        return table, np.zeros(len(table), bool)
    first = int(np.argmax(has_label))
    full = raw.frame.with_columns(text.fill_null(text[first]).alias(label) for label, text in texts.items())
    table = tables.of_raw(replace(raw, frame=full), source, name)
    table.labels(shared.target)  # raises where the fleet has no such class
    return table, has_label if table.dropped is None else np.delete(has_label, table.dropped)


def _windows(shared: Shared, source: tables.Columns, raw: Raw, name: str) -> tuple[Table, np.ndarray]:
    """As `_table`, of the windows of a signal: those with a label first."""
    if not set(source.clock.columns) <= set(raw.frame.columns):
        source = replace(source, clock=Clock())
    if lacking := [label for label in source.labels if label not in raw.frame.columns]:
        raw = replace(raw, frame=raw.frame.with_columns(pl.lit(None, pl.String).alias(lb) for lb in lacking))
    table = tables.of_raw(raw, source, name)
    known = {feature for family in shared.layout.families for feature in family}
    if strange := [f for f in table.features if as_known([(f, "")], known)[0] not in known]:
        raise DataError(f"No device of the fleet has '{strange[0]}': its model knows nothing of it.")
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
    whole = replace(
        table,
        x=np.concatenate([table.x, table.unlabelled]),
        y=np.append(table.y, np.zeros(more, np.int8)),
        unlabelled=None,
        kinds=None,
        groups=None,
        times=None,
        windows=windows,
    )
    return whole, np.append(has_label, np.zeros(more, bool))


def _columns(recipe: Recipe, raw: Raw, like: str | None) -> tuple[tables.Columns, Raw]:
    """Returns what the columns mean, and the table with the features under their own names.

    Raises:
        DataError: the table lacks a feature.
        RecipeError: several sources come into question.
    """
    sources = [source for source in recipe.fleet.sources if like is None or _is_like(source, like)]
    if not sources:
        raise RecipeError(
            f"The fleet has no source or device '{like}': give --like one of {_named(recipe.fleet.sources)}."
        )
    meanings: list[tables.Columns] = []
    for source in sources:
        meaning = _meaning(recipe, source)
        if meaning not in meanings:
            meanings.append(meaning)
    fitting = []
    for meaning in meanings:
        try:
            renamed = in_units(raw, meaning.features, [meaning.units.get(f, "") for f in meaning.features])
            files.require(renamed, meaning.features)
            fitting.append((meaning, renamed))
        except DataError:
            if len(meanings) == 1:
                raise
    if len(fitting) != 1:
        which = "several sources" if fitting else "no source"
        raise RecipeError(
            f"{raw.path} has the features of {which} of the fleet: say whose columns it has with --like, one of"
            f" {_named(sources)}."
        )
    return fitting[0]


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


def _named(sources: Sequence[Source]) -> str:
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

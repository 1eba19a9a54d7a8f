"""A table becomes a device: its samples are divided, standardised and padded."""

from dataclasses import replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.by_channel import groups_of
from fedmetaalign.fleet.device import Device, Moments, Part, Period
from fedmetaalign.fleet.division.splits import Rows
from fedmetaalign.fleet.missing.imputation import correlations_of
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Place
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.fleet.usable import origin
from fedmetaalign.model.curve import Curve
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target, known
from fedmetaalign.recipe import Recipe
from fedmetaalign.tinyml.features import coarse

PHASES = ("serial", "parallel", "personalize")
EXAMPLES = 64
"""Raw samples that a device keeps for the golden vectors of its bundle."""


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
                f"Device {table.name}{origin(table)}: the values of '{name}' are too large to standardise;"
                " correct them or change their unit."
            )
    groups = groups_of(table)
    return moments if groups is None else moments.pooled(groups)


def own_of(table: Table, rows: np.ndarray, recipe: Recipe) -> Moments | tuple[Sketch, ...]:
    """Returns what a device knows of its training samples: moments, or the quantiles of each feature.

    Raises:
        DataError: as `moments_of`.
    """
    moments = moments_of(table, rows)
    if recipe.fleet.encoding == "linear":
        return moments
    if groups_of(table) is not None:
        raise DataError(
            f'Device {table.name}: raw windows are scaled by channel: fleet.encoding has to be "linear".'
        )
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


def prepared(
    table: Table, rows: Rows, place: Place, own: Moments | tuple[Sketch, ...], recipe: Recipe
) -> tuple[Device, Samples]:
    """Returns a device, and apart from it its test set.

    Args:
        table: its samples.
        rows: how they are divided.
        place: in its fleet.
        own: what it knows of its samples, by which it is encoded where the fleet says nothing.
        recipe: whether it is split by time, and whether its bundle tells drift.
    """
    preparation = preparation_of(table, place, own)
    device = _device(table, rows, preparation, place.target)
    device = replace(device, fill=place.fill, converted=table.converted, format=table.format)
    train = np.concatenate([rows.own_support, rows.personalize_query])
    if recipe.splits.kind == "time" and table.times is not None:
        times = table.times.values
        device = replace(device, period=Period(times[train], times[rows.test], table.times.dated))
    # Of raw windows each sample would have to be followed.
    follows = table.times is not None and (table.signal is None or "raw" not in table.signal.front)
    if recipe.deploy.drift or (recipe.deploy.drift is None and follows):
        raw = table.measured(train)[:, : len(preparation.measured)]
        device = replace(device, raw=raw, filled=table.filled_in(train))
    return device, samples_of(table, rows.test, preparation, place.target)


def preparation_of(table: Table, place: Place, own: Moments | tuple[Sketch, ...]) -> Preparation:
    """Returns how raw features become inputs: by what the fleet has agreed on, else by what is its own."""
    mean, scale, curves = place.mean, place.scale, place.curves
    if isinstance(own, Moments):
        mean, scale = (
            a or tuple(b.tolist()) for a, b in zip((mean, scale), own.standardization(), strict=True)
        )
    else:
        curves = curves or tuple(curve_of([sketch]) for sketch in own)
        mean, scale = tuple(curve.middle for curve in curves), tuple(curve.unit for curve in curves)
    if table.flags and not curves:  # by its own moments a rare 1 would lie far from all other inputs
        n = len(table.features) - len(table.flags)
        mean, scale = (*mean[:n], *[0.0] * len(table.flags)), (*scale[:n], *[1.0] * len(table.flags))
    if (
        table.signal is not None
    ):  # of recordings that somebody has standardised, mean and RMS are all but constant
        flat = coarse(mean, scale)
        scale = tuple(max(1.0, abs(m)) if f else s for m, s, f in zip(mean, scale, flat, strict=True))
        constant = (Curve.through([m], [0.0]) for m in mean)
        curves = tuple(c if f else curve for curve, c, f in zip(curves, constant, flat, strict=False))
    parts = (table.features, table.units, table.categories, mean, scale, place.columns, curves)
    return Preparation(*parts, table.missing, table.fill, table.flags, table.signal)


def samples_of(table: Table, rows: np.ndarray, preparation: Preparation, target: Target) -> Samples:
    """Returns some rows as the network sees them."""
    return Samples(preparation.apply(table.x[rows]), table.labels(target)[rows])


def _device(table: Table, rows: Rows, preparation: Preparation, target: Target) -> Device:
    def samples(part: str) -> Samples:
        return samples_of(table, getattr(rows, part), preparation, target)

    parts = {phase: Part(samples(f"{phase}_support"), samples(f"{phase}_query")) for phase in PHASES}
    tuned = parts["personalize"].support  # with `reuse` the same rows, which need not be held twice
    same = np.array_equal(rows.own_support, rows.personalize_support)
    own = Part(tuned if same else samples("own_support"), parts["personalize"].query)
    measured = len(preparation.measured)
    examples = table.x[rows.personalize_query[:EXAMPLES], :measured]
    more = None if table.unlabelled is None else preparation.apply(table.unlabelled)
    if table.unlabelled is not None and table.known == "nothing":
        examples = table.unlabelled[:EXAMPLES, :measured]
    tells = known(target.faults(np.concatenate([own.support.y, own.query.y])))
    return Device(table.name, preparation, examples, parts, own, tells, more)

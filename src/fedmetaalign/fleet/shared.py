"""What the devices of a fleet agree on before they train, made of what each tells of itself."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.labels.classes import in_order, text_of, too_many
from fedmetaalign.fleet.missing.imputation import Correlations, Fill, pooled
from fedmetaalign.fleet.placement import Feature, Layout, agreed, as_known, joined, layout, notices
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.model.curve import Curve
from fedmetaalign.model.target import BINARY, MOST_CLASSES, Known, Target
from fedmetaalign.recipe import Model, Recipe
from fedmetaalign.system.writing import replace as write
from fedmetaalign.system.writing import writing_to


@dataclass(frozen=True)
class Hello:
    """What a device tells of itself before the first round.

    Attributes:
        features: names, in the order of its table.
        units: physical unit of each, "" where unknown.
        moments: of its training samples, under `scaling = "fleet"`.
        classes: the names of those that its table tells.
        normal: those that mean no fault.
        sketches: of each feature's training samples, in place of moments, under `encoding = "quantiles"`.
        known: what its labels tell; without any it takes no part in the rounds.
        unlabelled: samples without a label.
        correlations: (features, features) of its training samples, under `missing = "regression"`.
    """

    features: tuple[str, ...]
    units: tuple[str, ...]
    moments: Moments | None = None
    classes: tuple[str, ...] = BINARY.classes
    normal: tuple[str, ...] = BINARY.classes[:1]
    sketches: tuple[Sketch, ...] = ()
    known: Known = "faults"
    unlabelled: int = 0
    correlations: np.ndarray | None = None

    @classmethod
    def of(
        cls, table: Table, own: Moments | tuple[Sketch, ...] = (), correlations: np.ndarray | None = None
    ) -> "Hello":
        """Returns the hello of the device that has a table; `own` is what it tells of its samples."""
        moments, sketches = (own, ()) if isinstance(own, Moments) else (None, own)
        more = 0 if table.unlabelled is None else len(table.unlabelled)
        names = table.classes, table.normal
        return cls(table.features, table.units, moments, *names, sketches, table.known, more, correlations)

    @property
    def sensors(self) -> tuple[Feature, ...]:
        """Name and unit of each feature."""
        return tuple(zip(self.features, self.units, strict=True))

    @property
    def count(self) -> int:
        """Samples that what it tells rests on."""
        return (
            self.moments.count if self.moments else max((sketch.count for sketch in self.sketches), default=0)
        )


@dataclass(frozen=True)
class Place:
    """What a device knows of its fleet.

    Attributes:
        columns: (inputs,) the feature that each input takes, -1 for none.
        mean: (features,) in raw units, to be subtracted; empty where it takes its own.
        scale: (features,) in raw units, to be divided by; empty where it takes its own.
        target: what labels mean, in all of the fleet.
        curves: (features,) the map of each to a normal score; empty where it takes its own, or has none.
        fill: what makes up for the inputs that it lacks.
    """

    columns: tuple[int, ...]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    target: Target = BINARY
    curves: tuple[Curve, ...] = ()
    fill: Fill = field(default_factory=Fill)


@dataclass(frozen=True)
class Shared:
    """What the devices of a fleet agree on.

    Attributes:
        layout: the input of each feature.
        moments: of each feature, over all devices that have it; empty under `scaling = "device"`.
        notices: what the user has to know of the fleet, one sentence each.
        target: what labels mean.
        curves: of each feature, over all devices that have told its quantiles.
        correlations: of the features, over all devices that have told theirs.
    """

    layout: Layout = field(default_factory=Layout)
    moments: Mapping[Feature, Moments] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    target: Target = BINARY
    curves: Mapping[Feature, Curve] = field(default_factory=dict)
    correlations: Correlations = field(default_factory=Correlations)

    def place(self, device: Hello, model: Model) -> Place:
        """Returns a device's place, which need not be one of those that have agreed: it then changes nothing.

        A feature that none of them has is encoded with the device's own moments, or its own quantiles.
        """
        known = {feature for family in self.layout.families for feature in family}
        device = replace(device, units=tuple(unit for _, unit in as_known(device.sensors, known)))
        placed = self.layout.columns(device.sensors, model)
        columns = tuple(placed.tolist())
        fill = self.correlations.fill(placed, device.sensors, self.layout.family(device.sensors))
        if device.sketches:
            told = zip(device.sensors, device.sketches, strict=True)
            curves = (self.curves.get(feature) or curve_of([sketch]) for feature, sketch in told)
            return Place(columns, target=self.target, curves=tuple(curves), fill=fill)
        if device.moments is None:
            return Place(columns, target=self.target, fill=fill)
        own = zip(device.sensors, device.moments.each(), strict=True)
        found = [self.moments.get(feature, moments).standardization() for feature, moments in own]
        mean, scale = (np.concatenate(parts).tolist() for parts in zip(*found, strict=True))
        return Place(columns, tuple(mean), tuple(scale), self.target, fill=fill)


def share(devices: Mapping[str, Hello], recipe: Recipe, public: Table | None = None) -> Shared:
    """Makes what a fleet agrees on of what its devices tell, whatever the order of the mapping.

    Args:
        devices: by name.
        recipe: names the network's inputs, and perhaps the classes.
        public: phase 0's table.

    Raises:
        DataError: no device has a fault, or their classes do not go together.
    """
    check_faults(device.known for device in devices.values())
    inputs = recipe.model.inputs
    told = {name: device.sensors for name, device in devices.items()}
    sensors = agreed(told)
    devices = {
        name: replace(device, units=tuple(unit for _, unit in sensors[name]))
        for name, device in devices.items()
    }
    return Shared(
        layout(sensors, inputs),
        _pooled(devices[name] for name in sorted(devices)),
        (*notices(told, inputs, public.sensors if public else ()), *unlike(devices, recipe.fleet.scaling)),
        union(devices, [text_of(value) for source in recipe.fleet.sources for value in source.classes]),
        _merged(devices.values()),
        pooled(
            (each.sensors, each.correlations, each.count)
            for _, each in sorted(devices.items())
            if each.correlations is not None
        ),
    )


def check_faults(devices: Iterable[Known]) -> None:
    """Sees that some device of a fleet has faults and normal samples: else who it is says what its label is.

    Raises:
        DataError: none has.
    """
    found = {*devices}
    if "faults" not in found and "faulty" in found:
        raise DataError(
            "No device has both normal samples and faults, and the model would learn to tell devices apart:"
            " give one of them samples of the other kind, or add a device that has both."
        )
    if "faults" not in found:
        raise DataError(
            "No device has a fault, and a classifier needs samples of both kinds: give one of them some, or add"
            " a device that has."
        )


def unlike(devices: Mapping[str, Hello], scaling: str) -> Iterator[str]:
    """Yields what the user has to know of devices that lack faults, normal samples, or labels.

    On simulated feeders, one whose faults were dropped found 59 and 84 % of them with the fleet's moments (two
    seeds), and none with its own, which are those of normal samples alone.
    """

    def named(known: Known) -> list[str]:
        return [name for name in sorted(devices) if devices[name].known == known]

    if normal := named("normal"):
        yield (
            "Devices with normal samples alone, which keep the fleet's model as it is and choose its threshold"
            f" by false alarms: {joined(normal)}."
        )
    if normal and scaling == "device":
        yield (
            "Standardised by normal samples alone, they see faults elsewhere than the others do, and may"
            ' find none: set fleet.scaling = "fleet".'
        )
    if faulty := named("faulty"):
        yield (
            "Devices with faults alone, which train with the others, keep the fleet's model as it is, and have"
            f" nothing to test false alarms on: {joined(faulty)}."
        )
    if nothing := named("nothing"):
        yield (
            f"Devices without a label, which receive the fleet's model and cannot be judged: {joined(nothing)}."
        )
    partly = [
        f"{devices[name].unlabelled:,} of {name}"
        for name in sorted(devices)
        if devices[name].unlabelled and name not in nothing
    ]
    if partly:
        yield f"Samples without a label, which are not trained on and only say what is usual: {joined(partly)}."


def union(devices: Mapping[str, Hello], first: Sequence[str]) -> Target:
    """Returns the classes of all devices: first those that the recipe lists, then the others, sorted.

    Raises:
        DataError: they are too many, or one is normal on a device and a fault on another.
    """
    normal = {name: device for device in sorted(devices) for name in devices[device].normal}
    for device in sorted(devices):
        for name in devices[device].classes:
            if name in normal and name not in devices[device].normal:
                raise DataError(
                    f"Class '{name}' means no fault on {normal[name]}, and a fault on {device}: call one of"
                    " them otherwise."
                )
    found = {name for device in devices.values() for name in device.classes}
    classes = list(dict.fromkeys([*first, *sorted(found, key=in_order)]))
    if len(classes) == 2:  # the normal one comes first
        classes.sort(key=lambda name: name not in normal)
    if len(classes) > MOST_CLASSES:
        raise DataError(f"{too_many('The label of the fleet', len(classes))}.")
    try:
        return Target(tuple(classes), tuple(i for i, name in enumerate(classes) if name in normal))
    except ValueError as error:
        raise DataError(f"The classes of the fleet are {listed(classes)}: {error}") from None


def _pooled(devices: Iterable[Hello]) -> dict[Feature, Moments]:
    """Adds up the moments of each feature over all devices that have it."""
    pool: dict[Feature, Moments] = {}
    for device in devices:
        if device.moments is not None:
            for feature, moments in zip(device.sensors, device.moments.each(), strict=True):
                pool[feature] = pool[feature] + moments if feature in pool else moments
    return pool


def _merged(devices: Iterable[Hello]) -> dict[Feature, Curve]:
    """Makes the map of each feature of the quantiles of all devices that have it."""
    pool: dict[Feature, list[Sketch]] = {}
    for device in devices:
        for feature, sketch in zip(device.sensors, device.sketches, strict=False):  # some tell of none
            pool.setdefault(feature, []).append(sketch)
    return {feature: curve_of(pool[feature]) for feature in sorted(pool)}


def save_shared(shared: Shared, path: Path) -> None:
    """Keeps what a fleet has agreed on, to the last bit.

    Raises:
        RunError: the file cannot be written.
    """
    facts = {
        "families": [[[*feature, place] for feature, place in f.items()] for f in shared.layout.families],
        "moments": [
            [*feature, moments.count, *moments.mean.tolist(), *moments.squares.tolist()]
            for feature, moments in shared.moments.items()
        ],
        "curves": [[*feature, curve.knots, curve.levels] for feature, curve in shared.curves.items()],
        "correlations": [shared.correlations.features, shared.correlations.values],
        "notices": shared.notices,
        "classes": shared.target.classes,
        "normal": shared.target.normal,
    }
    with writing_to(path):
        write(path, (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())


def load_shared(path: Path) -> Shared:
    """Reads what `save_shared` keeps.

    Raises:
        OSError, KeyError, TypeError, ValueError: the file is damaged.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))
    families = [{(str(name), str(unit)): int(place) for name, unit, place in f} for f in facts["families"]]
    moments = {
        (str(name), str(unit)): Moments(int(count), np.array([float(mean)]), np.array([float(squares)]))
        for name, unit, count, mean, squares in facts["moments"]
    }
    curves = {
        (str(name), str(unit)): Curve(tuple(map(float, knots)), tuple(map(float, levels)))
        for name, unit, knots, levels in facts["curves"]
    }
    target = Target(tuple(map(str, facts["classes"])), tuple(map(int, facts["normal"])))
    features, values = facts["correlations"]
    together = Correlations(
        tuple((str(name), str(unit)) for name, unit in features),
        tuple(tuple(map(float, row)) for row in values),
    )
    told = tuple(map(str, facts["notices"]))
    return Shared(Layout(tuple(families)), moments, told, target, curves, together)

"""What the devices of a fleet agree on before they train, made of what each tells of itself."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.placement import Feature, Layout, layout, notices
from fedmetaalign.recipe import Model
from fedmetaalign.writing import replace, writing_to


@dataclass(frozen=True)
class Introduction:
    """What a device tells of itself before the first round.

    Attributes:
        features: names, in the order of its table.
        units: physical unit of each, "" where unknown.
        moments: of its training samples, under `scaling = "fleet"`.
    """

    features: tuple[str, ...]
    units: tuple[str, ...]
    moments: Moments | None = None

    @property
    def sensors(self) -> tuple[Feature, ...]:
        """Name and unit of each feature."""
        return tuple(zip(self.features, self.units, strict=True))


@dataclass(frozen=True)
class Place:
    """What a device is told of its fleet.

    Attributes:
        columns: (inputs,) the feature that each input takes, -1 for none.
        mean: (features,) in raw units, to be subtracted; empty where it takes its own.
        scale: (features,) in raw units, to be divided by; empty where it takes its own.
    """

    columns: tuple[int, ...]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


@dataclass(frozen=True)
class Shared:
    """What the devices of a fleet agree on.

    Attributes:
        layout: the input of each feature.
        moments: of each feature, over all devices that have it; empty under `scaling = "device"`.
        notices: what the user has to know of the fleet, one sentence each.
    """

    layout: Layout = field(default_factory=Layout)
    moments: Mapping[Feature, Moments] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def place(self, device: Introduction, model: Model) -> Place:
        """Returns a device's place, which need not be one of those that have agreed: it then changes nothing.

        A feature that none of them has is standardised with the device's own moments.
        """
        columns = tuple(self.layout.columns(device.sensors, model).tolist())
        if device.moments is None:
            return Place(columns)
        own = zip(device.sensors, device.moments.each(), strict=True)
        found = [self.moments.get(feature, moments).standardization() for feature, moments in own]
        mean, scale = (np.concatenate(parts).tolist() for parts in zip(*found, strict=True))
        return Place(columns, tuple(mean), tuple(scale))


def share(devices: Mapping[str, Introduction], model: Model, public: Sequence[Feature] = ()) -> Shared:
    """Makes what a fleet agrees on of what its devices tell, whatever the order of the mapping.

    Args:
        devices: by name.
        model: the network.
        public: the features of phase 0's table.
    """
    told = [devices[name] for name in sorted(devices)]
    sensors = {name: device.sensors for name, device in devices.items()}
    return Shared(layout(sensors, model.inputs), _pooled(told), notices(sensors, model.inputs, public))


def _pooled(devices: Iterable[Introduction]) -> dict[Feature, Moments]:
    """Adds up the moments of each feature over all devices that have it."""
    pool: dict[Feature, Moments] = {}
    for device in devices:
        if device.moments is not None:
            for feature, moments in zip(device.sensors, device.moments.each(), strict=True):
                pool[feature] = pool[feature] + moments if feature in pool else moments
    return pool


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
        "notices": shared.notices,
    }
    with writing_to(path):
        replace(path, (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())


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
    return Shared(Layout(tuple(families)), moments, tuple(map(str, facts["notices"])))

"""How a raw sample becomes the network's input: in training, in a prediction, and on the microcontroller."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedmetaalign.model.curve import Curve
from fedmetaalign.model.missing import Missing
from fedmetaalign.signals import Signal, names, shared


@dataclass(frozen=True)
class OwnUnit:
    """The unit that a device's own table has a feature in, and the way from there: value * factor + offset.

    Attributes:
        unit: its name.
        factor: above 0.
        offset: in the other unit.
    """

    unit: str
    factor: float
    offset: float


@dataclass(frozen=True)
class Preparation:
    """Standardises raw features, or turns them into normal scores, and places them among the network's inputs.

    Attributes:
        features: names of the raw features, in order; first those that are measured, then `flags`.
        units: physical unit of each, "" where unknown.
        categories: for a text feature, the texts that are 0, 1, 2, ...
        mean: (features,) in raw units, subtracted; with curves the value that becomes 0.
        scale: (features,) in raw units, divided by; 1 for a constant feature; with curves raw units a level.
        columns: (inputs,) the feature that each input takes, -1 for an input that is always zero.
        curves: the map of each feature to a normal score; without them it is linear, by mean and scale.
        missing: which values are broken, and the rule for them.
        fill: (measured,) in raw units, what takes the place of a broken value; empty where the rule fills none.
        flags: of each of the last features the one of which it says that its value is broken, 1, or is not, 0.
        signal: how a device makes the measured features of windows of samples; None where it measures them.
    """

    features: tuple[str, ...]
    units: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    columns: tuple[int, ...]
    curves: tuple[Curve, ...] = ()
    missing: Missing = field(default_factory=Missing)
    fill: tuple[float, ...] = ()
    flags: tuple[int, ...] = ()
    signal: Signal | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where the parts do not fit together, as in a damaged file."""
        lengths = {len(self.features), len(self.units), len(self.mean), len(self.scale)}
        if len(lengths) != 1 or not self.columns:
            raise ValueError("features, units, mean and scale differ in length")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and min(self.scale) > 0):
            raise ValueError("mean and scale must be finite, and scale positive")
        if not set(range(len(self.features))) <= set(self.columns) <= set(range(-1, len(self.features))):
            raise ValueError("columns must name every feature and no other")
        if self.curves and len(self.curves) != len(self.features):
            raise ValueError("there must be a curve for each feature, or none at all")
        if not set(self.flags) <= set(range(len(self.measured))):
            raise ValueError("flags must be of features that are measured")
        if len(self.fill) != len(self.measured) * self.missing.fills or not np.isfinite(self.fill).all():
            raise ValueError("there must be a finite value to fill each feature with, or none at all")
        if strange := set(self.missing.ranges) - set(self.measured):
            raise ValueError(f"there is a range for {min(strange)!r}, which is no feature")
        if self.signal is not None and self.measured != names(self.signal):
            raise ValueError("the measured features are not those of the signal's front end")
        if self.signal is not None and "raw" in self.signal.front:
            self._check_raw(shared(self.signal))

    def _check_raw(self, numbers: np.ndarray) -> None:
        """Raises ValueError unless the samples of a channel are all prepared alike; `numbers` is `shared`'s."""
        if self.curves or self.flags:
            raise ValueError("raw windows have neither curves nor flags")
        for part in (self.mean, self.scale, *([self.fill] if self.fill else [])):
            if (np.array(part)[numbers] != np.array(part)).any():
                raise ValueError("the samples of a channel have to have one mean, one scale, and one fill")

    @property
    def measured(self) -> tuple[str, ...]:
        """The features that a sample comes with."""
        return self.features[: len(self.features) - len(self.flags)]

    def broken(self, x: np.ndarray) -> np.ndarray:
        """Returns which of the measured values, (rows, measured), are broken, (rows, measured) bool."""
        return self.missing.broken(x, self.measured)

    def whole(self, x: np.ndarray) -> np.ndarray:
        """Returns all features, (rows, features), of measured values, (rows, measured), that are all good."""
        return np.hstack([x, np.zeros((len(x), len(self.flags)))])

    def in_own_units(self, own: Mapping[str, OwnUnit]) -> "Preparation":
        """Returns what prepares features, some of which come in their device's own units, in the same way."""
        if not own:
            return self
        change = [own.get(name, OwnUnit(unit, 1.0, 0.0)) for name, unit in self.sensors]
        ranges = {
            name: (low, high) if name not in own else self._back(own[name], low, high)
            for name, (low, high) in self.missing.ranges.items()
        }
        curves = (replace(c, knots=self._back(o, *c.knots)) for c, o in zip(self.curves, change, strict=False))
        return replace(
            self,
            units=tuple(each.unit for each in change),
            mean=tuple((m - o.offset) / o.factor for m, o in zip(self.mean, change, strict=True)),
            scale=tuple(s / o.factor for s, o in zip(self.scale, change, strict=True)),
            curves=tuple(curves),
            missing=replace(self.missing, ranges=ranges),
            fill=tuple((f - o.offset) / o.factor for f, o in zip(self.fill, change, strict=False)),
        )

    def raw_in_own_units(self, own: Mapping[str, OwnUnit], x: np.ndarray) -> np.ndarray:
        """Returns measured values, (rows, measured) float64, in their device's own units."""
        if not own:
            return x
        change = [own.get(name, OwnUnit("", 1.0, 0.0)) for name in self.measured]
        return np.asarray((x - [each.offset for each in change]) / [each.factor for each in change])

    @staticmethod
    def _back(own: OwnUnit, *values: float) -> tuple[Any, ...]:
        return tuple((value - own.offset) / own.factor for value in values)

    @property
    def sensors(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each feature."""
        return tuple(zip(self.features, self.units, strict=True))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Turns raw features, (rows, features) float64, into inputs, (rows, inputs) float32."""
        with_zero = np.concatenate([self._encoded(x), np.zeros((len(x), 1))], axis=1)
        return with_zero[:, list(self.columns)].astype(np.float32)

    def raw(self, inputs: np.ndarray) -> np.ndarray:
        """Turns inputs, (rows, inputs), back into raw features, (rows, features) float64."""
        first = [self.columns.index(feature) for feature in range(len(self.features))]
        return self.decoded(inputs[:, first].astype(np.float64))

    def _encoded(self, x: np.ndarray) -> np.ndarray:
        """Returns each feature's number for the network, (rows, features) float64."""
        if self.curves:
            return np.column_stack([curve.apply(x[:, i]) for i, curve in enumerate(self.curves)])
        return np.asarray((x - np.array(self.mean)) / np.array(self.scale))

    def decoded(self, z: np.ndarray) -> np.ndarray:
        """Returns the raw features, (rows, features) float64, of each feature's number for the network."""
        if self.curves:
            return np.column_stack([curve.inverse(z[:, i]) for i, curve in enumerate(self.curves)])
        return np.asarray(z * np.array(self.scale) + np.array(self.mean))

    def raw_in_place(self, inputs: np.ndarray) -> np.ndarray:
        """Turns inputs, (rows, inputs), into raw features in their places, (rows, inputs) float32.

        An input that is always zero stays so. Devices compare in these, whatever their moments are.
        """
        with_zero = np.concatenate([self.raw(inputs), np.zeros((len(inputs), 1))], axis=1)
        return with_zero[:, list(self.columns)].astype(np.float32)

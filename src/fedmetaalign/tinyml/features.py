"""From raw features to what goes into the network, in the arithmetic of the device.

Training standardises in float64 (see `preparation`). A microcontroller has float32 at best, and firmware scales
and quantises in one step, with two constants a feature; so does this module, operation by operation, and agrees
with the firmware bit for bit. For an input that takes feature c:

    z = (float32(raw[c]) - mean[c]) * factor[c]             in float32, without fused multiply-add
    q = clip(round(z) + zero_point), ties away from zero    where the network takes integers

For integers, factor is 1 / (scale[c] * input scale), for float32 features 1 / scale[c], computed in float64 and
rounded once. An input that takes no feature is the real 0.

Where features are encoded by quantiles, z comes from a table instead; i is the last knot that is not above x,
which is first moved into the range of the knots:

    z = level[i] + (x - knot[i]) * slope[i]                 in float32, without fused multiply-add

The z of a broken value (see `model.missing`) is that of what the rule fills it with, or 0 where it fills none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.curve import Curve
from fedmetaalign.model.missing import carried
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.grid import to_grid
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork

_TINY = np.finfo(np.float32).tiny
_STEPS = 64  # of float32 in a standard deviation, at least: as fine as 8-bit inputs


@dataclass(frozen=True)
class Constants:
    """What a device subtracts from each raw feature and multiplies the difference by.

    Attributes:
        mean: (features,) float32, in raw units.
        factor: (features,) float32, in steps of an integer input, or standard deviations, per raw unit.
    """

    mean: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True)
class Table:
    """What a device looks up to encode a feature; all (knots,) float32.

    Attributes:
        knots: in raw units, rising.
        levels: of each knot, in steps of an integer input, or normal scores.
        slopes: from each knot on, the same per raw unit; 0 from the last.
    """

    knots: np.ndarray
    levels: np.ndarray
    slopes: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Returns z of raw values, both (rows,) float32."""
        x = np.clip(x, self.knots[0], self.knots[-1])
        i = np.searchsorted(self.knots, x, side="right") - 1
        return np.asarray(self.levels[i] + (x - self.knots[i]) * self.slopes[i])


def tables(preparation: Preparation, network: DeployedNetwork) -> list[Table]:
    """Returns the table of each feature that is encoded by quantiles.

    Knots that are the same in float32 are one, in the middle of their levels.

    Raises:
        BundleError: float32 cannot hold a table; the sentence names the feature.
    """
    found = [_table(curve, _step(network)) for curve in preparation.curves]
    for name, curve, table in zip(preparation.features, preparation.curves, found, strict=True):
        least = np.append(table.slopes[:-1], 1.0).min()
        if not (np.isfinite(table.knots).all() and np.isfinite(table.slopes).all() and least >= _TINY):
            raise BundleError(
                f"Feature {name!r} has quantiles from {curve.knots[0]:.3g} to {curve.knots[-1]:.3g}, which"
                " float32 cannot hold; give it in another unit."
            )
    return found


def _table(curve: Curve, step: float) -> Table:
    with np.errstate(all="ignore"):  # what is out of range is reported by the caller
        knots, first = np.unique(np.array(curve.knots).astype(np.float32), return_index=True)
        last = np.append(first[1:], len(curve.knots)) - 1
        levels = (np.array(curve.levels)[first] + np.array(curve.levels)[last]) / (2 * step)
        slopes = np.append(np.diff(levels) / np.diff(knots.astype(np.float64)), 0.0)
        return Table(knots, levels.astype(np.float32), slopes.astype(np.float32))


def _step(network: DeployedNetwork) -> float:
    """Returns what 1 of z is for the network."""
    if isinstance(network, QuantizedNetwork) and network.edges != "float32":
        return network.input.scale
    return 1.0


def constants(preparation: Preparation, network: DeployedNetwork) -> Constants:
    """Returns the constants of a device's preparation.

    Raises:
        BundleError: float32 cannot hold one; the sentence names the feature.
    """
    step = _step(network)
    with np.errstate(all="ignore"):  # a constant out of range is reported below
        mean = np.array(preparation.mean).astype(np.float32)
        factor = (1.0 / (np.array(preparation.scale) * step)).astype(np.float32)
    lost = ~np.isfinite(mean) | ~np.isfinite(factor) | (factor < _TINY)
    if lost.any():
        c = int(np.argmax(lost))
        raise BundleError(
            f"Feature {preparation.features[c]!r} has mean {preparation.mean[c]:.3g} and scale"
            f" {preparation.scale[c]:.3g}, which float32 cannot hold; give it in another unit."
        )
    return Constants(mean, factor)


def coarse(mean: Sequence[float], scale: Sequence[float]) -> np.ndarray:
    """Tells of which features, (features,) bool, float32 holds too few values about their mean."""
    return np.asarray(_STEPS * np.spacing(np.abs(np.array(mean)).astype(np.float32)) > np.array(scale))


def check(preparation: Preparation, x: np.ndarray) -> None:
    """Makes sure that a device, which computes in float32, can tell the values of its features apart.

    Args:
        preparation: of the device.
        x: (rows, inputs) float32, its training samples.

    Raises:
        BundleError: float32 is too coarse, or cannot hold a mean or scale; the sentence names the feature.
    """
    if preparation.curves:
        tables(preparation, ())
    else:
        constants(preparation, ())
    for c in np.flatnonzero(coarse(preparation.mean, preparation.scale)):
        column = x[:, preparation.columns.index(int(c))]
        if (column != column[0]).any():
            raise BundleError(
                f"Feature {preparation.features[c]!r} varies by {preparation.scale[c]:.3g} about a mean of"
                f" {preparation.mean[c]:.9g}, which the float32 of a microcontroller cannot tell apart;"
                " subtract an offset from it in the tables."
            )


def device_inputs(preparation: Preparation, network: DeployedNetwork, raw: np.ndarray) -> np.ndarray:
    """Turns raw features into the network's inputs, as the device does.

    Args:
        preparation: of the device.
        network: a quantised network, or float layers.
        raw: (rows, measured) float64, NaN or infinite perhaps; in the order in which they come, where the rule
            for missing values is `last`.

    Returns:
        (rows, inputs) of the type of the network's edges, float32 for float layers; integers saturate outside
        the calibrated range.

    Raises:
        BundleError: `raw` has another shape, or see `constants`.
    """
    z = _scaled(preparation, network, raw)
    if not isinstance(network, QuantizedNetwork) or network.edges == "float32":
        return z
    if network.edges == "int8":
        return to_grid(z, 1.0, network.input.zero_point, np.int8)
    return to_grid(z, 1.0, network.input.unsigned.zero_point, np.uint8)


def outside(preparation: Preparation, network: DeployedNetwork, raw: np.ndarray) -> np.ndarray:
    """Counts each sample's inputs beyond the calibrated range, where a quantised network saturates.

    Args:
        preparation: of the device.
        network: a quantised network, or float layers, which have no such range.
        raw: as in `device_inputs`.

    Returns:
        (rows,) int64, how many inputs round to an integer that the input's type cannot hold; of a sample with
        broken values, minus the number of inputs that are broken.

    Raises:
        BundleError: as in `device_inputs`.
    """
    z = _scaled(preparation, network, raw)
    bad = preparation.broken(raw)
    bad = np.hstack([bad, bad[:, list(preparation.flags)], np.zeros((len(bad), 1), bool)])
    broken = bad[:, list(preparation.columns)].sum(axis=1)
    if not isinstance(network, QuantizedNetwork):
        return np.asarray(-broken)
    if network.edges == "float32":
        with np.errstate(over="ignore"):
            z = z / np.float32(network.input.scale)
    # Ties go away from zero, and zero is within the range.
    low, high = (np.float32(limit - network.input.zero_point) for limit in (-128.5, 127.5))
    return np.asarray(np.where(broken, -broken, ((z <= low) | (z >= high)).sum(axis=1)))


def narrow(raw: np.ndarray) -> np.ndarray:
    """Returns raw values as a device reads them, in float32; what is beyond it is infinite."""
    with np.errstate(over="ignore"):
        return raw.astype(np.float32)


def _scaled(preparation: Preparation, network: DeployedNetwork, raw: np.ndarray) -> np.ndarray:
    """Returns z, (rows, inputs) float32."""
    if raw.ndim != 2 or raw.shape[1] != len(preparation.measured):
        raise BundleError(
            f"The data has shape {raw.shape}, but the model takes rows of {len(preparation.measured)} features."
        )
    broken = preparation.broken(raw)
    # Any good value may take the place of a broken one here: the rule decides below what stands for it.
    x = np.where(broken, np.array(preparation.mean[: raw.shape[1]]), raw).astype(np.float32)
    z = _encoded(preparation, network, np.hstack([x, broken[:, list(preparation.flags)].astype(np.float32)]))
    stands = np.broadcast_to(fills(preparation, network), broken.shape)
    measured = z[:, : raw.shape[1]]
    if preparation.missing.rule == "last":
        before = carried(measured, broken)
        stands = np.where(np.isnan(before), stands, before)
    z = np.hstack([np.where(broken, stands, measured), z[:, raw.shape[1] :], np.zeros((len(z), 1), np.float32)])
    return z[:, list(preparation.columns)]


def fills(preparation: Preparation, network: DeployedNetwork) -> np.ndarray:
    """Returns the z of what takes the place of a broken value of each measured feature, (measured,) float32.

    Under the rule `last` it does so until there has been a good one.
    """
    measured = len(preparation.measured)
    if not preparation.fill:
        return np.zeros(measured, np.float32)
    x = np.array([[*preparation.fill, *[0.0] * len(preparation.flags)]]).astype(np.float32)
    return _encoded(preparation, network, x)[0, :measured]


def _encoded(preparation: Preparation, network: DeployedNetwork, x: np.ndarray) -> np.ndarray:
    """Returns z of good values, both (rows, features) float32."""
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and saturates
        if preparation.curves:
            return np.column_stack([t.apply(x[:, i]) for i, t in enumerate(tables(preparation, network))])
        c = constants(preparation, network)
        return np.asarray((x - c.mean) * c.factor)

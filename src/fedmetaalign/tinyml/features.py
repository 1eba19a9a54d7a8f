"""From raw features to what goes into the network, in the arithmetic of the device.

Training standardises in float64 (see `preparation`). A microcontroller has float32 at best, and firmware scales
and quantises in one step, with two constants a feature; so does this module, operation by operation, and agrees
with the firmware bit for bit. For an input that takes feature c:

    z = (float32(raw[c]) - mean[c]) * factor[c]             in float32, without fused multiply-add
    q = clip(round(z) + zero_point), ties away from zero    where the network takes integers

For integers, factor is 1 / (scale[c] * input scale), for float32 features 1 / scale[c], computed in float64 and
rounded once. An input that takes no feature is the real 0.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.grid import to_grid
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork

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


def constants(preparation: Preparation, network: DeployedNetwork) -> Constants:
    """Returns the constants of a device's preparation.

    Raises:
        BundleError: float32 cannot hold one; the sentence names the feature.
    """
    step = 1.0
    if isinstance(network, QuantizedNetwork) and network.edges != "float32":
        step = network.input.scale
    with np.errstate(all="ignore"):  # a constant out of range is reported below
        mean = np.array(preparation.mean).astype(np.float32)
        factor = (1.0 / (np.array(preparation.scale) * step)).astype(np.float32)
    lost = ~np.isfinite(mean) | ~np.isfinite(factor) | (factor < np.finfo(np.float32).tiny)
    if lost.any():
        c = int(np.argmax(lost))
        raise BundleError(
            f"Feature {preparation.features[c]!r} has mean {preparation.mean[c]:.3g} and scale"
            f" {preparation.scale[c]:.3g}, which float32 cannot hold; give it in another unit."
        )
    return Constants(mean, factor)


def check(preparation: Preparation, x: np.ndarray) -> None:
    """Makes sure that a device, which computes in float32, can tell the values of its features apart.

    Args:
        preparation: of the device.
        x: (rows, inputs) float32, its training samples.

    Raises:
        BundleError: float32 is too coarse, or cannot hold a mean or scale; the sentence names the feature.
    """
    constants(preparation, ())
    steps = np.spacing(np.abs(np.array(preparation.mean)).astype(np.float32))
    for c in np.flatnonzero(_STEPS * steps > np.array(preparation.scale)):
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
        raw: (rows, features) float64, infinite perhaps.

    Returns:
        (rows, inputs) of the type of the network's edges, float32 for float layers; integers saturate outside
        the calibrated range.

    Raises:
        BundleError: `raw` has another shape or no value somewhere, or see `constants`.
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
        raw: (rows, features) float64.

    Returns:
        (rows,) int64, how many inputs round to an integer that the input's type cannot hold.

    Raises:
        BundleError: as in `device_inputs`.
    """
    z = _scaled(preparation, network, raw)
    if not isinstance(network, QuantizedNetwork):
        return np.zeros(len(raw), np.int64)
    if network.edges == "float32":
        with np.errstate(over="ignore"):
            z = z / np.float32(network.input.scale)
    # Ties go away from zero, and zero is within the range.
    low, high = (np.float32(limit - network.input.zero_point) for limit in (-128.5, 127.5))
    counts: np.ndarray = ((z <= low) | (z >= high)).sum(axis=1)
    return counts


def _scaled(preparation: Preparation, network: DeployedNetwork, raw: np.ndarray) -> np.ndarray:
    """Returns z, (rows, inputs) float32."""
    if raw.ndim != 2 or raw.shape[1] != len(preparation.features):
        raise BundleError(
            f"The data has shape {raw.shape}, but the model takes rows of {len(preparation.features)} features."
        )
    missing = np.argwhere(np.isnan(raw))
    if len(missing):
        row, column = missing[0]
        raise BundleError(
            f"The data has no value of {preparation.features[column]!r} in row {row}; fill or remove such rows."
        )
    c = constants(preparation, network)
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and saturates
        z = (raw.astype(np.float32) - c.mean) * c.factor
    with_zero = np.concatenate([z, np.zeros((len(z), 1), np.float32)], axis=1)
    return with_zero[:, list(preparation.columns)]

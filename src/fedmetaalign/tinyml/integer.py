"""What a quantised network computes, to the last bit, on a device and in each runtime.

How each family of runtimes rounds is said in `operators.rounding`.

Float layers, a head's or a whole network's, are computed as in the firmware. A runtime may add
up in another order and has another exponential, so that its score differs there in the last bits.
"""

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import operator_of, output_of
from fedmetaalign.operators.grid import to_grid
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.tinyml.network import DeployedNetwork, Layers, QuantizedNetwork

_ROWS = 1024  # computed at a time: a bound on memory, without effect on the result


def firmware_scores(network: DeployedNetwork, x: np.ndarray) -> np.ndarray:
    """Computes what the firmware computes, for every kind of deployed network.

    Args:
        network: a quantised network that `check_quantized` accepts, or the layers of a float32 one.
        x: (rows, inputs) features of the type that the network takes.

    Returns:
        (rows,) or (rows, classes) float64 scores, each an integer / 256 or a float32 number.

    Raises:
        BundleError: `x` has another type or shape.
    """
    if isinstance(network, QuantizedNetwork):
        return scores(network, x)
    _check(x, "float32", network[0].inputs)
    return np.concatenate([_float_scores(network, rows) for rows in _chunks(x)])


def scores(network: QuantizedNetwork, x: np.ndarray, rounding: Rounding = "gemmlowp") -> np.ndarray:
    """Computes the scores of a quantised network.

    Args:
        network: one that `check_quantized` accepts.
        x: (rows, inputs) features in the type of the network's edges. Float features may be infinite, and
            saturate, but not NaN. (TensorFlow Lite Micro, and LiteRT but for XNNPACK, take what is 2**31 steps
            or more above 0 for the smallest value instead, where C++ leaves the conversion undefined.)
        rounding: the family of runtimes to be equal to.

    Returns:
        float64, q / 256 or the float head's float32 numbers: (rows,), the probability of a fault; of several
        classes (rows, classes), the probability of each.

    Raises:
        BundleError: `x` has another type or shape.
    """
    q, grid = trunk(network, x, len(network.layers), rounding), network.layers[-1].output
    if network.head:
        reals = (q.astype(np.float32) - grid.zero_point) * np.float32(grid.scale)
        return np.concatenate([_float_scores(network.head, rows) for rows in _chunks(reals)])
    return output_of(network.layers[-1].outputs).run(q, grid, rounding)


def trunk(network: QuantizedNetwork, x: np.ndarray, layers: int, rounding: Rounding = "gemmlowp") -> np.ndarray:
    """Computes the output of the first integer layers.

    Args:
        network: as in `scores`.
        x: as in `scores`.
        layers: how many; with 0, the features themselves on the network's int8 grid.
        rounding: as in `scores`.

    Returns:
        (rows, units) int8, on the grid of the last of these layers.

    Raises:
        BundleError: `x` has another type or shape.
    """
    _check(x, network.edges, network.layers[0].inputs)
    return np.concatenate([_trunk(network, rows, layers, rounding) for rows in _chunks(x)])


def _check(x: np.ndarray, kind: str, inputs: int) -> None:
    if x.dtype != kind or x.shape[1:] != (inputs,):
        raise BundleError(
            f"The features are {x.dtype} of shape {x.shape}; the network takes rows of {inputs} {kind} values."
        )


def _chunks(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + _ROWS] for start in range(0, max(len(x), 1), _ROWS)]


def _float_scores(layers: Layers, reals: np.ndarray) -> np.ndarray:
    """Computes float layers and the probabilities as the firmware does: float64 that hold float32 numbers."""
    for layer in layers:
        reals = operator_of(layer).forward_float32(layer, reals)
    return output_of(layers[-1].outputs).forward_float32(reals)


def _trunk(network: QuantizedNetwork, x: np.ndarray, layers: int, rounding: Rounding) -> np.ndarray:
    q, grid = _features(network, x, rounding), network.input
    for layer in network.layers[:layers]:
        q, grid = operator_of(layer).run(layer, q, grid, rounding), layer.output
    return q


def _features(network: QuantizedNetwork, x: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Puts features on the network's int8 grid, (rows, inputs) int8."""
    grid = network.input
    if network.edges == "uint8":
        return (x.astype(np.int16) - 128).astype(np.int8)
    if network.edges == "int8":
        return x
    if rounding in ("gemmlowp", "single"):
        return to_grid(x, grid.scale, grid.zero_point, np.int8)
    with np.errstate(over="ignore"):
        steps = np.rint(x * (np.float32(1) / np.float32(grid.scale)))
    return np.clip(steps.astype(np.float64) + grid.zero_point, -128, 127).astype(np.int8)

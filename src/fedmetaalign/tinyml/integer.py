"""What a quantised network computes, to the last bit, on a device and in each runtime.

The sums of products are exact integers everywhere. Runtimes differ in how an accumulator, times the multiplier
of its output, becomes an int8; in how a float feature does; and in how the table of the sigmoid is made.

| `Rounding` | runtime | accumulator * multiplier | feature | sigmoid |
|---|---|---|---|---|
| `gemmlowp` | TensorFlow Lite Micro, our firmware | to a high half, then half away from 0 | divided | integer |
| `half-up` | LiteRT without delegates | to a high half, then half up | multiplied | float32 |
| `single` | LiteRT's reference kernels | once, in float64, half away from 0 | divided | float32 |
| `float32` | LiteRT with XNNPACK | once, in float32, half to even | multiplied | float64 |

(Several classes have a softmax instead, which comes in two kinds: see `softmax`.)

The first two round twice: a multiplier is a 31-bit integer and a right shift, and what is shifted is the
rounded high half of the doubled product. A feature is divided by the scale of its grid and rounded half away
from 0, or multiplied by the reciprocal and rounded half to even.

`gemmlowp` (Jacob et al. 2018, section 2.2; CMSIS-NN has it too) is integers alone from the first int8 to the
score. The others were read from their kernels' sources and confirmed with `ai-edge-litert` 2.3 on x86-64. There
`half-up` needs a processor with AVX: on one without, LiteRT's own kernels round like `single`.

Float layers, a head's or a whole network's, are computed as in the firmware (see `float32`). A runtime may add
up in another order and has another exponential, so that its score differs there in the last bits.
"""

from typing import Literal

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml import float32, gemmlowp, softmax
from fedmetaalign.tinyml.network import Layers, Network, QuantizedLayer, QuantizedNetwork
from fedmetaalign.tinyml.quantize import to_grid

Rounding = Literal["single", "gemmlowp", "half-up", "float32"]
"""A family of runtimes that give the same bits; see the table at the top of this module."""

_ROWS = 1024  # computed at a time: a bound on memory, without effect on the result
_MOST_SHIFT = 31  # bits; a multiplier that needs more is 0


def firmware_scores(network: Network, x: np.ndarray) -> np.ndarray:
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
    _check(x, "float32", len(network[0].weights))
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
    if q.shape[1] > 1:
        in_integers = rounding in ("gemmlowp", "single")
        return (softmax.fixed_point if in_integers else softmax.tabulated)(q, grid.scale) / 256.0
    table = logistic_table(grid.scale, grid.zero_point, rounding)
    return table[q[:, 0].astype(np.int64) + 128] / 256.0


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
    _check(x, network.edges, len(network.layers[0].weights))
    return np.concatenate([_trunk(network, rows, layers, rounding) for rows in _chunks(x)])


def fixed_point(multipliers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes multipliers as multiplier * 2**-31 * 2**-shift, TensorFlow Lite's `QuantizeMultiplier`.

    Args:
        multipliers: (n,) float64 in (0, 1).

    Returns:
        (n,) int64 multipliers, 0 or in [2**30, 2**31), and (n,) int64 right shifts in [0, 31].
    """
    fractions, exponents = np.frexp(multipliers)
    whole = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    carried = whole == 2**31
    whole, shifts = np.where(carried, 2**30, whole), -(exponents.astype(np.int64) + carried)
    lost = shifts > _MOST_SHIFT
    return np.where(lost, 0, whole), np.where(lost, 0, shifts)


def firmware_multipliers(input_scale: float, layer: QuantizedLayer) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's multipliers and right shifts in `gemmlowp` rounding, as `fixed_point` gives them.

    Args:
        input_scale: of the layer's input.
        layer: the layer.

    Returns:
        Two int64 arrays in the shape of the layer's weight scales, (1,) or (outputs,).
    """
    return fixed_point(input_scale * layer.weight_scales.astype(np.float64) / layer.output.scale)


def logistic_table(scale: float, zero_point: int, rounding: Rounding = "gemmlowp") -> np.ndarray:
    """Tabulates the score for every int8 logit.

    Args:
        scale: of the logit's grid, in [2**-20, 1].
        zero_point: of the logit's grid.
        rounding: as in `scores`. The tables of one grid differ where the score lies at the middle between two
            integers, as it does at +-1/128 on grids whose scale is a power of 2.

    Returns:
        (256,) uint8 of score * 256, for the logits -128 to 127; an int8 score is 128 less.
    """
    steps = np.arange(-128, 128) - zero_point
    if rounding == "gemmlowp":
        return _fixed_point_logistic(steps, scale)
    logits = steps.astype(np.float32) * np.float32(scale)
    if rounding == "float32":
        powers = np.exp(logits.astype(np.float64))
        reals = (powers / (1.0 + powers)).astype(np.float32)
        # XNNPACK adds the zero point before it rounds, which makes ties of what was near one.
        rounded = np.rint(reals * np.float32(256) - np.float32(128)) + 128
    else:
        with np.errstate(over="ignore"):  # the exponential of a large negative logit: its sigmoid is 0
            powers = np.exp(-logits.astype(np.float64)).astype(np.float32)
        rounded = np.floor((np.float32(1) / (np.float32(1) + powers)).astype(np.float64) * 256.0 + 0.5)
    table: np.ndarray = np.clip(rounded, 0, 255).astype(np.uint8)
    return table


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
        reals = float32.dense(reals, layer.weights, layer.biases, layer.relu)
    found = float32.sigmoid(reals[:, 0]) if reals.shape[1] == 1 else float32.softmax(reals)
    return found.astype(np.float64)


def _trunk(network: QuantizedNetwork, x: np.ndarray, layers: int, rounding: Rounding) -> np.ndarray:
    q, grid = _features(network, x, rounding), network.input
    for layer in network.layers[:layers]:
        sums = q.astype(np.int32) - grid.zero_point
        # einsum multiplies integers five times faster than @. Its int32 cannot overflow: check_quantized
        # confines products and biases to half of it each.
        sums = np.einsum("ri,io->ro", sums, layer.weights.astype(np.int32)) + layer.biases
        scaled = _requantize(sums, grid.scale, layer, rounding) + layer.output.zero_point
        q = np.clip(scaled, layer.output.zero_point if layer.relu else -128, 127).astype(np.int8)
        grid = layer.output
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


def _requantize(sums: np.ndarray, input_scale: float, layer: QuantizedLayer, rounding: Rounding) -> np.ndarray:
    """Scales accumulators, (rows, outputs) int32, down to steps of the layer's output, whole numbers."""
    scales, output = layer.weight_scales, layer.output
    if rounding == "float32" and layer.bits == 4:
        if len(layer.weights) % 2:
            rounding = "half-up"  # XNNPACK leaves it to LiteRT: rows of weights that are not whole bytes
        else:
            sums = sums << 4 >> 4  # its weights fill the high half of a byte, and 16-fold sums can wrap
    if rounding == "float32":
        return np.rint(sums.astype(np.float32) * (np.float32(input_scale) * scales / np.float32(output.scale)))
    if rounding == "single":
        real = sums * (input_scale * scales.astype(np.float64) / output.scale)
        whole = np.trunc(real)
        return whole + np.trunc(2.0 * (real - whole))
    if rounding == "half-up" and len(scales) == 1:  # LiteRT multiplies the two scales of a tensor in float32
        multipliers, shifts = fixed_point((np.float32(input_scale) * scales).astype(np.float64) / output.scale)
    else:
        multipliers, shifts = firmware_multipliers(input_scale, layer)
    high = gemmlowp.multiply(sums.astype(np.int64), multipliers)
    return gemmlowp.halve_up(high, shifts) if rounding == "half-up" else gemmlowp.halve_away(high, shifts)


def _fixed_point_logistic(steps: np.ndarray, scale: float) -> np.ndarray:
    """Computes 256 / (1 + exp(-steps * scale)) as TensorFlow Lite Micro's int8 LOGISTIC does: uint8.

    It is gemmlowp's `logistic` (fixedpoint.h), in int64 that hold its int32 values, between a conversion of the
    logits to 4 integer and 27 fractional bits and one of the result, 31 fractional bits, to 8.
    """
    fraction, exponent = np.frexp(scale * 2.0**27)
    radius = 15 * 2**27 >> int(exponent)  # of logits up to 15, beyond which the score does not change
    logits = gemmlowp.multiply(np.clip(steps, -radius, radius) << int(exponent), int(fraction * 2**31))
    positive = gemmlowp.reciprocal(gemmlowp.exponential(-np.abs(logits), integer_bits=4))
    result = np.select([logits == 0, logits < 0], [2**30, gemmlowp.ONE - positive], positive)
    q: np.ndarray = np.minimum(gemmlowp.halve_away(result, 23), 255).astype(np.uint8)
    return q

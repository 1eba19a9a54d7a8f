"""Post-training full-integer quantisation of a multilayer perceptron.

A real number r is stored as an integer q with two parameters of its tensor (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1):

    r = scale * (q - zero_point)

Types and ranges follow the LiteRT 8-bit quantisation specification: activations int8 with any zero point,
weights int8 in [-127, 127] with zero point 0, biases int32 with scale = input scale * weight scale and zero
point 0, LOGISTIC output int8 with scale 1/256 and zero point -128. Only the edges of the network are uint8:
the same grid, moved by 128.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import BundleError

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""A float network: (weights (inputs, outputs) float32, biases (outputs,) float32), ReLU in between, and a
sigmoid after the last layer, which has one output."""

# Scores round to 0 below a logit of -6.236 and to 255/256 above 5.134; the limits lie a step beyond,
# so that rounding its ends does not take the first and the last score away.
LOWEST_LOGIT = -6.3
HIGHEST_LOGIT = 5.2

_CHUNK = 4096  # rows calibrated at a time: a bound on memory, without effect on the result
_LARGEST_BIAS = 2.0**30  # leaves half of the int32 accumulator to the products ...
_MOST_INPUTS = 2**15  # ... each of them below 2**15, of which 2**15 fit
_LOGIT_SCALES = (2.0**-20, 1.0)  # TensorFlow Lite Micro's LOGISTIC shifts by 27 + log2(scale) bits, in [0, 31]
_SMALLEST_SCALE = 2.0**-50  # products of two scales stay normal float32 numbers


@dataclass(frozen=True)
class Grid:
    """How a tensor of activations maps onto integers: r = scale * (q - zero_point).

    Attributes:
        scale: step of the grid; a float32 value, as it stands in the file.
        zero_point: the integer that stands for 0.
    """

    scale: float
    zero_point: int


SCORE = Grid(1 / 256, -128)
"""The grid of LOGISTIC's int8 output, which the specification fixes."""


@dataclass(frozen=True)
class QuantizedLayer:
    """One fully connected layer in integers.

    Attributes:
        weights: (inputs, outputs) int8 in [-127, 127].
        weight_scales: (1,) float32, one scale for the tensor, or (outputs,) float32, one an output channel.
        biases: (outputs,) int32 on the grid of input scale * weight scale.
        output: grid of the layer's int8 output (after ReLU, but for the last layer, which gives the logit).
    """

    weights: np.ndarray
    weight_scales: np.ndarray
    biases: np.ndarray
    output: Grid


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network whose arithmetic is all integer.

    Attributes:
        input: grid of the int8 features; the uint8 that goes in is the same plus 128.
        layers: the layers, first to last; the last one gives one logit, whose sigmoid is on `SCORE`.
    """

    input: Grid
    layers: tuple[QuantizedLayer, ...]


def quantize(layers: Layers, calibration: np.ndarray, per_channel: bool = False) -> QuantizedNetwork:
    """Turns a float network into integers, with ranges seen on calibration data.

    Args:
        layers: the float network.
        calibration: (rows, inputs) float32, scaled features such as the device will see.
        per_channel: one weight scale for each output of a layer instead of one for the layer: finer, for 4
            bytes of scale and 8 of zero point an output.

    Returns:
        The quantised network.

    Raises:
        BundleError: the shapes do not chain, a weight or calibration value is not finite, or there is no
            calibration data.
    """
    check_layers(layers)
    _check_calibration(calibration, len(layers[0][0]))
    ranges = activation_ranges(layers, calibration)
    features = grid(*ranges[0])
    quantized: list[QuantizedLayer] = []
    for (weights, biases), (low, high) in zip(layers, ranges[1:], strict=True):
        scale = quantized[-1].output.scale if quantized else features.scale
        if len(quantized) == len(layers) - 1:
            low, high = logit_range(low, high)
        quantized.append(_quantize_layer(weights, biases, scale, low, high, per_channel))
    return QuantizedNetwork(features, tuple(quantized))


def quantize_input(network: QuantizedNetwork, x: np.ndarray) -> np.ndarray:
    """Puts scaled features on the network's uint8 input grid.

    Args:
        network: the quantised network.
        x: (rows, inputs) float32.

    Returns:
        (rows, inputs) uint8; values outside the calibrated range saturate.
    """
    return to_grid(x, network.input.scale, network.input.zero_point + 128, np.uint8)


def dequantize_score(q: np.ndarray) -> np.ndarray:
    """Turns uint8 scores, of any shape, into probabilities of a fault q / 256: float64 in [0, 255/256]."""
    return np.asarray(q, np.float64) / 256.0


def to_grid(x: np.ndarray, scale: float, zero_point: int, dtype: type[np.integer]) -> np.ndarray:
    """Quantises: q = clip(round(x / scale) + zero_point), exactly as LiteRT's QUANTIZE kernel does.

    The quotient is float32 and ties go away from zero, like C's `roundf`, so that firmware in single precision
    gets the same integers.

    Args:
        x: float32 values of any shape, infinite perhaps, but not NaN, which no integer stands for.
        scale: step of the grid.
        zero_point: the integer that stands for 0.
        dtype: an integer type of at most 16 bits, whose limits are where values saturate.

    Returns:
        Integers of that type, in the shape of `x`.
    """
    limits = np.iinfo(dtype)
    # A quotient that overflows is infinite, and saturates as it should.
    with np.errstate(over="ignore"):
        quotient = np.asarray(x, np.float32) / np.float32(scale)
    q: np.ndarray = np.clip(_round(quotient) + zero_point, limits.min, limits.max).astype(dtype)
    return q


def grid(low: float, high: float, smallest_scale: float = _SMALLEST_SCALE) -> Grid:
    """Spreads the 256 int8 values over a range, which is first extended to include 0 (so that 0 is exact).

    Args:
        low: smallest value that occurs.
        high: largest value that occurs.
        smallest_scale: the scale is at least this.

    Returns:
        The grid. A range of nothing but 0 becomes [0, 1]: what was silent in the calibration data may still
        speak up on the device.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    scale = float(np.float32(max((high - low) / 255.0, smallest_scale)))
    return Grid(scale, int(np.clip(_round(-128.0 - low / scale), -128, 127)))


def logit_range(low: float, high: float) -> tuple[float, float]:
    """Chooses the range of the logit's grid from the logits seen in calibration.

    Two amendments to the plain minimum and maximum. The range is made symmetric, and at least [-1, 1], first:
    calibration data of one class shows logits of one sign only, and without room for the other sign no row
    could pass a threshold beyond 1/2. (A step of 4/256 in the logit is at most one of 1/256 in the score, so no
    range below [-2, 2] makes scores finer.) Then it is cut to what a score in steps of 1/256 can express,
    since a grid that reaches out to a logit of 30 is too coarse around 0, where the threshold is.

    Args:
        low: smallest logit in the calibration data.
        high: largest logit in the calibration data.

    Returns:
        (low, high) of the grid.
    """
    reach = max(-low, high, 1.0)
    # 127/128: int8 has one value less above 0, and so 0 is the zero point instead of a tie between two.
    return max(-reach, LOWEST_LOGIT), min(reach * 127 / 128, HIGHEST_LOGIT)


def activation_ranges(layers: Layers, x: np.ndarray) -> list[tuple[float, float]]:
    """Finds, in one pass, the smallest and largest value of the input and of each layer's output.

    Computed in float64: the order in which a machine's matrix product adds up then does not show in a scale,
    which is rounded to float32, and the same network gives the same file everywhere.

    Args:
        layers: the float network.
        x: (rows, inputs) float32.

    Returns:
        (minimum, maximum) of the input, of each hidden layer after ReLU, and of the logit.

    Raises:
        BundleError: a value grows out of float32's range.
    """
    lows = np.full(len(layers) + 1, np.inf)
    highs = np.full(len(layers) + 1, -np.inf)
    for start in range(0, len(x), _CHUNK):
        for i, values in enumerate(_activations(layers, x[start : start + _CHUNK].astype(np.float64))):
            lows[i] = min(lows[i], values.min())
            highs[i] = max(highs[i], values.max())
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if not high - low < np.finfo(np.float32).max:
            raise BundleError(
                f"The output of layer {i} spans [{low:.3g}, {high:.3g}] on the calibration data, which no "
                "float32 scale can hold; train the network again with a lower learning rate."
            )
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def check_layers(layers: Layers) -> None:
    """Makes sure that arrays form a network that can be exported.

    Args:
        layers: the float network.

    Raises:
        BundleError: the shapes do not chain to one output, or a weight is not finite.
    """
    if not layers:
        raise BundleError("The network has no layers; give at least one pair of weights and biases.")
    for i, (weights, biases) in enumerate(layers, 1):
        if weights.ndim != 2 or biases.shape != weights.shape[1:] or 0 in weights.shape:
            raise BundleError(
                f"Layer {i} has weights of shape {weights.shape} and biases of shape {biases.shape}; "
                "(inputs, outputs) and (outputs,) are needed."
            )
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise BundleError(
                f"Layer {i} has a weight or bias that is not finite; lower the learning rate and train again."
            )
    for i, ((before, _), (after, _)) in enumerate(itertools.pairwise(layers), 1):
        if before.shape[1] != after.shape[0]:
            raise BundleError(
                f"Layer {i} has {before.shape[1]} outputs but layer {i + 1} has {after.shape[0]} inputs; "
                "the two must be equal."
            )
    if layers[-1][0].shape[1] != 1:
        raise BundleError(f"The last layer has {layers[-1][0].shape[1]} outputs; a fault classifier has one.")


def check_quantized(network: QuantizedNetwork) -> None:
    """Makes sure of what kernels rely on, in a network that comes from a file instead of `quantize`.

    Args:
        network: a quantised network whose shapes chain.

    Raises:
        BundleError: a scale is not a positive number, a zero point is no int8, an accumulator could overflow, a
            requantisation multiplier is not below 1, or the logit's scale is not one that LOGISTIC can take.
    """
    fault = None
    scale = network.input.scale
    for grid_ in (network.input, *(layer.output for layer in network.layers)):
        if not (0.0 < grid_.scale < np.inf and -128 <= grid_.zero_point <= 127):
            fault = f"an activation has scale {grid_.scale:.3g} and zero point {grid_.zero_point}"
    for i, layer in enumerate(network.layers, 1):
        with np.errstate(all="ignore"):  # a scale may be any float32 here
            bias_scales = np.float32(scale) * layer.weight_scales
        if not ((bias_scales > 0.0) & (bias_scales < layer.output.scale)).all():
            fault = f"the scales of layer {i} give a multiplier outside (0, 1)"
        if np.abs(layer.biases.astype(np.int64)).max() > _LARGEST_BIAS or len(layer.weights) > _MOST_INPUTS:
            fault = f"layer {i} can overflow its int32 accumulators"
        scale = layer.output.scale
    if not fault and not _LOGIT_SCALES[0] <= scale <= _LOGIT_SCALES[1]:
        fault = f"the logit has scale {scale:.3g}"
    if fault:
        raise BundleError(f"The quantised network cannot run, since {fault}; export it again.")


def _check_calibration(x: np.ndarray, inputs: int) -> None:
    if x.ndim != 2 or x.shape[1] != inputs or not len(x):
        raise BundleError(
            f"Calibration data has shape {x.shape}; the network needs at least one row of {inputs} inputs."
        )
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        raise BundleError(
            f"Calibration data is not finite in row {bad[0][0]}, column {bad[0][1]}; remove or fill such rows."
        )


def _activations(layers: Layers, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the input, each hidden layer's output after ReLU, and the logit: each (rows, units)."""
    yield x
    with np.errstate(over="ignore", invalid="ignore"):  # the caller reports what is not finite
        for i, (weights, biases) in enumerate(layers, 1):
            x = x @ weights + biases
            if i < len(layers):
                x = np.maximum(x, 0.0)
            yield x


def _quantize_layer(
    weights: np.ndarray, biases: np.ndarray, input_scale: float, low: float, high: float, per_channel: bool
) -> QuantizedLayer:
    """Quantises one layer whose output spans [low, high].

    Two floors keep the integers sound whatever the weights are. A weight scale is large enough for the bias
    to fit into 30 bits, which also gives a layer (or channel) of zero weights a scale. And the output's step
    is just above the accumulator's, input scale * weight scale: finer would show no more, and so the
    requantisation multiplier is always below 1, a plain right shift in firmware.
    """
    weights, biases = weights.astype(np.float64), biases.astype(np.float64)
    if per_channel:
        largest, bias = np.abs(weights).max(axis=0), np.abs(biases)
    else:
        largest, bias = np.abs(weights).max(keepdims=True)[0], np.abs(biases).max(keepdims=True)  # (1,) each
    floors = np.maximum(bias / (_LARGEST_BIAS * input_scale), _SMALLEST_SCALE)
    scales = np.maximum(largest / 127.0, floors).astype(np.float32)
    bias_scales = np.float32(input_scale) * scales
    step = float(np.nextafter(bias_scales.max(), np.float32(np.inf)))
    # The clips take back what rounding a scale to float32 can add at the very end of a range.
    whole = _round(biases / bias_scales.astype(np.float64))
    return QuantizedLayer(
        weights=np.clip(_round(weights / scales), -127, 127).astype(np.int8),
        weight_scales=scales,
        biases=np.clip(whole, -_LARGEST_BIAS, _LARGEST_BIAS).astype(np.int32),
        output=grid(low, high, smallest_scale=step),
    )


def _round(values: np.ndarray | np.float32 | np.float64 | float) -> np.ndarray:
    """Rounds to the nearest integer, ties away from zero; the float64 sum keeps 0.49999997 below 1/2."""
    exact = np.asarray(values, np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact)

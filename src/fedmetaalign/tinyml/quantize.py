"""Post-training full-integer quantisation of a multilayer perceptron.

What the integers stand for, and which the runtimes take, is said in `network`.
"""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import (
    LARGEST_BIAS,
    Grid,
    Layers,
    QuantizedLayer,
    QuantizedNetwork,
    check_layers,
)

# Scores round to 0 below a logit of -6.236 and to 255/256 above 5.134; the limits lie a step beyond,
# so that rounding its ends does not take the first and the last score away.
LOWEST_LOGIT = -6.3
HIGHEST_LOGIT = 5.2

_CHUNK = 4096  # rows calibrated at a time: a bound on memory, without effect on the result
_SMALLEST_SCALE = 2.0**-50  # products of two scales stay normal float32 numbers


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
    grid_ = network.input.unsigned
    return to_grid(x, grid_.scale, grid_.zero_point, np.uint8)


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
    floors = np.maximum(bias / (LARGEST_BIAS * input_scale), _SMALLEST_SCALE)
    scales = np.maximum(largest / 127.0, floors).astype(np.float32)
    bias_scales = np.float32(input_scale) * scales
    step = float(np.nextafter(bias_scales.max(), np.float32(np.inf)))
    # The clips take back what rounding a scale to float32 can add at the very end of a range.
    whole = _round(biases / bias_scales.astype(np.float64))
    return QuantizedLayer(
        weights=np.clip(_round(weights / scales), -127, 127).astype(np.int8),
        weight_scales=scales,
        biases=np.clip(whole, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32),
        output=grid(low, high, smallest_scale=step),
    )


def _round(values: np.ndarray | np.float32 | np.float64 | float) -> np.ndarray:
    """Rounds to the nearest integer, ties away from zero; the float64 sum keeps 0.49999997 below 1/2."""
    exact = np.asarray(values, np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact)

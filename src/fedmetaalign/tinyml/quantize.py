"""Post-training full-integer quantisation of a multilayer perceptron.

What the integers stand for, and which the runtimes take, is said in `network`.
"""

from collections.abc import Sequence

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml import gptq
from fedmetaalign.tinyml.calibration import activation_ranges, check_calibration, layer_inputs
from fedmetaalign.tinyml.network import (
    LARGEST_BIAS,
    Bits,
    Dense,
    Edges,
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

_SMALLEST_SCALE = 2.0**-50  # products of two scales stay normal float32 numbers


def quantize(
    layers: Layers,
    calibration: np.ndarray,
    per_channel: bool = False,
    bits: Bits | Sequence[Bits] = 8,
    head: int = 0,
    edges: Edges = "uint8",
) -> QuantizedNetwork:
    """Turns a float network into integers, with ranges seen on calibration data.

    Args:
        layers: the float network.
        calibration: (rows, inputs) float32, scaled features such as the device will see.
        per_channel: one weight scale for each output of a layer instead of one for the layer: finer, for 16
            bytes an output: the scales of its weights and of its bias, and a zero point that they share.
        bits: of the weights, for all integer layers or one for each; 4 excludes `per_channel`.
        head: how many layers, counted from the last, stay float32.
        edges: type of the features, and of the score where there is no head.

    Returns:
        The quantised network.

    Raises:
        BundleError: the shapes do not chain, a weight or calibration value is not finite, there is no
            calibration data, or what is asked for excludes itself.
    """
    check_layers(layers)
    trunk, tail = layers[: len(layers) - head], layers[len(layers) - head :]
    widths = [*bits] if isinstance(bits, Sequence) else [bits] * len(trunk)
    _check_request(len(layers), widths, per_channel, head)
    check_calibration(calibration, len(layers[0].weights))
    ranges = activation_ranges(layers, calibration)
    features = grid(*ranges[0])
    quantized: list[QuantizedLayer] = []
    for i, (layer, width) in enumerate(zip(trunk, widths, strict=True)):
        scale = quantized[-1].output.scale if quantized else features.scale
        logit = i == len(layers) - 1 and len(layer.biases) == 1
        span = logit_range(*ranges[i + 1]) if logit else ranges[i + 1]
        if width == 4:
            inputs = gptq.moments(layer_inputs(layers, i, calibration))
            quantized.append(_quantize_to_4_bits(layer, scale, span, inputs))
        else:
            quantized.append(_quantize_layer(layer, scale, span, per_channel))
    return QuantizedNetwork(features, tuple(quantized), tuple(tail), edges)


def bits_of_int4(layers: Layers) -> list[Bits]:
    """Chooses which layers get weights of 4 bits: those that hold most of the weights.

    The first layer and those with less than a fiftieth of all weights keep 8 bits: for the paper's network 1.5
    KB more, and a third of the error.

    Returns:
        The bits of each layer's weights.
    """
    sizes = [layer.weights.size for layer in layers]
    return [4 if i and size * 50 >= sum(sizes) else 8 for i, size in enumerate(sizes)]


def quantize_input(network: QuantizedNetwork, x: np.ndarray) -> np.ndarray:
    """Puts scaled features on the network's input grid.

    Args:
        network: the quantised network.
        x: (rows, inputs) float32.

    Returns:
        (rows, inputs) of the type of the network's edges; integers saturate outside the calibrated range.
    """
    if network.edges == "float32":
        return np.asarray(x, np.float32)
    if network.edges == "int8":
        return to_grid(x, network.input.scale, network.input.zero_point, np.int8)
    return to_grid(x, network.input.scale, network.input.unsigned.zero_point, np.uint8)


def dequantize_score(q: np.ndarray) -> np.ndarray:
    """Turns scores as a model gives them into probabilities of a fault.

    Args:
        q: of any shape, uint8 (in steps of 1/256 from 0), int8 (the same less 128) or float32.

    Returns:
        float64 in [0, 1], of the same shape.
    """
    if q.dtype.kind == "f":
        return q.astype(np.float64)
    return np.asarray((q.astype(np.float64) - np.iinfo(q.dtype).min) / 256.0)


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


def _check_request(layers: int, bits: Sequence[Bits], per_channel: bool, head: int) -> None:
    if not 0 <= head < layers:
        raise BundleError(
            f"A float32 head of {head} of {layers} layers leaves none to quantise; ask for a float32 model."
        )
    if len(bits) != layers - head:
        raise BundleError(f"{layers - head} layers are quantised, but bits has {len(bits)} numbers.")
    if per_channel and 4 in bits:
        raise BundleError(
            "Kernels for 4-bit weights take one scale a layer; leave per_channel out, or ask for 8 bits."
        )


def _quantize_layer(
    layer: Dense, input_scale: float, span: tuple[float, float], per_channel: bool
) -> QuantizedLayer:
    """Quantises the weights of one layer, whose output lies within `span`, to 8 bits."""
    weights = layer.weights.astype(np.float64)
    largest = np.abs(weights).max(axis=0) if per_channel else np.abs(weights).max(keepdims=True)[0]
    scales = _weight_scales(largest / 127.0, layer.biases, input_scale)
    # The clip takes back what rounding a scale to float32 can add at the very end of a range.
    whole = np.clip(_round(weights / scales), -127, 127)
    return _integer_layer(layer, whole, scales, layer.biases, input_scale, span, 8)


def _quantize_to_4_bits(
    layer: Dense, input_scale: float, span: tuple[float, float], inputs: gptq.Moments
) -> QuantizedLayer:
    """Quantises the weights of one layer, whose output lies within `span`, to 4 bits."""
    weights = layer.weights.astype(np.float64)
    step = gptq.best_step(weights, inputs.covariance.diagonal(), 7)
    scales = _weight_scales(np.array([step]), layer.biases, input_scale)
    whole = gptq.round_weights(weights / scales, inputs.covariance, 7)
    biases = layer.biases + inputs.mean @ (weights - whole * scales.astype(np.float64))
    return _integer_layer(layer, whole, scales, biases, input_scale, span, 4)


def _weight_scales(steps: np.ndarray, biases: np.ndarray, input_scale: float) -> np.ndarray:
    """Returns float32 scales, one a layer or output, no finer than `steps` and than what a bias asks for.

    A scale is large enough for the bias to fit into 30 bits, which also gives a layer (or output) of zero
    weights a scale.
    """
    largest = np.abs(biases.astype(np.float64))
    if len(steps) == 1:
        largest = largest.max(keepdims=True)
    floors = np.maximum(largest / (LARGEST_BIAS * input_scale), _SMALLEST_SCALE)
    scales: np.ndarray = np.maximum(steps, floors).astype(np.float32)
    return scales


def _integer_layer(
    layer: Dense,
    weights: np.ndarray,
    scales: np.ndarray,
    biases: np.ndarray,
    input_scale: float,
    span: tuple[float, float],
    bits: Bits,
) -> QuantizedLayer:
    """Puts the biases on the accumulators' grid and the output on one of its own.

    The output's step is just above the accumulator's, input scale * weight scale: finer would show no more, and
    so the requantisation multiplier is always below 1, a plain right shift in firmware.
    """
    bias_scales = np.float32(input_scale) * scales
    whole = _round(biases.astype(np.float64) / bias_scales.astype(np.float64))
    step = float(np.nextafter(bias_scales.max(), np.float32(np.inf)))
    return QuantizedLayer(
        weights=weights.astype(np.int8),
        weight_scales=scales,
        biases=np.clip(whole, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32),
        output=grid(*span, smallest_scale=step),
        relu=layer.relu,
        bits=bits,
    )


def _round(values: np.ndarray | np.float32 | np.float64 | float) -> np.ndarray:
    """Rounds to the nearest integer, ties away from zero; the float64 sum keeps 0.49999997 below 1/2."""
    exact = np.asarray(values, np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact)

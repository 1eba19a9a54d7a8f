"""Between a fully connected layer in float and in integers."""

import numpy as np

from fedmetaalign.operators.dense import gptq
from fedmetaalign.operators.dense.layer import LARGEST_BIAS, Dense, QuantizedDense
from fedmetaalign.operators.grid import SMALLEST_SCALE, Grid, grid, round_away
from fedmetaalign.operators.operator import Request


def quantize(layer: Dense, source: Grid, request: Request) -> QuantizedDense:
    """Rounds a layer's weights, to nearest or, to 4 bits, as `gptq` does; `source` is the grid it takes."""
    weights, biases = layer.weights.astype(np.float64), layer.biases
    if request.bits == 4:
        inputs = gptq.moments(request.inputs)
        step = gptq.best_step(weights, inputs.covariance.diagonal(), 7)
        scales = _weight_scales(np.array([step]), biases, source.scale)
        whole = gptq.round_weights(weights / scales, inputs.covariance, 7)
        biases = biases + inputs.mean @ (weights - whole * scales.astype(np.float64))
    else:
        largest = np.abs(weights).max(axis=0) if request.per_channel else np.abs(weights).max(keepdims=True)[0]
        scales = _weight_scales(largest / 127.0, biases, source.scale)
        # The clip takes back what rounding a scale to float32 can add at the very end of a range.
        whole = np.clip(round_away(weights / scales), -127, 127)
    # The output's step is just above the accumulator's, input scale * weight scale: finer would show no more,
    # and so the requantisation multiplier is always below 1, a plain right shift in firmware.
    bias_scales = np.float32(source.scale) * scales
    steps = round_away(biases.astype(np.float64) / bias_scales.astype(np.float64))
    smallest = float(np.nextafter(bias_scales.max(), np.float32(np.inf)))
    return QuantizedDense(
        weights=whole.astype(np.int8),
        weight_scales=scales,
        biases=np.clip(steps, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32),
        output=grid(*request.span, smallest_scale=smallest),
        relu=layer.relu,
        bits=request.bits,
    )


def dequantize(layer: QuantizedDense, source: Grid) -> Dense:
    """Returns the float layer that integers stand for; `source` is the grid they take."""
    bias_scales = np.float32(source.scale) * layer.weight_scales
    return Dense(
        layer.weights.astype(np.float32) * layer.weight_scales,
        layer.biases.astype(np.float32) * bias_scales,
        layer.relu,
    )


def _weight_scales(steps: np.ndarray, biases: np.ndarray, input_scale: float) -> np.ndarray:
    """Returns float32 scales, one a layer or output, no finer than `steps` and than what a bias asks for.

    A scale is large enough for the bias to fit into 30 bits, which also gives a layer (or output) of zero
    weights a scale.
    """
    largest = np.abs(biases.astype(np.float64))
    if len(steps) == 1:
        largest = largest.max(keepdims=True)
    floors = np.maximum(largest / (LARGEST_BIAS * input_scale), SMALLEST_SCALE)
    scales: np.ndarray = np.maximum(steps, floors).astype(np.float32)
    return scales

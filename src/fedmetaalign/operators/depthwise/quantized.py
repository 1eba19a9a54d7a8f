"""A depthwise convolution over time in integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedmetaalign.operators import requantize
from fedmetaalign.operators.convolution.quantized import whole_bytes
from fedmetaalign.operators.dense import layer as dense
from fedmetaalign.operators.dense import quantisation
from fedmetaalign.operators.dense.layer import Dense, QuantizedDense
from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.grid import Bits, Grid
from fedmetaalign.operators.operator import Request
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.operators.steps import Filters, no_room, windows

_AT_ONCE = 8  # channels that LiteRT's own kernel works on together; it rounds those left over one by one


@dataclass(frozen=True)
class QuantizedDepthwise(Filters):
    """A depthwise convolution over time in integers, each of whose filters has a scale of its own.

    Attributes:
        weights: (kernel, channels) int8 in [-127, 127].
        weight_scales: (channels,) float32.
        biases: (channels,) int32 on the grid of input scale * weight scale.
        output: grid of the int8 output, after ReLU where there is one.
        steps: of its input.
        stride: steps from one place of the kernel to the next.
        relu: whether negative outputs become 0.
    """

    weights: np.ndarray
    weight_scales: np.ndarray
    biases: np.ndarray
    output: Grid
    steps: int
    stride: int
    relu: bool
    bits: ClassVar[Bits] = 8

    @property
    def columns(self) -> QuantizedDense:
        """Its filters as the columns of a dense layer."""
        return QuantizedDense(self.weights, self.weight_scales, self.biases, self.output, self.relu)


def quantize(layer: Depthwise, source: Grid, request: Request) -> QuantizedDepthwise:
    """Rounds a layer's weights to nearest, with a scale for each filter; `source` is the grid it takes.

    Raises:
        BundleError: fewer than 8 bits are asked for.
    """
    whole_bytes(request)
    flat = Dense(layer.weights, layer.biases, layer.relu)
    made = quantisation.quantize(flat, source, request._replace(per_channel=True))
    rest = (layer.steps, layer.stride, layer.relu)
    return QuantizedDepthwise(made.weights, made.weight_scales, made.biases, made.output, *rest)


def dequantize(layer: QuantizedDepthwise, source: Grid) -> Depthwise:
    """Returns the float layer that integers stand for; `source` is the grid they take."""
    made = quantisation.dequantize(layer.columns, source)
    return Depthwise(made.weights, made.biases, layer.steps, layer.stride, layer.relu)


def faults(layer: QuantizedDepthwise, source: Grid) -> Iterator[str]:
    """Tells why kernels cannot run an integer layer that takes the grid `source`."""
    yield from dense.faults(layer.columns, source)
    if fault := no_room(layer.kernel, layer.stride, layer.steps):
        yield fault


def run(layer: QuantizedDepthwise, q: np.ndarray, source: Grid, rounding: Rounding) -> np.ndarray:
    """Returns the output, (rows, outputs) int8, for (rows, inputs) int8 on the grid `source`.

    LiteRT's reference kernel rounds as TensorFlow Lite Micro's does, which it does not for dense layers; and so
    does its other kernel where fewer than eight channels are left.
    """
    seen = _seen(layer, q).astype(np.int32) - source.zero_point
    sums = np.einsum("ntkc,kc->ntc", seen, layer.weights.astype(np.int32)) + layer.biases
    together = layer.channels // _AT_ONCE * _AT_ONCE if rounding == "half-up" else layer.channels
    rounding = "gemmlowp" if rounding == "single" else rounding
    parts = [(slice(None, together), rounding), (slice(together, None), "gemmlowp")]
    steps = [
        requantize.scaled(sums[..., part], source.scale, layer.weight_scales[part], layer.output, by)
        for part, by in parts
    ]
    placed = requantize.placed(np.concatenate(steps, axis=2), layer.output, layer.relu)
    return placed.reshape(len(q), layer.outputs)


def forward_float32(layer: Depthwise, x: np.ndarray) -> np.ndarray:
    """Returns what the firmware computes, (rows, outputs) float32, for (rows, inputs) float32."""
    seen = _seen(layer, x)
    sums = np.zeros((len(x), layer.output_steps, layer.channels), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, on the device too
        for k, weights in enumerate(layer.weights):  # sums are taken in the order of their index
            sums += seen[:, :, k] * weights
        sums += layer.biases
    flat = sums.reshape(len(x), layer.outputs)
    return np.where(flat < 0, np.float32(0), flat) if layer.relu else flat


def _seen(layer: Depthwise | QuantizedDepthwise, x: np.ndarray) -> np.ndarray:
    """Returns what the kernel sees at each place, (rows, places, kernel, channels)."""
    return windows(x.reshape(len(x), layer.steps, layer.channels), layer.kernel, layer.stride)

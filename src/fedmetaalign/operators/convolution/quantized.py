"""A convolution over time in integers: at each place a dense layer of what its kernel sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import requantize
from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.dense import integer, quantisation
from fedmetaalign.operators.dense import layer as dense
from fedmetaalign.operators.dense.layer import Dense, QuantizedDense
from fedmetaalign.operators.grid import Bits, Grid
from fedmetaalign.operators.operator import Request
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.operators.steps import Filters, no_room, windows


@dataclass(frozen=True)
class QuantizedConvolution(Filters):
    """A convolution over time in integers, each of whose filters has a scale of its own.

    Attributes:
        weights: (kernel, input channels, filters) int8 in [-127, 127].
        weight_scales: (filters,) float32.
        biases: (filters,) int32 on the grid of input scale * weight scale.
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
    def place(self) -> QuantizedDense:
        """What it is at one place: a dense layer of kernel * channels inputs."""
        flat = self.weights.reshape(-1, len(self.biases))
        return QuantizedDense(flat, self.weight_scales, self.biases, self.output, self.relu)


def place(layer: Convolution) -> Dense:
    """Returns what a float convolution is at one place."""
    return Dense(layer.weights.reshape(-1, layer.filters), layer.biases, layer.relu)


def quantize(layer: Convolution, source: Grid, request: Request) -> QuantizedConvolution:
    """Rounds a convolution's weights to nearest, with a scale for each filter; `source` is the grid it takes.

    Raises:
        BundleError: fewer than 8 bits are asked for.
    """
    whole_bytes(request)
    flat = quantisation.quantize(place(layer), source, request._replace(per_channel=True))
    weights = flat.weights.reshape(layer.weights.shape)
    rest = (layer.steps, layer.stride, layer.relu)
    return QuantizedConvolution(weights, flat.weight_scales, flat.biases, flat.output, *rest)


def dequantize(layer: QuantizedConvolution, source: Grid) -> Convolution:
    """Returns the float layer that integers stand for; `source` is the grid they take."""
    flat = quantisation.dequantize(layer.place, source)
    weights = flat.weights.reshape(layer.weights.shape)
    return Convolution(weights, flat.biases, layer.steps, layer.stride, layer.relu)


def faults(layer: QuantizedConvolution, source: Grid) -> Iterator[str]:
    """Tells why kernels cannot run an integer layer that takes the grid `source`."""
    yield from dense.faults(layer.place, source)
    if fault := no_room(layer.kernel, layer.stride, layer.steps):
        yield fault


def run(layer: QuantizedConvolution, q: np.ndarray, source: Grid, rounding: Rounding) -> np.ndarray:
    """Returns the output, (rows, outputs) int8, for (rows, inputs) int8 on the grid `source`.

    LiteRT's reference kernel rounds as TensorFlow Lite Micro's does, which it does not for dense layers.
    """
    sums = integer.sums(layer.place, _seen(layer, q), source)
    rounding = "gemmlowp" if rounding == "single" else rounding
    steps = requantize.scaled(sums, source.scale, layer.weight_scales, layer.output, rounding)
    return requantize.placed(steps, layer.output, layer.relu).reshape(len(q), layer.outputs)


def forward_float32(layer: Convolution, x: np.ndarray) -> np.ndarray:
    """Returns what the firmware computes, (rows, outputs) float32, for (rows, inputs) float32."""
    return dense.forward_float32(place(layer), _seen(layer, x)).reshape(len(x), layer.outputs)


def whole_bytes(request: Request) -> None:
    """Raises BundleError where a convolution is asked for with fewer than 8 bits."""
    if request.bits != 8:
        raise BundleError(
            f"Convolutions have weights of 8 bits, and {request.bits} were asked for; give them 8 and dense "
            "layers 4."
        )


def _seen(layer: Convolution | QuantizedConvolution, x: np.ndarray) -> np.ndarray:
    """Returns what the kernel sees at each place of each row, (rows * places, kernel * channels)."""
    seen = windows(x.reshape(len(x), layer.steps, layer.channels), layer.kernel, layer.stride)
    return seen.reshape(-1, layer.kernel * layer.channels)

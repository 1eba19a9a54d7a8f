"""Pooling over time in integers.

The greatest and the mean of some steps stay on the grid of what is pooled, with the same bits in every
runtime. The mean of all steps, MEAN, has a grid of its own, since means spread less than what they are of;
there are two families of runtimes for it: XNNPACK, and the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedmetaalign.operators import gemmlowp, requantize
from fedmetaalign.operators.grid import Bits, Grid, grid
from fedmetaalign.operators.operator import Request
from fedmetaalign.operators.pool.layer import Kind, Pool
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.operators.steps import OverTime, no_room, windows

_NO_SCALES = np.zeros(0, np.float32)
_MOST_STEPS = 2**15  # of a mean, whose sum then fits into 24 bits


@dataclass(frozen=True)
class QuantizedPool(OverTime):
    """Pooling over time in integers.

    Attributes:
        kind: what is taken of the steps.
        size: how many steps.
        stride: steps from one place to the next.
        steps: of its input.
        channels: of its input, and of its output.
        output: grid of the int8 output: the input's, unless it is the mean of all steps.
    """

    kind: Kind
    size: int
    stride: int
    steps: int
    channels: int
    output: Grid
    relu: ClassVar[bool] = False
    bits: ClassVar[Bits] = 8
    weight_scales: ClassVar[np.ndarray] = _NO_SCALES

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Steps that are pooled, and channels twice: of its input, and of its output."""
        return self.size, self.channels, self.channels


def is_mean(layer: Pool | QuantizedPool) -> bool:
    """Tells whether a layer is the mean of all steps, of two at least."""
    return layer.kind == "average" and 1 < layer.size == layer.steps


def quantize(layer: Pool, source: Grid, request: Request) -> QuantizedPool:
    """Returns the integer layer; `source` is the grid it takes."""
    output = source
    if is_mean(layer):
        # A step of half of which the sum has two would show no more; and the firmware shifts to the right only,
        # so what float32 rounds down is one step too small.
        smallest = np.nextafter(np.float32(2 * source.scale / layer.size), np.float32(np.inf))
        narrow = grid(*request.span, smallest_scale=float(smallest))
        output = narrow if narrow.scale < source.scale else source
    return QuantizedPool(layer.kind, layer.size, layer.stride, layer.steps, layer.channels, output)


def dequantize(layer: QuantizedPool, source: Grid) -> Pool:
    """Returns the float layer that integers stand for."""
    return Pool(layer.kind, layer.size, layer.stride, layer.steps, layer.channels)


def faults(layer: QuantizedPool, source: Grid) -> Iterator[str]:
    """Tells why kernels cannot run an integer layer that takes the grid `source`."""
    if fault := no_room(layer.size, layer.stride, layer.steps):
        yield fault
    elif not is_mean(layer):
        if layer.output != source:
            yield "pools onto another grid than that of what it pools"
    elif not (
        layer.size <= _MOST_STEPS
        and layer.output.scale <= source.scale <= layer.output.scale * max(layer.size / 2, 1)
    ):
        yield "is a mean with a scale that its sums cannot be shifted to"


def mean_multiplier(source: Grid, layer: QuantizedPool) -> tuple[int, int]:
    """Returns what the sum of all steps is multiplied by, times 2**31, and how far it is shifted to the right.

    It is QuantizedMeanOrSum's: the multiplier of the grids, divided by the number of steps in integers.
    """
    (fraction,), exponent = np.frexp([source.scale / layer.output.scale])
    whole, left = int(np.floor(fraction * 2.0**31 + 0.5)), int(exponent[0])
    if whole == 2**31:
        whole, left = 2**30, left + 1
    halvings = min(layer.size.bit_length() - 1, 32, 31 + left)
    return (whole << halvings) // layer.size, halvings - left


def run(layer: QuantizedPool, q: np.ndarray, source: Grid, rounding: Rounding) -> np.ndarray:
    """Returns the output, (rows, outputs) int8, for (rows, inputs) int8 on the grid `source`."""
    seen = _seen(layer, q)
    if layer.kind == "max":
        return np.asarray(seen.max(axis=2).reshape(len(q), layer.outputs))
    sums = seen.astype(np.int64).sum(axis=2).reshape(len(q), layer.outputs)
    if not is_mean(layer):
        # Half away from 0, of integers that have not lost their zero point.
        means = np.sign(sums) * ((np.abs(sums) + layer.size // 2) // layer.size)
        return np.asarray(means.astype(np.int8))
    if rounding == "float32":
        return _mean_of_reals(sums, source, layer)
    multiplier, shift = mean_multiplier(source, layer)
    steps = gemmlowp.halve_away(gemmlowp.multiply(sums - source.zero_point * layer.size, multiplier), shift)
    return requantize.placed(steps, layer.output, relu=False)


def _mean_of_reals(sums: np.ndarray, source: Grid, layer: QuantizedPool) -> np.ndarray:
    """Returns XNNPACK's mean, which takes both zero points into one addition of float32 numbers."""
    real = np.float32
    factor = real(source.scale) / real(layer.output.scale) * (real(1) / real(layer.size))
    offset = real(layer.output.zero_point) - real(source.zero_point) * real(layer.size) * factor
    return np.asarray(np.clip(np.rint(sums.astype(real) * factor + offset), -128, 127).astype(np.int8))


def forward_float32(layer: Pool, x: np.ndarray) -> np.ndarray:
    """Returns what the firmware computes, (rows, outputs) float32, for (rows, inputs) float32."""
    seen = _seen(layer, x)
    taken = seen[:, :, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, layer.size):
            step = seen[:, :, k]
            taken = np.where(step > taken, step, taken) if layer.kind == "max" else taken + step
        if layer.kind == "average":
            taken = taken / np.float32(layer.size)
    return np.asarray(taken.reshape(len(x), layer.outputs))


def _seen(layer: Pool | QuantizedPool, x: np.ndarray) -> np.ndarray:
    """Returns the steps that are pooled at each place, (rows, places, size, channels)."""
    return windows(x.reshape(len(x), layer.steps, layer.channels), layer.size, layer.stride)

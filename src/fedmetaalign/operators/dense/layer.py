"""A fully connected layer in float and in integers, and what must hold for it to run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedmetaalign.operators.grid import Bits, Grid

LARGEST_BIAS = 2.0**30
"""Of an integer layer: leaves half of the int32 accumulator to the products."""
_MOST_INPUTS = 2**15  # of a layer: its products, each below 2**15, fit into the other half
_SMALLEST_SCALE = np.finfo(np.float32).tiny  # of an accumulator; some processors take a smaller number for 0


@dataclass(frozen=True)
class Dense:
    """One fully connected layer in float.

    Attributes:
        weights: (inputs, outputs) float32.
        biases: (outputs,) float32.
        relu: whether negative outputs become 0; never in the last layer, nor in the first of two factors of a
            low-rank layer.
    """

    weights: np.ndarray
    biases: np.ndarray
    relu: bool

    @property
    def inputs(self) -> int:
        """Units that it takes."""
        return len(self.weights)

    @property
    def outputs(self) -> int:
        """Units that it gives."""
        return len(self.biases)


@dataclass(frozen=True)
class QuantizedDense:
    """One fully connected layer in integers.

    Attributes:
        weights: (inputs, outputs) int8 in [-127, 127].
        weight_scales: (1,) float32, one scale for the tensor, or (outputs,) float32, one an output channel.
        biases: (outputs,) int32 on the grid of input scale * weight scale.
        output: grid of the layer's int8 output, after ReLU where there is one.
        relu: as in `Dense`.
        bits: of a weight in the file; 4 confines the weights to [-7, 7].
    """

    weights: np.ndarray
    weight_scales: np.ndarray
    biases: np.ndarray
    output: Grid
    relu: bool
    bits: Bits = 8

    @property
    def inputs(self) -> int:
        """Units that it takes."""
        return len(self.weights)

    @property
    def outputs(self) -> int:
        """Units that it gives."""
        return len(self.biases)


def check(layer: Dense) -> str | None:
    """Tells what is wrong with a float layer's arrays."""
    weights, biases = layer.weights, layer.biases
    if weights.ndim != 2 or biases.shape != weights.shape[1:] or 0 in weights.shape:
        return (
            f"has weights of shape {weights.shape} and biases of shape {biases.shape}; "
            "(inputs, outputs) and (outputs,) are needed"
        )
    if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
        return "has a weight or bias that is not finite; lower the learning rate and train again"
    return None


def faults(layer: QuantizedDense, source: Grid) -> Iterator[str]:
    """Tells why kernels cannot run an integer layer that takes the grid `source`."""
    if np.abs(layer.biases.astype(np.int64)).max() > LARGEST_BIAS or layer.inputs > _MOST_INPUTS:
        yield "can overflow its int32 accumulators"
    if layer.bits == 4 and len(layer.weight_scales) > 1:
        yield "has 4-bit weights with a scale for each output, and kernels take one for all"
    limit = 2 ** (layer.bits - 1) - 1
    if np.abs(layer.weights.astype(np.int16)).max() > limit:
        yield f"has a weight beyond {limit}"
    with np.errstate(all="ignore"):  # a scale may be any float32 here
        bias_scales = np.float32(source.scale) * layer.weight_scales
    if not ((bias_scales >= _SMALLEST_SCALE) & (bias_scales < layer.output.scale)).all():
        yield "has scales that vanish, or give a multiplier outside (0, 1)"


def forward(layer: Dense, x: np.ndarray) -> np.ndarray:
    """Returns the output, (rows, outputs) float64, for (rows, inputs)."""
    x = x @ layer.weights + layer.biases
    return np.maximum(x, 0.0) if layer.relu else x


def forward_float32(layer: Dense, x: np.ndarray) -> np.ndarray:
    """Returns what the firmware computes, (rows, outputs) float32, for (rows, inputs) float32."""
    sums = np.zeros((len(x), layer.outputs), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, on the device too
        for i, row in enumerate(layer.weights):  # sums are taken in the order of their index
            sums += x[:, i : i + 1] * row
        sums += layer.biases
    return np.where(sums < 0, np.float32(0), sums) if layer.relu else sums

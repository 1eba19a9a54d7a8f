"""A network as it is exported, in float or in integers, and what must hold for it to run.

A real number r is stored as an integer q with two parameters of its tensor (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1):

    r = scale * (q - zero_point)

Types and ranges follow the LiteRT 8-bit quantisation specification: activations int8 with any zero point,
weights int8 in [-127, 127] with zero point 0, biases int32 with scale = input scale * weight scale and zero
point 0, LOGISTIC output int8 with scale 1/256 and zero point -128. Only the edges of the network are uint8:
the same grid, moved by 128.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import BundleError

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""A float network: (weights (inputs, outputs) float32, biases (outputs,) float32), ReLU in between, and a
sigmoid after the last layer, which has one output."""

LARGEST_BIAS = 2.0**30
"""Of an integer layer: leaves half of the int32 accumulator to the products."""
_MOST_INPUTS = 2**15  # of a layer: its products, each below 2**15, fit into the other half
_LOGIT_SCALES = (2.0**-20, 1.0)  # TensorFlow Lite Micro's LOGISTIC shifts by 27 + log2(scale) bits, in [0, 31]


@dataclass(frozen=True)
class Grid:
    """How a tensor of activations maps onto integers: r = scale * (q - zero_point).

    Attributes:
        scale: step of the grid; a float32 value, as it stands in the file.
        zero_point: the integer that stands for 0.
    """

    scale: float
    zero_point: int

    @property
    def unsigned(self) -> "Grid":
        """The uint8 grid that stands for the same reals as this int8 grid."""
        return Grid(self.scale, self.zero_point + 128)


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
        if np.abs(layer.biases.astype(np.int64)).max() > LARGEST_BIAS or len(layer.weights) > _MOST_INPUTS:
            fault = f"layer {i} can overflow its int32 accumulators"
        scale = layer.output.scale
    if not fault and not _LOGIT_SCALES[0] <= scale <= _LOGIT_SCALES[1]:
        fault = f"the logit has scale {scale:.3g}"
    if fault:
        raise BundleError(f"The quantised network cannot run, since {fault}; export it again.")

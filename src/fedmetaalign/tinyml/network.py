"""A network as it is exported, in float or in integers, and what must hold for it to run.

A real number r is stored as an integer q with two parameters of its tensor (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1):

    r = scale * (q - zero_point)

Types and ranges follow the LiteRT 8-bit quantisation specification: activations int8 with any zero point,
weights int8 in [-127, 127] with zero point 0, biases int32 with scale = input scale * weight scale and zero
point 0, LOGISTIC and SOFTMAX output int8 with scale 1/256 and zero point -128. Only the edges of the network
are uint8: the same grid, moved by 128.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.target import MOST_CLASSES
from fedmetaalign.tinyml import softmax

Edges = Literal["uint8", "int8", "float32"]
"""What goes into a quantised network and comes out of it; the arithmetic in between is the same."""

Bits = Literal[4, 8]
"""Of an integer weight in the file."""


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


Layers = Sequence[Dense]
"""A float network. After the last layer follows a sigmoid where it has one output, else the softmax of a logit
for each class."""

LARGEST_BIAS = 2.0**30
"""Of an integer layer: leaves half of the int32 accumulator to the products."""
_MOST_INPUTS = 2**15  # of a layer: its products, each below 2**15, fit into the other half
_SMALLEST_SCALE = np.finfo(np.float32).tiny  # of an accumulator; some processors take a smaller number for 0
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
"""The grid of LOGISTIC's and SOFTMAX's int8 output, which the specification fixes."""


@dataclass(frozen=True)
class QuantizedLayer:
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


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network whose arithmetic is integer, all of it or up to a float head.

    Attributes:
        input: grid of the int8 features; uint8 features are the same plus 128.
        layers: the integer layers, first to last; without a head the last one gives one logit, whose sigmoid is
            on `SCORE`, or a logit for each class, whose softmax is.
        head: float layers after them, which take the reals that the last integer layer's output stands for;
            the score is then float32.
        edges: type of the features, and of the score where there is no head.
    """

    input: Grid
    layers: tuple[QuantizedLayer, ...]
    head: tuple[Dense, ...] = ()
    edges: Edges = "uint8"


Network = QuantizedNetwork | Layers
"""What a device runs."""


@dataclass(frozen=True)
class Interface:
    """What goes into a network and comes out of it, on the device and in its `.tflite` file.

    Attributes:
        inputs: how many it takes.
        input: their type, `fma_input_t` of the firmware: uint8, int8 or float32.
        score: type of a score, `fma_score_t`: uint8, int8 or float32.
        outputs: scores of a sample: one, the probability of a fault, or the probability of each class.
    """

    inputs: int
    input: np.dtype[np.generic]
    score: np.dtype[np.generic]
    outputs: int

    @classmethod
    def of(cls, network: Network) -> "Interface":
        """Returns a network's."""
        real = np.dtype(np.float32)
        if not isinstance(network, QuantizedNetwork):
            return cls(len(network[0].weights), real, real, len(network[-1].biases))
        edges, outputs = np.dtype(network.edges), len((network.head or network.layers)[-1].biases)
        return cls(len(network.layers[0].weights), edges, real if network.head else edges, outputs)


def layer_widths(layers: Layers | Sequence[QuantizedLayer]) -> tuple[int, ...]:
    """Returns how many inputs the first layer takes, and then how many outputs each layer gives."""
    return (len(layers[0].weights), *(len(layer.biases) for layer in layers))


def flat_weights(layers: Layers) -> np.ndarray:
    """Returns weights and biases, (parameters,) float32: layer by layer, row by row, the biases last."""
    arrays = [array.ravel() for layer in layers for array in (layer.weights, layer.biases)]
    return np.concatenate(arrays).astype(np.float32)


def check_layers(layers: Layers) -> None:
    """Makes sure that arrays form a network that can be exported.

    Args:
        layers: the float network.

    Raises:
        BundleError: the shapes do not chain, a weight is not finite, the last layer has a ReLU, or not as many
            outputs as a classifier.
    """
    if not layers:
        raise BundleError("The network has no layers; give at least one.")
    for i, layer in enumerate(layers, 1):
        weights, biases = layer.weights, layer.biases
        if weights.ndim != 2 or biases.shape != weights.shape[1:] or 0 in weights.shape:
            raise BundleError(
                f"Layer {i} has weights of shape {weights.shape} and biases of shape {biases.shape}; "
                "(inputs, outputs) and (outputs,) are needed."
            )
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise BundleError(
                f"Layer {i} has a weight or bias that is not finite; lower the learning rate and train again."
            )
    for i, (before, after) in enumerate(itertools.pairwise(layers), 1):
        outputs, inputs = before.weights.shape[1], after.weights.shape[0]
        if outputs != inputs:
            raise BundleError(
                f"Layer {i} has {outputs} outputs but layer {i + 1} has {inputs} inputs; the two must be equal."
            )
    last = layers[-1]
    check_outputs(len(last.biases))
    if last.relu:
        raise BundleError("The last layer has a ReLU, which would take away all logits below 0; leave it out.")


def check_outputs(outputs: int) -> None:
    """Raises BundleError unless a classifier may have so many: one for two classes, or one for each class."""
    if outputs == 2:
        raise BundleError("The last layer has 2 outputs; two classes are told apart by one.")
    if outputs > MOST_CLASSES:
        raise BundleError(
            f"The last layer has {outputs} outputs; a classifier has at most {MOST_CLASSES}, one a class."
        )


def check_quantized(network: QuantizedNetwork) -> None:
    """Makes sure of what kernels rely on, in a network that comes from a file instead of `quantize`.

    Args:
        network: a quantised network whose shapes chain.

    Raises:
        BundleError: a scale is not a positive number, a zero point is no int8, a weight is out of range, an
            accumulator could overflow, a requantisation multiplier is not below 1, the logit's scale is not one
            that LOGISTIC can take, or the head is no network or does not fit.
    """
    if network.head:
        check_layers(network.head)
    fault = next(_faults(network), None)
    if fault:
        raise BundleError(f"The quantised network cannot run, since {fault}; export it again.")


def _faults(network: QuantizedNetwork) -> Iterator[str]:
    """Tells what a quantised network cannot run for, from its last layer to its first."""
    layers = network.layers
    grids = [network.input, *(layer.output for layer in layers)]
    if not network.head and layers[-1].relu:
        yield "its last layer has a ReLU"
    for i, (source, layer) in reversed([*enumerate(zip(grids, layers, strict=False), 1)]):
        if np.abs(layer.biases.astype(np.int64)).max() > LARGEST_BIAS or len(layer.weights) > _MOST_INPUTS:
            yield f"layer {i} can overflow its int32 accumulators"
        if layer.bits == 4 and len(layer.weight_scales) > 1:
            yield f"layer {i} has 4-bit weights with a scale for each output, and kernels take one for all"
        limit = 2 ** (layer.bits - 1) - 1
        if np.abs(layer.weights.astype(np.int16)).max() > limit:
            yield f"layer {i} has a weight beyond {limit}"
        with np.errstate(all="ignore"):  # a scale may be any float32 here
            bias_scales = np.float32(source.scale) * layer.weight_scales
        if not ((bias_scales >= _SMALLEST_SCALE) & (bias_scales < layer.output.scale)).all():
            yield f"the scales of layer {i} vanish, or give a multiplier outside (0, 1)"
    for grid in reversed(grids):
        if not (0.0 < grid.scale < np.inf and -128 <= grid.zero_point <= 127):
            yield f"an activation has scale {grid.scale:.3g} and zero point {grid.zero_point}"
    if network.head and len(network.head[0].weights) != len(layers[-1].biases):
        inputs, outputs = len(network.head[0].weights), len(layers[-1].biases)
        yield f"the float head takes {inputs} inputs, and the integer layers give {outputs}"
    scales = _LOGIT_SCALES if len(layers[-1].biases) == 1 else softmax.SCALES
    if not network.head and not scales[0] <= grids[-1].scale <= scales[1]:
        yield f"the logit has scale {grids[-1].scale:.3g}"

"""A network as it is exported, in float or in integers, and what must hold for it to run.

Types and ranges follow the LiteRT 8-bit quantisation specification: activations int8 with any zero point,
weights int8 in [-127, 127] with zero point 0, biases int32 with scale = input scale * weight scale and zero
point 0, probabilities int8 with scale 1/256 and zero point -128. Only the edges of the network are uint8: the
same grid, moved by 128. What a layer is stands in `operators`.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.target import MOST_CLASSES
from fedmetaalign.operators import Layer, QuantizedLayer, operator_of, output_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.grid import Grid

Edges = Literal["uint8", "int8", "float32"]
"""What goes into a quantised network and comes out of it; the arithmetic in between is the same."""

Layers = Sequence[Layer]
"""A float network. After the last layer follows a sigmoid where it has one output, else the softmax of a logit
for each class."""


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network whose arithmetic is integer, all of it or up to a float head.

    Attributes:
        input: grid of the int8 features; uint8 features are the same plus 128.
        layers: the integer layers, first to last; without a head the last one gives one logit, whose sigmoid is
            on `grid.SCORE`, or a logit for each class, whose softmax is.
        head: float layers after them, which take the reals that the last integer layer's output stands for;
            the score is then float32.
        edges: type of the features, and of the score where there is no head.
    """

    input: Grid
    layers: tuple[QuantizedLayer, ...]
    head: tuple[Layer, ...] = ()
    edges: Edges = "uint8"


DeployedNetwork = QuantizedNetwork | Layers
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
    def of(cls, network: DeployedNetwork) -> "Interface":
        """Returns a network's."""
        real = np.dtype(np.float32)
        if not isinstance(network, QuantizedNetwork):
            return cls(network[0].inputs, real, real, network[-1].outputs)
        edges, outputs = np.dtype(network.edges), (network.head or network.layers)[-1].outputs
        return cls(network.layers[0].inputs, edges, real if network.head else edges, outputs)


def layer_widths(layers: Layers | Sequence[QuantizedLayer]) -> tuple[int, ...]:
    """Returns how many inputs the first layer takes, and then how many outputs each layer gives."""
    return (layers[0].inputs, *(layer.outputs for layer in layers))


def dense_layers(layers: Layers) -> list[Dense]:
    """Returns layers that are all dense.

    Raises:
        BundleError: some are not.
    """
    found = [layer for layer in layers if isinstance(layer, Dense)]
    if len(found) < len(layers):
        raise BundleError("This is for networks of dense layers, and this one has layers over time.")
    return found


def arrays(layer: Layer) -> dict[str, np.ndarray]:
    """Returns a float layer's parameters by name, in the order of the flat vector."""
    return {name: getattr(layer, attribute) for name, attribute in operator_of(layer).arrays.items()}


def flat_weights(layers: Layers) -> np.ndarray:
    """Returns all parameters, (parameters,) float32: layer by layer, row by row, biases last."""
    flat = [array.ravel() for layer in layers for array in arrays(layer).values()]
    return np.concatenate(flat).astype(np.float32)


def with_weights(layers: Layers, weights: np.ndarray) -> list[Layer]:
    """Returns layers with parameters, (parameters,), as `flat_weights` gives them, in arrays of their own."""
    made, start = [], 0
    for layer in layers:
        new: dict[str, Any] = {}
        for attribute in operator_of(layer).arrays.values():
            old = getattr(layer, attribute)
            new[attribute] = weights[start : start + old.size].reshape(old.shape).copy()
            start += old.size
        made.append(replace(layer, **new))
    return made


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
        if fault := operator_of(layer).check(layer):
            raise BundleError(f"Layer {i} {fault}.")
    for i, (before, after) in enumerate(itertools.pairwise(layers), 1):
        outputs, inputs = before.outputs, after.inputs
        if outputs != inputs:
            raise BundleError(
                f"Layer {i} has {outputs} outputs but layer {i + 1} has {inputs} inputs; the two must be equal."
            )
    last = layers[-1]
    check_outputs(last.outputs)
    if last.relu:
        raise BundleError("The last layer has a ReLU, which would take away all logits below 0; leave it out.")


def check_outputs(outputs: int) -> None:
    """Raises BundleError unless a classifier may have so many: one for two classes, or one for each class."""
    if outputs == 2:
        raise BundleError("The last layer has 2 outputs; two classes take one.")
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
        for fault in operator_of(layer).faults(layer, source):
            yield f"layer {i} {fault}"
    for grid in reversed(grids):
        if not (0.0 < grid.scale < np.inf and -128 <= grid.zero_point <= 127):
            yield f"an activation has scale {grid.scale:.3g} and zero point {grid.zero_point}"
    inputs, outputs = layer_widths(network.head or layers)[0], layers[-1].outputs
    if network.head and inputs != outputs:
        yield f"the float head takes {inputs} inputs, and the integer layers give {outputs}"
    if not network.head and (unfit := output_of(outputs).fault(grids[-1])):
        yield unfit

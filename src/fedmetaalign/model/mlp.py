"""The network as plain arrays: dense layers with ReLUs, perhaps convolutions over time before them.

What its logits mean says `model.target`.

The federation sees the weights as one flat vector, `(parameters,) float32`. Inside, a layer's parameters are
one array (a matrix with the biases as its last row), and the vector holds these row by row, first layer first.
This is the only order of the weights in the package.

A layer has parameters: a pool belongs to the layer before it, so that "the first half of the layers" is half of
those that can learn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TypeVar

import jax
import numpy as np

from fedmetaalign.operators.convolution.training import ConvolutionTraining
from fedmetaalign.operators.dense.training import DenseTraining
from fedmetaalign.operators.depthwise.training import DepthwiseTraining
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.pool.training import pooled
from fedmetaalign.operators.stack import Block, Placed, placed
from fedmetaalign.operators.training import Trainable

BLOCK = 128
"""Rows that compiled code sees at a time: data of any length shares one compilation."""

LARGEST_WEIGHT = 1e4
"""Standardised inputs and Glorot's weights are of order 1: a weight this large has run away."""

Vector = TypeVar("Vector", np.ndarray, jax.Array)


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron, or a convolutional network that ends in one.

    Attributes:
        inputs: features that the network takes; before a convolution steps * channels, channel by channel of
            the first step first.
        hidden: units of each hidden dense layer, each followed by a ReLU.
        outputs: logits that the network gives, see `Target.outputs`.
        blocks: convolutions, each followed by a ReLU, and pools, before the dense layers.
        channels: of the input, where there are blocks.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int = 1
    blocks: tuple[Block, ...] = ()
    channels: int = 1

    @cached_property
    def operators(self) -> tuple[Trainable, ...]:
        """The layers that have parameters, the first one first, each with the pools beside it."""
        blocks = [*placed(self.blocks, self.inputs // self.channels, self.channels)]
        sizes = (blocks[-1].outputs if blocks else self.inputs, *self.hidden, self.outputs)
        dense = (DenseTraining(i, o, n < len(self.hidden)) for n, (i, o) in enumerate(pairwise(sizes)))
        return pooled([*map(over_time, blocks), *dense])

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each layer's array."""
        return tuple(operator.shape for operator in self.operators)

    @property
    def parameters(self) -> int:
        """Length of the weight vector."""
        return sum(map(math.prod, self.shapes))

    def layers(self, weights: Vector) -> list[Vector]:
        """Views the weight vector, (parameters,), as one array a layer with the shapes of `shapes`."""
        return split(self.shapes, weights)


def over_time(block: Placed) -> Trainable | Pool:
    """Returns a convolution with its ReLU in training, or a pool."""
    shape = (block.steps, block.channels)
    match block.kind:
        case "convolution":
            return ConvolutionTraining(*shape, block.filters, block.kernel, block.stride)
        case "depthwise":
            return DepthwiseTraining(*shape, block.kernel, block.stride)
        case kind:
            return Pool(kind, block.kernel, block.stride, *shape)


def split(shapes: Sequence[tuple[int, ...]], vector: Vector) -> list[Vector]:
    """Views a vector as arrays of the given shapes, one behind the other."""
    arrays, start = [], 0
    for shape in shapes:
        arrays.append(vector[start : start + math.prod(shape)].reshape(shape))
        start += math.prod(shape)
    return arrays


def layer_sizes(network: Network) -> tuple[int, ...]:
    """Returns the number of parameters of each layer, in the order of the weight vector."""
    return tuple(map(math.prod, network.shapes))


def initialize(network: Network, random: np.random.Generator) -> np.ndarray:
    """Draws weights to start from, as each operator does: (parameters,) float32."""
    drawn = [operator.initial(random) for operator in network.operators]
    return np.concatenate(drawn).astype(np.float32)


def logits(network: Network, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the network's output before the sigmoid or softmax.

    Args:
        network: the architecture.
        weights: (parameters,) float32.
        x: (rows, inputs) float32.

    Returns:
        (rows,) float32 for one output, (rows, outputs) for more; a row does not depend on the rows beside it.
    """
    shape = (len(x),) if network.outputs == 1 else (len(x), network.outputs)
    return _by_blocks(_logits, network, weights, x, np.empty(shape, np.float32))


def features(network: Network, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the network's representation of samples: what its last layer is given.

    Args:
        network: the architecture.
        weights: (parameters,) float32.
        x: (rows, inputs) float32.

    Returns:
        (rows, units of the last hidden layer) float32; a row does not depend on the rows beside it.
    """
    units = network.operators[-1].inputs
    return _by_blocks(_features, network, weights, x, np.empty((len(x), units), np.float32))


def _by_blocks(
    compiled: Callable[[Network, np.ndarray, np.ndarray], jax.Array],
    network: Network,
    weights: np.ndarray,
    x: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    """Fills `out` with what compiled code makes of the rows of x, `BLOCK` of them at a time."""
    block = np.zeros((BLOCK, network.inputs), np.float32)
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK]
        block[: len(rows)] = rows
        out[start : start + len(rows)] = np.asarray(compiled(network, weights, block))[: len(rows)]
    return out


@partial(jax.jit, static_argnums=0)
def _features(network: Network, weights: jax.Array, x: jax.Array) -> jax.Array:
    for operator, layer in zip(network.operators[:-1], network.layers(weights), strict=False):
        x = operator.forward(layer, x)
    return x


@partial(jax.jit, static_argnums=0)
def _logits(network: Network, weights: jax.Array, x: jax.Array) -> jax.Array:
    representation: jax.Array = _features(network, weights, x)
    z = network.operators[-1].forward(network.layers(weights)[-1], representation)
    return z[:, 0] if network.outputs == 1 else z


def diverged(weights: np.ndarray) -> bool:
    """Returns whether some weight has run away or is no number."""
    return not (np.abs(weights) < LARGEST_WEIGHT).all()

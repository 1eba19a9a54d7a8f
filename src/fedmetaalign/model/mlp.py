"""The network as plain arrays: a multi-layer perceptron with ReLU; what its logits mean says `model.target`.

The federation sees the weights as one flat vector, `(parameters,) float32`. Inside, a layer's parameters are
one array (of a dense layer a matrix with the bias as its last row), and the vector holds these row by row,
first layer first. This is the only order of the weights in the package.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TypeVar

import jax
import numpy as np

from fedmetaalign.operators.dense.training import DenseTraining

BLOCK = 128
"""Rows that compiled code sees at a time: data of any length shares one compilation."""

LARGEST_WEIGHT = 1e4
"""Standardised inputs and Glorot's weights are of order 1: a weight this large has run away."""

Vector = TypeVar("Vector", np.ndarray, jax.Array)


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron.

    Attributes:
        inputs: features that the network takes.
        hidden: units of each hidden layer, each followed by a ReLU.
        outputs: logits that the network gives, see `Target.outputs`.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int = 1

    @cached_property
    def operators(self) -> tuple[DenseTraining, ...]:
        """The layers, the first one first."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        return tuple(DenseTraining(i, o, n < len(self.hidden)) for n, (i, o) in enumerate(pairwise(sizes)))

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


def split(shapes: Sequence[tuple[int, ...]], vector: Vector) -> list[Vector]:
    """Views a vector as arrays of the given shapes, one behind the other."""
    arrays, start = [], 0
    for shape in shapes:
        arrays.append(vector[start : start + math.prod(shape)].reshape(shape))
        start += math.prod(shape)
    return arrays


def layer_sizes(network: Network) -> tuple[int, ...]:
    """Returns the number of parameters of each layer, in the order of the weight vector."""
    return tuple(rows * columns for rows, columns in network.shapes)


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

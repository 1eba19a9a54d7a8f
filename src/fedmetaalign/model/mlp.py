"""The network as plain arrays: a multi-layer perceptron with ReLU; what its logits mean says `model.target`.

The federation sees the weights as one flat vector, `(parameters,) float32`. Inside, each layer is one matrix
with the bias as its last row, and the vector holds these matrices row by row, first layer first. This is the
only order of the weights in the package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import jax
import numpy as np

from fedmetaalign.model.target import BINARY

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

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape of each layer's matrix, (inputs + 1, outputs); its last row is the bias."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        return tuple((i + 1, o) for i, o in pairwise(sizes))

    @property
    def parameters(self) -> int:
        """Length of the weight vector."""
        return sum(rows * columns for rows, columns in self.shapes)

    def layers(self, weights: Vector) -> list[Vector]:
        """Views the weight vector, (parameters,), as one matrix a layer with the shapes of `shapes`."""
        matrices, start = [], 0
        for rows, columns in self.shapes:
            matrices.append(weights[start : start + rows * columns].reshape(rows, columns))
            start += rows * columns
        return matrices


def layer_sizes(network: Network) -> tuple[int, ...]:
    """Returns the number of parameters of each layer, in the order of the weight vector."""
    return tuple(rows * columns for rows, columns in network.shapes)


def initialize(network: Network, random: np.random.Generator) -> np.ndarray:
    """Draws weights as Keras does by default: Glorot uniform (Glorot & Bengio, 2010), biases zero.

    Returns:
        (parameters,) float32.
    """
    layers = []
    for rows, outputs in network.shapes:
        limit = np.sqrt(6 / (rows - 1 + outputs))
        layers += [random.uniform(-limit, limit, (rows - 1) * outputs), np.zeros(outputs)]
    return np.concatenate(layers).astype(np.float32)


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
    units = network.shapes[-1][0] - 1
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
    for layer in network.layers(weights)[:-1]:
        x = jax.nn.relu(x @ layer[:-1] + layer[-1])
    return x


@partial(jax.jit, static_argnums=0)
def _logits(network: Network, weights: jax.Array, x: jax.Array) -> jax.Array:
    representation: jax.Array = _features(network, weights, x)
    last = network.layers(weights)[-1]
    z = representation @ last[:-1] + last[-1]
    return z[:, 0] if network.outputs == 1 else z


# The meaning of two classes, for callers that know no other: see `model.target`.


def scores(network: Network, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the fault scores, (rows,) float64 in [0, 1]: the sigmoid of the logits."""
    return BINARY.fault_probability(logits(network, weights, x))


def score(z: np.ndarray) -> np.ndarray:
    """Returns the fault scores of logits, (rows,) float64 in [0, 1]."""
    return BINARY.fault_probability(z)


def losses(network: Network, weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns each sample's binary cross-entropy, (rows,) float64, computed from the logits."""
    return BINARY.cross_entropy(logits(network, weights, x), y)


def cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the binary cross-entropy of each of some logits, (rows,) float64, for labels (rows,)."""
    return BINARY.cross_entropy(z, y)


def diverged(weights: np.ndarray) -> bool:
    """Returns whether some weight has run away or is no number."""
    return not (np.abs(weights) < LARGEST_WEIGHT).all()

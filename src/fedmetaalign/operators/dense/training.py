"""A fully connected layer in training."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.operators.dense.layer import Dense
from fedmetaalign.operators.training import Trainable


@dataclass(frozen=True)
class DenseTraining(Trainable):
    """A fully connected layer, whose parameters are a matrix with the biases as its last row.

    The gradient is kept as the two vectors whose outer product it is: the layer's input and its error.

    Attributes:
        inputs: units that it takes.
        outputs: units that it gives.
        relu: whether negative outputs become 0.
    """

    inputs: int
    outputs: int
    relu: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs + 1, outputs)."""
        return (self.inputs + 1, self.outputs)

    def initial(self, random: np.random.Generator) -> np.ndarray:
        """Draws weights as Keras does by default: Glorot uniform (Glorot & Bengio, 2010), biases zero."""
        limit = np.sqrt(6 / (self.inputs + self.outputs))
        weights = random.uniform(-limit, limit, self.inputs * self.outputs)
        return np.concatenate([weights, np.zeros(self.outputs)])

    def deployed(self, w: np.ndarray) -> tuple[Dense, ...]:
        """Returns the layer in float."""
        return (Dense(w[:-1].copy(), w[-1].copy(), self.relu),)

    def forward(self, w: jax.Array, x: jax.Array) -> jax.Array:
        """Returns the output of some samples."""
        z = x @ w[:-1] + w[-1]
        return jax.nn.relu(z) if self.relu else z

    def trace(self, w: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Returns the output of one sample, its input with the biases' 1, and its output again."""
        with_one = jnp.concatenate([x, jnp.ones(1, x.dtype)])  # the bias row's input
        z = with_one @ w
        y = jax.nn.relu(z) if self.relu else z
        return y, (with_one, y)

    def backward(self, w: jax.Array, traced: Any, error: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the input and the error before the ReLU, and the error of the input."""
        with_one, y = traced
        if self.relu:
            error = jnp.where(y > 0, error, 0)
        # The whole matrix, bias row included, then without the bias's own entry: slicing the matrix before the
        # product would copy it.
        return (with_one, error), (w @ error)[:-1]

    def full(self, gradient: Any, factor: jax.Array | None = None) -> jax.Array:
        """Returns the outer product."""
        column, error = gradient[0][:, None], gradient[1]
        return jnp.asarray((column if factor is None else factor * column) * error)

    def scaled(self, gradient: Any, factor: jax.Array) -> Any:
        """Scales the error."""
        with_one, error = gradient
        return with_one, factor * error

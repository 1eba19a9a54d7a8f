"""What one kind of layer has to say to be trained: its parameters, their first values, output and gradient.

Training is one sample at a time (see `model.online`), and the gradient of a layer may be kept as less than an
array: what `backward` gives, whatever it is, `full` turns into one, fused into the update of the parameters.
"""

from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.operators import Layer


def made(x: jax.Array) -> jax.Array:
    """Returns an array, and has it made before others are made of it; else it would be made anew for each."""
    return jax.lax.optimization_barrier(x)  # type: ignore[no-any-return, no-untyped-call]


class Trainable(ABC):
    """A layer of a network in training; its parameters are one array, and it can be hashed.

    The gradient comes from `jax.vjp`, unless an operator has a faster one written by hand.

    Attributes:
        inputs: units that the layer takes.
    """

    inputs: int

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the parameters."""

    @property
    def parts(self) -> int:
        """How many layers a device runs for it."""
        return 1

    @abstractmethod
    def initial(self, random: np.random.Generator) -> np.ndarray:
        """Draws parameters to start from, flat, float64."""

    @abstractmethod
    def deployed(self, w: np.ndarray) -> tuple[Layer, ...]:
        """Returns what a device runs, float layers with arrays of their own: itself, and pools beside it."""

    @abstractmethod
    def forward(self, w: jax.Array, x: jax.Array) -> jax.Array:
        """Returns the output for parameters and one sample, (inputs,), or some, (rows, inputs)."""

    def trace(self, w: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Returns the output for one sample, (inputs,), and what `backward` needs of the way to it."""
        return jax.vjp(self.forward, w, x)

    def backward(self, w: jax.Array, traced: Any, error: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the gradient by the parameters, and that by the input, from the one by the output."""
        by_parameters, by_input = traced(error)
        return by_parameters, by_input

    def full(self, gradient: Any, factor: jax.Array | None = None) -> jax.Array:
        """Returns a gradient, times a number perhaps, in the shape of the parameters."""
        return jnp.asarray(gradient if factor is None else factor * gradient)

    def scaled(self, gradient: Any, factor: jax.Array) -> Any:
        """Returns a gradient times a number, kept as before."""
        return factor * gradient

"""A convolution over time in training: a product of a matrix of windows with one of weights."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.steps import output_steps
from fedmetaalign.operators.training import Trainable, made


@dataclass(frozen=True)
class ConvolutionTraining(Trainable):
    """A convolution over time, whose parameters are a matrix with the biases as its last row.

    Attributes:
        steps: of its input.
        channels: of its input.
        filters: channels of its output.
        kernel: steps that a filter spans.
        stride: steps from one place of the kernel to the next.
        relu: whether negative outputs become 0.
    """

    steps: int
    channels: int
    filters: int
    kernel: int
    stride: int
    relu: bool = True

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """Units that it takes."""
        return self.steps * self.channels

    @property
    def output_steps(self) -> int:
        """Steps of its output."""
        return output_steps(self.steps, self.kernel, self.stride)

    @property
    def shape(self) -> tuple[int, int]:
        """(kernel * channels + 1, filters)."""
        return (self.kernel * self.channels + 1, self.filters)

    def initial(self, random: np.random.Generator) -> np.ndarray:
        """Draws weights as Keras does by default: Glorot uniform (Glorot & Bengio, 2010), biases zero."""
        limit = np.sqrt(6 / (self.kernel * (self.channels + self.filters)))
        weights = random.uniform(-limit, limit, self.kernel * self.channels * self.filters)
        return np.concatenate([weights, np.zeros(self.filters)])

    def deployed(self, w: np.ndarray) -> tuple[Convolution, ...]:
        """Returns the layer in float."""
        weights = w[:-1].reshape(self.kernel, self.channels, self.filters).copy()
        return (Convolution(weights, w[-1].copy(), self.steps, self.stride, self.relu),)

    def forward(self, w: jax.Array, x: jax.Array) -> jax.Array:
        """Returns the output of some samples."""
        z = jnp.moveaxis(self._windows(x), -2, -1) @ w
        y = jax.nn.relu(z) if self.relu else z
        return y.reshape(*x.shape[:-1], self.output_steps * self.filters)

    def trace(self, w: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Returns the output of one sample, its windows, and its output again, (filters, output steps)."""
        seen = self._windows(x)
        z = made(w.T) @ seen
        y = jax.nn.relu(z) if self.relu else z
        return y.T.ravel(), (seen, y)

    def backward(self, w: jax.Array, traced: Any, error: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the gradient by the parameters, transposed, and that by the input."""
        seen, y = traced
        error = error.reshape(self.output_steps, self.filters).T
        if self.relu:
            error = jnp.where(y > 0, error, 0)
        return error @ seen.T, self._added_up(w @ error)

    def full(self, gradient: Any, factor: jax.Array | None = None) -> jax.Array:
        """Returns the gradient the other way round."""
        return super().full(gradient, factor).T

    @property
    def _rows(self) -> list[slice]:
        """Of the input with `stride` steps in a row, which rows each part of the kernel meets."""
        parts = -(-self.kernel // self.stride)
        return [slice(first, first + self.output_steps) for first in range(parts)]

    @property
    def _width(self) -> int:
        """Units of a row of `stride` steps."""
        return self.stride * self.channels

    def _windows(self, x: jax.Array) -> jax.Array:
        """Returns what the kernel sees at each place, and a 1 for the bias: (..., shape[0], output steps).

        The input is written with `stride` steps in a row. Then the windows are that table beside itself, moved
        by a row each time: few and whole copies, where one for each step of the kernel would be many.
        """
        lead, rows = x.shape[:-1], self._rows
        needed = rows[-1].stop * self._width
        if needed > self.inputs:
            x = jnp.concatenate([x, jnp.zeros((*lead, needed - self.inputs), x.dtype)], -1)
        table = jnp.moveaxis(x[..., :needed].reshape(*lead, rows[-1].stop, self._width), -2, -1)
        parts = [table[..., part] for part in rows]
        left = self.kernel * self.channels - (len(rows) - 1) * self._width
        one = jnp.ones((*lead, 1, self.output_steps), x.dtype)
        return jnp.concatenate([*parts[:-1], parts[-1][..., :left, :], one], -2)

    def _added_up(self, windows: jax.Array) -> jax.Array:
        """Adds up windows of one sample, (shape[0], output steps), to its input, (inputs,)."""
        rows, width = self._rows, self._width
        more = len(rows) - 1
        edges = (0, len(rows) * width - len(windows) + 1), (more, more)
        wide = made(jnp.pad(windows[:-1], edges))
        pieces = [wide[n * width :, more - n :][:width, : rows[-1].stop] for n in range(len(rows))]
        flat = sum(pieces[1:], pieces[0]).T.ravel()[: self.inputs]
        return jnp.pad(flat, (0, self.inputs - len(flat)))

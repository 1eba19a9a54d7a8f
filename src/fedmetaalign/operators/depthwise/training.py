"""A depthwise convolution over time in training."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.steps import each_place, output_steps
from fedmetaalign.operators.training import Trainable, made


@dataclass(frozen=True)
class DepthwiseTraining(Trainable):
    """A convolution over time with one filter a channel; the biases are its parameters' last row.

    Attributes:
        steps: of its input.
        channels: of its input, and of its output.
        kernel: steps that a filter spans.
        stride: steps from one place of the kernel to the next.
        relu: whether negative outputs become 0.
    """

    steps: int
    channels: int
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
        """(kernel + 1, channels)."""
        return (self.kernel + 1, self.channels)

    def initial(self, random: np.random.Generator) -> np.ndarray:
        """Draws weights from Glorot's interval of a convolution of one channel, as each filter is one.

        Keras counts all channels as inputs of each filter: three such layers then gave so little that networks
        of them learnt nothing.
        """
        limit = np.sqrt(6 / (2 * self.kernel))
        weights = random.uniform(-limit, limit, self.kernel * self.channels)
        return np.concatenate([weights, np.zeros(self.channels)])

    def deployed(self, w: np.ndarray) -> tuple[Depthwise, ...]:
        """Returns the layer in float."""
        return (Depthwise(w[:-1].copy(), w[-1].copy(), self.steps, self.stride, self.relu),)

    def forward(self, w: jax.Array, x: jax.Array) -> jax.Array:
        """Returns the output of some samples."""
        seen = self._seen(x)
        z = sum((part * w[k] for k, part in enumerate(seen)), w[-1])
        y = jax.nn.relu(z) if self.relu else z
        return y.reshape(*x.shape[:-1], self.output_steps * self.channels)

    def trace(self, w: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Returns the output of one sample, its input, and its output again."""
        y = self.forward(w, x)
        return y, (x, y)

    def backward(self, w: jax.Array, traced: Any, error: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the gradient by the parameters, and that by the input."""
        x, y = traced
        if self.relu:
            error = jnp.where(y > 0, error, 0)
        error = error.reshape(self.output_steps, self.channels)
        rows = [(part * error).sum(0) for part in self._seen(x)]
        gradient = jnp.stack([*rows, error.sum(0)])
        # Each error beside as many zeros as a stride has further steps, and a kernel before and after.
        before, span = self.kernel - 1, (self.output_steps - 1) * self.stride + 1
        edges = (before, self.steps - span, self.stride - 1), (0, 0, 0)
        apart = made(jax.lax.pad(error, jnp.zeros((), error.dtype), edges))
        spread = w[0] * apart[before:]
        for k in range(1, self.kernel):
            spread += w[k] * apart[before - k :][: self.steps]
        return gradient, spread.ravel()

    def _seen(self, x: jax.Array) -> list[jax.Array]:
        """Returns, for each step of the kernel, what it meets: (..., output steps, channels)."""
        table = x.reshape(*x.shape[:-1], self.steps, self.channels)
        return [table[..., place, :] for place in each_place(self.steps, self.kernel, self.stride)]

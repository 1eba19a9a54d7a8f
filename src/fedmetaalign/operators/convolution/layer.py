"""A convolution over time in float, and what must hold for it to run."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.operators.steps import Filters, no_room, windows


@dataclass(frozen=True)
class Convolution(Filters):
    """A convolution over time, without padding.

    Attributes:
        weights: (kernel, input channels, filters) float32.
        biases: (filters,) float32.
        steps: of its input.
        stride: steps from one place of the kernel to the next.
        relu: whether negative outputs become 0.
    """

    weights: np.ndarray
    biases: np.ndarray
    steps: int
    stride: int
    relu: bool


def check(layer: Convolution) -> str | None:
    """Tells what is wrong with a float layer's arrays."""
    weights, biases = layer.weights, layer.biases
    if weights.ndim != 3 or biases.shape != weights.shape[2:] or 0 in weights.shape:
        return (
            f"has weights of shape {weights.shape} and biases of shape {biases.shape}; "
            "(kernel, channels, filters) and (filters,) are needed"
        )
    if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
        return "has a weight or bias that is not finite; lower the learning rate and train again"
    return no_room(layer.kernel, layer.stride, layer.steps)


def forward(layer: Convolution, x: np.ndarray) -> np.ndarray:
    """Returns the output, (rows, outputs) float64, for (rows, inputs)."""
    seen = windows(x.reshape(len(x), layer.steps, layer.channels), layer.kernel, layer.stride)
    sums = np.einsum("ntkc,kcf->ntf", seen, layer.weights.astype(np.float64), optimize=True) + layer.biases
    flat = sums.reshape(len(x), layer.outputs)
    return np.asarray(np.maximum(flat, 0.0) if layer.relu else flat)

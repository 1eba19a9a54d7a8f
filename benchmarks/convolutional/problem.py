"""What every contender trains on: windows of one channel, and the default network. Needs nothing but NumPy."""

from typing import NamedTuple

import numpy as np

STEPS = 1024
CONVOLUTIONS = ((16, 32, 8), (16, 7, 2))
"""Filters, kernel and stride of each; the mean over time follows them."""
HIDDEN = 16
LEARNING_RATE, EPSILON = 1e-5, 1e-8


class Problem(NamedTuple):
    """Samples, and where training starts.

    Attributes:
        x: (steps of training, STEPS) float32.
        y: (steps of training,) float32, 0 or 1.
        weights: (parameters,) float32, the first ones.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def layers(weights: np.ndarray) -> list[np.ndarray]:
    """Views a weight vector as one (inputs + 1, outputs) matrix a layer, whose last row is the biases."""
    matrices, start, channels = [], 0, 1
    for filters, kernel, _ in (*CONVOLUTIONS, (HIDDEN, 1, 1), (1, 1, 1)):
        rows = kernel * channels + 1
        matrices.append(weights[start : start + rows * filters].reshape(rows, filters))
        start, channels = start + rows * filters, filters
    return matrices

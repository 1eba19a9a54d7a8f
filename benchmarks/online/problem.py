"""What every contender trains on, and what it must have learnt in the end. Needs nothing but NumPy."""

from typing import NamedTuple

import numpy as np

INPUTS, HIDDEN = 9, (256, 128, 64, 32, 16, 12, 8)
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-5, 0.9, 0.999, 1e-8


class Problem(NamedTuple):
    """Samples, and where training starts.

    Attributes:
        x: (steps, INPUTS) float32.
        y: (steps,) float32, 0 or 1.
        weights: (parameters,) float32, the first ones, in the order of `layers`.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def layers(weights: np.ndarray) -> list[np.ndarray]:
    """Views a weight vector as one (inputs + 1, outputs) matrix a layer, whose last row is the bias."""
    matrices, start = [], 0
    for inputs, outputs in zip((INPUTS, *HIDDEN), (*HIDDEN, 1), strict=True):
        size = (inputs + 1) * outputs
        matrices.append(weights[start : start + size].reshape(inputs + 1, outputs))
        start += size
    return matrices


def reference(problem: Problem, keras_epsilon: bool = False) -> np.ndarray:
    """Trains once over the samples in float64, in the plainest way.

    Args:
        problem: what to train on.
        keras_epsilon: divide by sqrt(v) + epsilon before the bias correction, as Keras does (the second form
            in section 2 of Kingma & Ba, 2015, with its epsilon-hat), not by sqrt(v-hat) + epsilon after it
            (their Algorithm 1). The two part where gradients are as small as here.

    Returns:
        (parameters,) float64, the final weights.
    """
    weights = problem.weights.astype(np.float64)
    first, second, gradient = (np.zeros_like(weights) for _ in range(3))
    matrices, gradients = layers(weights), layers(gradient)  # views
    for step, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        inputs = [np.append(x, 1.0)]
        for matrix in matrices[:-1]:
            inputs.append(np.append(np.maximum(inputs[-1] @ matrix, 0), 1.0))
        error = 1 / (1 + np.exp(-(inputs[-1] @ matrices[-1]))) - y
        for i in reversed(range(len(matrices))):
            gradients[i][:] = np.outer(inputs[i], error)
            error = ((inputs[i] > 0) * (matrices[i] @ error))[:-1]
        first += (1 - BETA_1) * (gradient - first)
        second += (1 - BETA_2) * (gradient**2 - second)
        rescale = np.sqrt(1 / (1 - BETA_2**step))
        epsilon = EPSILON * rescale if keras_epsilon else EPSILON
        weights -= LEARNING_RATE / (1 - BETA_1**step) * first / (np.sqrt(second) * rescale + epsilon)
    return weights

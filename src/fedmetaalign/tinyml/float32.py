"""Float layers as the firmware computes them, to the last bit.

NumPy's float32 operations round each result, as C does without fused multiply-add; sums are taken in the order
of their index. The exponential is `fma_exp` of `firmware/fma_float.h`, line by line.
"""

import numpy as np


def exp(x: np.ndarray) -> np.ndarray:
    """Computes e to the power of x, to 1 unit in the last place.

    Args:
        x: float32 of any shape.

    Returns:
        float32 in the shape of x; 0 below -87 and infinite above 87.
    """
    x = np.asarray(x, np.float32)
    within = np.where(np.abs(x) <= 87, x, np.float32(0))
    scaled = within * np.float32(1.44269504)
    k = (scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int32)
    whole = k.astype(np.float32)
    r = (within - whole * np.float32(0.693359375)) - whole * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + np.float32(coefficient)
    bits = ((p * (r * r) + r) + np.float32(1)).view(np.int32) + (k << 23)
    limits = np.where(x < 0, np.float32(0), np.float32(np.inf))
    return np.select([np.abs(x) <= 87, np.isnan(x)], [bits.view(np.float32), x], limits)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Computes 1 / (1 + exp(-x)) of float32 of any shape: float32 in [0, 1]."""
    return np.float32(1) / (np.float32(1) + exp(-np.asarray(x, np.float32)))


def softmax(x: np.ndarray) -> np.ndarray:
    """Computes the probabilities of classes: exp(x - greatest x), over their sum in the order of the classes.

    Args:
        x: (rows, classes) float32.

    Returns:
        (rows, classes) float32 in [0, 1].
    """
    greatest, sums = x[:, 0], np.zeros(len(x), np.float32)
    for column in x.T:
        greatest = np.where(column > greatest, column, greatest)
    with np.errstate(over="ignore", invalid="ignore"):
        powers = exp(x - greatest[:, np.newaxis])
        for column in powers.T:
            sums += column
        return np.asarray(powers / sums[:, np.newaxis])


def dense(x: np.ndarray, weights: np.ndarray, biases: np.ndarray, relu: bool) -> np.ndarray:
    """Computes a fully connected layer.

    Args:
        x: (rows, inputs) float32.
        weights: (inputs, outputs) float32.
        biases: (outputs,) float32.
        relu: whether negative outputs become 0.

    Returns:
        (rows, outputs) float32.
    """
    sums = np.zeros((len(x), weights.shape[1]), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, on the device too
        for i, row in enumerate(weights):
            sums += x[:, i : i + 1] * row
        sums += biases
    return np.where(sums < 0, np.float32(0), sums) if relu else sums

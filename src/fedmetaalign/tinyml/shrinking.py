"""Which units of a layer are needed, and what makes up for the others."""

import numpy as np
from scipy.linalg import qr

_RIDGE = 1e-4  # of the mean square of a layer's inputs: how strongly weights hold on to their old values


def spanning(units: np.ndarray, count: int) -> np.ndarray:
    """Returns which columns of (rows, units) span the others best, (count,) in rising order."""
    centred = units - units.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    # A root of the Gram matrix has the same pivots as the columns themselves, and far fewer rows.
    root = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    _, order = qr(root, mode="r", pivoting=True)
    return np.sort(order[:count])


def refitted(
    weights: np.ndarray, biases: np.ndarray, inputs: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights and biases, as near the given ones as may be, that map inputs to what is wanted."""
    with_one = np.append(inputs, np.ones((len(inputs), 1)), axis=1)
    gram = with_one.T @ with_one
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    change = np.linalg.solve(gram + ridge, with_one.T @ (wanted - inputs @ weights - biases))
    return weights + change[:-1], biases + change[-1]

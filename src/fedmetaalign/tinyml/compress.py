"""Takes units out of a float network, so that it still scores as before on inputs like its device's own.

Nothing here trains, or needs a label: all that counts is what the network does with the inputs it is given.
`low_rank` is the other way to make a network smaller, and they go together.
"""

import numpy as np
from scipy.linalg import qr

from fedmetaalign.operators import output_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.calibration import activations
from fedmetaalign.tinyml.network import Layers, dense_layers

NARROWEST = 4
"""Units of a hidden layer that are never taken away."""

_RIDGE = 1e-4  # of the mean square of a layer's inputs: how strongly weights hold on to their old values


def mixtures(x: np.ndarray, rows: int, random: np.random.Generator) -> np.ndarray:
    """Draws inputs like a device's own, as many as are wanted; a network has a score for each.

    Half of them are the device's own, half lie anywhere between two of its own (as in Zhang et al. 2018,
    "mixup: Beyond Empirical Risk Minimization"). Pruned networks that were fitted to these instead of to 100
    samples alone were up to half as far off on new ones.

    Args:
        x: (samples, inputs) float32, at least one sample.
        rows: how many to draw.
        random: decides which.

    Returns:
        (rows, inputs) float32.
    """
    one, other = x[random.integers(len(x), size=(2, rows))]
    share = np.where(random.random((rows, 1)) < 0.5, 1.0, random.random((rows, 1)))
    return np.asarray(share * one + (1 - share) * other, np.float32)


def scores(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Returns the float network's scores of inputs, (rows, inputs): (rows,) or (rows, classes) float64."""
    *_, last = activations(layers, x.astype(np.float64))
    return output_of(layers[-1].outputs).forward(last)


def limits(layers: Layers) -> list[int]:
    """Returns the limits worth pruning a network to: half of the widest layer's units, half of that, ..."""
    limit = max((len(layer.biases) for layer in dense_layers(layers)[:-1]), default=0) // 2
    found = []
    while limit >= NARROWEST:
        found.append(limit)
        limit //= 2
    return found


def truncate(layers: Layers, limit: int) -> list[Dense]:
    """Keeps the first units of every hidden layer, at most `limit`: the shapes of `prune`, without data."""
    return [
        Dense(layer.weights[: limit if i else None, :limit], layer.biases[:limit], layer.relu)
        for i, layer in enumerate(dense_layers(layers))
    ]


def prune(layers: Layers, limit: int, x: np.ndarray) -> list[Dense]:
    """Keeps at most `limit` units of every hidden layer, and lets the next layer make up for the others.

    The units kept are those that the others are most nearly linear combinations of, on the given inputs, found
    by a QR decomposition with pivoting (an interpolative decomposition: Chee et al. 2022, "Model Preserving
    Compression for Neural Networks"); a unit counts as much as the weights that leave it. Least squares then
    chooses the next layer's weights again, so that its output before the ReLU is that of the whole network.

    Args:
        layers: a float network, each of whose layers but the last has a ReLU.
        limit: most units of a hidden layer.
        x: (rows, inputs), what the network has to be right on.

    Returns:
        The narrower network, float32.
    """
    layers = dense_layers(layers)
    whole = list(activations(layers, x.astype(np.float64)))
    inputs, kept = whole[0], np.arange(whole[0].shape[1])
    pruned: list[Dense] = []
    for i, layer in enumerate(layers):
        weights, biases = layer.weights[kept].astype(np.float64), layer.biases.astype(np.float64)
        if pruned:
            weights, biases = _refitted(weights, biases, inputs, whole[i] @ layer.weights + layer.biases)
        kept = np.arange(len(biases))
        if i < len(layers) - 1 and len(biases) > limit:
            kept = _spanning(whole[i + 1] * np.linalg.norm(layers[i + 1].weights, axis=1), limit)
        pruned.append(Dense(weights[:, kept].astype(np.float32), biases[kept].astype(np.float32), layer.relu))
        *_, inputs = activations(pruned[-1:], inputs)
    return pruned


def _spanning(units: np.ndarray, count: int) -> np.ndarray:
    """Returns which columns of (rows, units) span the others best, (count,) in rising order."""
    centred = units - units.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    # A root of the Gram matrix has the same pivots as the columns themselves, and far fewer rows.
    root = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    _, order = qr(root, mode="r", pivoting=True)
    return np.sort(order[:count])


def _refitted(
    weights: np.ndarray, biases: np.ndarray, inputs: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights and biases, as near the given ones as may be, that map inputs to what is wanted."""
    with_one = np.append(inputs, np.ones((len(inputs), 1)), axis=1)
    gram = with_one.T @ with_one
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    change = np.linalg.solve(gram + ridge, with_one.T @ (wanted - inputs @ weights - biases))
    return weights + change[:-1], biases + change[-1]

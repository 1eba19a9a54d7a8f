"""Takes units out of a float network, so that it still scores as before on inputs like its device's own.

Nothing here trains, or needs a label: all that counts is what the network does with the inputs it is given.
`low_rank` is the other way to make a network smaller, and they go together.
"""

import numpy as np

from fedmetaalign.operators import Layer, output_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml import channels
from fedmetaalign.tinyml.calibration import activations
from fedmetaalign.tinyml.network import Layers, dense_layers
from fedmetaalign.tinyml.shrinking import refitted, spanning
from fedmetaalign.tinyml.time_code import goes_over_time

_ROWS = 512  # of a network over time, at once: a bound on memory

NARROWEST = 4
"""Units of a hidden layer that are never taken away."""


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
    output, rows = output_of(layers[-1].outputs), _ROWS if goes_over_time(layers) else len(x)
    found = []
    for start in range(0, len(x), rows):
        *_, last = activations(layers, x[start : start + rows].astype(np.float64))
        found.append(output.forward(last))
    return np.concatenate(found)


def limits(layers: Layers) -> list[int]:
    """Returns the limits worth pruning a network to: half of the widest layer's units, half of that, ...

    Of convolutions channels count, with all their steps, and not units.
    """
    limit = max(channels.widths(layers), default=0) // 2
    found = []
    while limit >= NARROWEST:
        found.append(limit)
        limit //= 2
    return found


def truncate(layers: Layers, limit: int) -> list[Layer]:
    """Keeps the first units of every hidden layer, at most `limit`: the shapes of `prune`, without data."""
    if goes_over_time(layers):
        return channels.truncate(layers, limit)
    return [
        Dense(layer.weights[: limit if i else None, :limit], layer.biases[:limit], layer.relu)
        for i, layer in enumerate(dense_layers(layers))
    ]


def prune(layers: Layers, limit: int, x: np.ndarray) -> list[Layer]:
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
    if goes_over_time(layers):
        return channels.prune(layers, limit, x)
    layers = dense_layers(layers)
    whole = list(activations(layers, x.astype(np.float64)))
    inputs, kept = whole[0], np.arange(whole[0].shape[1])
    pruned: list[Layer] = []
    for i, layer in enumerate(layers):
        weights, biases = layer.weights[kept].astype(np.float64), layer.biases.astype(np.float64)
        if pruned:
            weights, biases = refitted(weights, biases, inputs, whole[i] @ layer.weights + layer.biases)
        kept = np.arange(len(biases))
        if i < len(layers) - 1 and len(biases) > limit:
            kept = spanning(whole[i + 1] * np.linalg.norm(layers[i + 1].weights, axis=1), limit)
        pruned.append(Dense(weights[:, kept].astype(np.float32), biases[kept].astype(np.float32), layer.relu))
        *_, inputs = activations(pruned[-1:], inputs)
    return pruned

"""Between the federation's weight vectors and the layers that are deployed."""

import numpy as np

from fedmetaalign.model.mlp import Network
from fedmetaalign.tinyml.network import Dense, Layers, flat_weights, layer_widths


def float_layers(network: Network, weights: np.ndarray) -> list[Dense]:
    """Returns the layers of a weight vector, (parameters,) float32, with arrays of their own."""
    last = len(network.shapes) - 1
    return [Dense(m[:-1].copy(), m[-1].copy(), relu=i < last) for i, m in enumerate(network.layers(weights))]


def weight_vector(layers: Layers) -> tuple[Network, np.ndarray]:
    """Returns the network and the weight vector, (parameters,) float32, of layers with ReLUs in between."""
    inputs, *hidden, outputs = layer_widths(layers)
    return Network(inputs, tuple(hidden), outputs), flat_weights(layers)

"""What a network with one output says of two classes."""

import numpy as np

from fedmetaalign.model.mlp import Network, logits
from fedmetaalign.model.target import BINARY


def fault_probabilities(network: Network, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the probabilities of a fault, (rows,) float64 in [0, 1]: the sigmoid of the logits."""
    return BINARY.fault_probability(logits(network, weights, x))


def losses(network: Network, weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns each sample's binary cross-entropy, (rows,) float64, computed from the logits."""
    return BINARY.cross_entropy(logits(network, weights, x), y)

"""Raw samples all over the range of a model's inputs, to try it with what no device has measured."""

import numpy as np

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork

_REACH = 4.0  # standard deviations that samples of a float32 network span
_BEYOND = 0.05  # of the calibrated range, at both ends: some samples lie outside


def over_the_range(preparation: Preparation, network: DeployedNetwork, rows: int) -> np.ndarray:
    """Draws raw samples, (rows, measured) float64, all over the calibrated range and a little beyond."""
    low, high = -_REACH, _REACH
    if isinstance(network, QuantizedNetwork):
        grid = network.input
        low, high = ((limit - grid.zero_point) * grid.scale for limit in (-128, 127))
    margin = _BEYOND * (high - low)
    z = np.random.default_rng(0).uniform(low - margin, high + margin, (rows, len(preparation.features)))
    return preparation.decoded(z)[:, : len(preparation.measured)]

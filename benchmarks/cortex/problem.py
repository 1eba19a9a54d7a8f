"""The network that is compared: the paper's, trained on a simulated feeder."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.simulators import SIMULATORS
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples, train
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.tinyml.low_rank import StorageCost, factorise, spectra
from fedmetaalign.tinyml.network import Layers, QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write

HIDDEN = (256, 128, 64, 32, 16, 12, 8)
INPUTS = 9
_TRAINED = 3000  # samples
_TESTED = 1000
_EPOCHS = 4
_LEARNING_RATE = 3e-4


@dataclass(frozen=True)
class Problem:
    """A trained network, and the samples that it is tested on.

    Attributes:
        layers: in float.
        preparation: from raw features to inputs.
        inputs: (rows, inputs) float32 that it was trained on.
        labels: (rows,) bool, whether they are faults.
        raw: (rows, features) float64, others.
        faults: (rows,) bool, their labels.
    """

    layers: list[Dense]
    preparation: Preparation
    inputs: np.ndarray
    labels: np.ndarray
    raw: np.ndarray
    faults: np.ndarray


def trained() -> Problem:
    """Trains for some seconds."""
    device = SIMULATORS["feeder"](1, _TRAINED + _TESTED, seed=0)[0]
    x, y = device.x[:_TRAINED], device.y[:_TRAINED]
    preparation = Preparation(
        device.features,
        device.units,
        {},
        tuple(x.mean(axis=0).tolist()),
        tuple(x.std(axis=0).tolist()),
        tuple(i % x.shape[1] for i in range(INPUTS)),
    )
    network, random = Network(INPUTS, HIDDEN), np.random.default_rng(0)
    inputs = preparation.apply(x)
    samples = Samples(inputs, y.astype(np.float32))
    weights = train(
        network,
        initialize(network, random),
        samples,
        learning_rate=_LEARNING_RATE,
        epochs=_EPOCHS,
        random=random,
    ).weights
    layers, raw, faults = float_layers(network, weights), device.x[_TRAINED:], device.y[_TRAINED:] > 0
    return Problem(layers, preparation, inputs, y > 0, raw, faults)


def low_rank(layers: Layers, inputs: np.ndarray, most: int) -> QuantizedNetwork:
    """Writes large layers as two thin ones, so that the uint8 file has at most so many bytes."""
    cost = StorageCost(weight=1.0)
    components = spectra(layers, len(layers) // 2, inputs)
    budget = most - (len(write(quantize(layers, inputs))) - cost.of(layers))
    while True:
        smaller = quantize(factorise(layers, components, cost, budget), inputs)
        over = len(write(smaller)) - most
        if over <= 0:
            return smaller
        budget -= over

"""Phase 3, second half: from a personal model to what the microcontroller runs (Algorithm 4's conversion)."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.personalize import Personal, choose_threshold
from fedmetaalign.recipe import Deploy, Personalize
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import Runtime, scores
from fedmetaalign.tinyml.tflite import write

RUNTIME: Runtime = "litert"
"""Whose rounding the deployed threshold is chosen with."""


@dataclass(frozen=True)
class Deployed:
    """A device's deployable model.

    Attributes:
        model: the .tflite file.
        threshold: on the deployed score.
    """

    model: bytes
    threshold: Choice


def convert(network: Network, weights: np.ndarray, calibration: np.ndarray, settings: Deploy) -> bytes:
    """Returns the `.tflite` file of a network; `calibration` is (rows, inputs) float32."""
    layers = float_layers(network, weights)
    return write(quantize(layers, calibration) if settings.format == "uint8" else layers)


def float_layers(network: Network, weights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns each layer's weights, (inputs, outputs), and biases, (outputs,), float32."""
    return [(np.ascontiguousarray(m[:-1]), np.ascontiguousarray(m[-1])) for m in network.layers(weights)]


def deploy(
    network: Network, device: Device, personal: Personal, settings: Deploy, threshold: Personalize
) -> Deployed:
    """Quantises a personal model, calibrated on the device's training data, and settles its threshold.

    Args:
        network: the architecture.
        device: whose model it is.
        personal: its weights and threshold.
        settings: the recipe's section; with `threshold = "personalized"` the float model's threshold is
            kept, as in the paper, else it is chosen again on the deployed scores of the validation part.
        threshold: how a threshold is chosen.
    """
    model = convert(network, personal.weights, device.train.x, settings)
    if settings.threshold == "personalized":
        return Deployed(model, personal.threshold)
    validation = device.parts["personalize"].query
    return Deployed(model, choose_threshold(validation.y, scores(model, validation.x, RUNTIME), threshold))

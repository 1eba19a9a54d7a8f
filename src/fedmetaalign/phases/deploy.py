"""Phase 3, second half: from a personal model to what the microcontroller runs (Algorithm 4's conversion)."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.evaluation.result import Candidate
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Personal
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.conversion import RUNTIME, calibration_rows, convert, trained_layers
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.phases.memory_limit import check_ram
from fedmetaalign.phases.size_limit import fit
from fedmetaalign.tinyml.decision import predict
from fedmetaalign.tinyml.network import DeployedNetwork, Layers
from fedmetaalign.tinyml.runtimes import scores
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read


@dataclass(frozen=True)
class Deployed:
    """A device's deployable model.

    Attributes:
        model: the .tflite file.
        network: what it holds.
        threshold: on the deployed score.
        layers: the float network that the file was made of.
        head: how many of its layers, counted from the last, phase 3 trains.
        candidates: what the model was chosen from, the largest first; empty where the recipe asks for no size.
    """

    model: bytes
    network: DeployedNetwork
    threshold: Choice
    layers: Layers
    head: int
    candidates: tuple[Candidate, ...] = ()


def deploy(client: Client, network: Network, personal: Personal) -> Deployed:
    """Quantises a personal model, calibrated on the device's training data, and settles its threshold.

    Where the recipe asks for a size, the network that scores most like the personal model is taken of those
    that fit.

    Args:
        client: the device whose model it is.
        network: the architecture.
        personal: its weights and threshold. With `deploy.threshold = "personalized"` that is kept, as in the
            paper, else one is chosen again on the deployed scores of the validation part.

    Raises:
        RunError: no network fits, or what fits takes more RAM than the device has.
    """
    if personal.weights is None:
        raise TypeError("only a network can be deployed")
    recipe, device, target = client.recipe, client.device, client.learner.target
    settings = recipe.deploy
    layers, head = float_layers(network, personal.weights), trained_layers(network, recipe.personalize)
    validation = device.parts["personalize"].query

    def threshold(model: bytes | DeployedNetwork) -> Choice:
        if settings.threshold == "personalized":
            return personal.threshold
        return client.threshold(lambda x: scores(model, x, RUNTIME))

    def accuracy(model: bytes) -> float | None:
        if not len(validation):
            return None
        alarms = predict(scores(model, validation.x, RUNTIME), target, threshold(model).threshold)
        return float(np.mean(alarms == target.faults(validation.y)))

    if settings.max_bytes is None:
        converted = convert(layers, head, calibration_rows(device, settings, target.outputs), settings)
        check_ram(device, converted, settings)
        return Deployed(write(converted), converted, threshold(converted), layers, head)
    fitted, candidates = fit(layers, head, device, settings, recipe.seed, accuracy)
    smaller = read(fitted.model)
    check_ram(device, smaller, settings)
    return Deployed(fitted.model, smaller, threshold(smaller), fitted.layers, head, candidates)

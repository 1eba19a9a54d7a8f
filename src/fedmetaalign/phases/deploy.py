"""Phase 3, second half: from a personal model to what the microcontroller runs (Algorithm 4's conversion)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.operators.grid import Bits
from fedmetaalign.phases.dense import float_layers
from fedmetaalign.phases.fitting import Lesson, Precision, candidates, choose, distil, smallest
from fedmetaalign.phases.personalize import Personal, choose_threshold, frozen_layers
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Deploy, Personalize
from fedmetaalign.tinyml.low_rank import Cost
from fedmetaalign.tinyml.network import Layers, QuantizedNetwork
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize
from fedmetaalign.tinyml.runtimes import Runtime, scores
from fedmetaalign.tinyml.tflite import write

RUNTIME: Runtime = "firmware"
"""Whose rounding the deployed threshold is chosen with."""


@dataclass(frozen=True)
class Rung:
    """A step of the ladder from the whole network down to what fits: how a size is paid for.

    Attributes:
        way: how the network was made smaller.
        bits: of most of its weights.
        bytes: of its file.
        difference: the root of the mean squared difference between its scores and the personal model's, on
            inputs like the device's own.
        accuracy: on the validation part, at a threshold chosen there; None without validation samples.
        shipped: whether it is the one that the device gets.
    """

    way: str
    bits: int
    bytes: int
    difference: float
    accuracy: float | None
    shipped: bool


@dataclass(frozen=True)
class Deployed:
    """A device's deployable model.

    Attributes:
        model: the .tflite file.
        threshold: on the deployed score.
        layers: the float network that the file was made of.
        head: how many of its layers, counted from the last, phase 3 trains.
        ladder: what the model was chosen from, the largest first; empty where the recipe asks for no size.
    """

    model: bytes
    threshold: Choice
    layers: Layers
    head: int
    ladder: tuple[Rung, ...] = ()


def convert(
    layers: Layers, head: int, calibration: np.ndarray, settings: Deploy, bits: Bits = 8
) -> QuantizedNetwork | Layers:
    """Puts a float network into the recipe's format.

    Args:
        layers: the float network.
        head: how many layers, counted from the last, a float head has, where the format asks for one.
        calibration: (rows, inputs) float32, scaled features such as the device will see.
        settings: the recipe's section.
        bits: 4 gives every integer format the weights of "int4".

    Returns:
        The network that is deployed.
    """
    per_channel = settings.per_channel
    widths: list[Bits] = bits_of_int4(layers) if bits == 4 else [8] * len(layers)
    match settings.format:
        case "float32":
            return layers
        case "int4":
            return quantize(layers, calibration, bits=bits_of_int4(layers))
        case "int8-float-head":
            return quantize(layers, calibration, per_channel, widths[: len(layers) - head], head)
        case "int8-float-io":
            return quantize(layers, calibration, per_channel, widths, edges="float32")
        case "uint8" | "int8":
            return quantize(layers, calibration, per_channel, widths, edges=settings.format)


def trained_layers(network: Network, settings: Personalize) -> int:
    """Returns how many layers, counted from the last, phase 3 trains."""
    return len(network.shapes) - frozen_layers(network, settings.freeze)


def deploy(
    network: Network, device: Device, personal: Personal, settings: Deploy, personalize: Personalize, seed: int
) -> Deployed:
    """Quantises a personal model, calibrated on the device's training data, and settles its threshold.

    Where the recipe asks for a size, the network that scores most like the personal model is taken of those
    that fit.

    Args:
        network: the architecture.
        device: whose model it is.
        personal: its weights and threshold.
        settings: the recipe's section; with `threshold = "personalized"` the float model's threshold is
            kept, as in the paper, else it is chosen again on the deployed scores of the validation part.
        personalize: how a threshold is chosen, and which layers phase 3 trains.
        seed: the recipe's seed.

    Raises:
        RunError: no network fits.
    """
    layers, head = float_layers(network, personal.weights), trained_layers(network, personalize)
    validation = device.parts["personalize"].query

    def threshold(model: bytes) -> Choice:
        if settings.threshold == "personalized":
            return personal.threshold
        return choose_threshold(validation.y, scores(model, validation.x, RUNTIME), personalize)

    if settings.max_bytes is None:
        model = write(convert(layers, head, device.train.x, settings))
        return Deployed(model, threshold(model), layers, head)

    def accuracy(model: bytes) -> float | None:
        alarms = scores(model, validation.x, RUNTIME) > threshold(model).threshold
        return float(np.mean(alarms == (validation.y > 0))) if len(validation) else None

    lesson = Lesson.of(layers, device.train.x, generator(seed, "lesson", device.name))
    found = candidates(
        layers,
        precisions(head, device.train.x, settings),
        fixed_layers(layers, head, settings),
        settings.max_bytes,
        lesson,
        lambda pruned: distil(pruned, lesson, generator(seed, "stream", "distil", device.name)),
    )
    differences = [lesson.difference(scores(c.model, lesson.unseen, RUNTIME)) for c in found]
    best = choose(found, differences, settings.max_bytes)
    if best is None:
        raise too_large(settings, min(len(c.model) for c in found))
    ladder = [
        Rung(c.way, c.bits, len(c.model), difference, accuracy(c.model), shipped=c is found[best])
        for c, difference in zip(found, differences, strict=True)
    ]
    model = found[best].model
    largest_first = tuple(sorted(ladder, key=lambda rung: -rung.bytes))
    return Deployed(model, threshold(model), found[best].layers, head, largest_first)


def precisions(head: int, calibration: np.ndarray, settings: Deploy) -> list[Precision]:
    """Returns how weights may be stored: as the recipe's format says, and in 4 bits where it has no objection.

    Args:
        head: as in `convert`.
        calibration: as in `convert`.
        settings: the recipe's section.
    """

    def writing(bits: Bits) -> Callable[[Layers], bytes]:
        return lambda layers: write(convert(layers, head, calibration, settings, bits))

    floats = head if settings.format == "int8-float-head" else 0
    if settings.format == "float32":
        return [Precision(32, Cost(weight=4.0), writing(8))]
    if settings.per_channel:
        return [Precision(8, Cost(weight=1.0, output=20.0, head=floats), writing(8))]
    four = Precision(4, Cost(weight=0.5, head=floats), writing(4))
    if settings.format == "int4":
        return [four]
    return [Precision(8, Cost(weight=1.0, head=floats), writing(8)), four]


def fixed_layers(layers: Layers, head: int, settings: Deploy) -> int:
    """Returns how many layers, counted from the last, are never split: those that learn on the device."""
    half = len(layers) - len(layers) // 2
    return max(half, head) if settings.format == "int8-float-head" else half


def smallest_bytes(network: Network, settings: Deploy, personalize: Personalize) -> int:
    """Returns the size of the smallest model that a device can get, which does not depend on the weights."""
    random = generator(0, "size")
    # Biases that are all zero would be stored once for layers of the same width.
    weights = initialize(network, random) + random.uniform(-0.1, 0.1, network.parameters)
    layers = float_layers(network, weights.astype(np.float32))
    calibration = random.normal(size=(8, network.inputs)).astype(np.float32)
    return smallest(layers, precisions(trained_layers(network, personalize), calibration, settings))


def too_large(settings: Deploy, size: int) -> RunError:
    """Returns the error of a size that no network meets; `size` is the smallest one in bytes."""
    return RunError(
        f"deploy.max_bytes = {settings.max_bytes} cannot be met: the smallest {settings.format} model that can"
        f" be made of this network has {size} bytes; raise it, or give model.hidden fewer layers."
    )

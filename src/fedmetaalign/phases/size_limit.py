"""Phase 3 under `deploy.max_bytes`: which networks come into question, and the one that is taken."""

from collections.abc import Callable

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.result import Candidate
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.operators.grid import Bits
from fedmetaalign.phases.conversion import RUNTIME, calibration_rows, convert, trained_layers
from fedmetaalign.phases.fitting import Candidate as Fitted
from fedmetaalign.phases.fitting import DistillationSet, Precision, candidates, choose, distil, smallest
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Deploy, Personalize
from fedmetaalign.tinyml.low_rank import StorageCost
from fedmetaalign.tinyml.network import Layers
from fedmetaalign.tinyml.runtimes import scores
from fedmetaalign.tinyml.tflite import write


def fit(
    layers: Layers,
    head: int,
    device: Device,
    settings: Deploy,
    seed: int,
    accuracy: Callable[[bytes], float | None],
) -> tuple[Fitted, tuple[Candidate, ...]]:
    """Makes networks that are small enough, and takes the one that scores most like the whole one.

    Args:
        layers: the device's own network in float.
        head: layers, counted from the last, that phase 3 trains.
        device: whose.
        settings: the recipe's section, with `max_bytes`.
        seed: the recipe's seed.
        accuracy: of a model on the validation part, for the record.

    Returns:
        The network, and what it was chosen from, the largest first.

    Raises:
        RunError: no network fits.
    """
    assert settings.max_bytes is not None  # noqa: S101 - else there is nothing to fit
    distillation = DistillationSet.of(layers, device.inputs, generator(seed, "lesson", device.name))
    found = candidates(
        layers,
        precisions(head, calibration_rows(device, settings, layers[-1].outputs), settings),
        fixed_layers(layers, head, settings),
        settings.max_bytes,
        distillation,
        lambda pruned: distil(pruned, distillation, generator(seed, "stream", "distil", device.name)),
    )
    differences = [distillation.difference(scores(c.model, distillation.unseen, RUNTIME)) for c in found]
    best = choose(found, differences, settings.max_bytes)
    if best is None:
        raise too_large(settings, min(len(c.model) for c in found))
    reported = [
        Candidate(
            way=c.technique,
            bits=c.bits,
            bytes=len(c.model),
            difference=difference,
            accuracy=accuracy(c.model),
            shipped=c is found[best],
        )
        for c, difference in zip(found, differences, strict=True)
    ]
    return found[best], tuple(sorted(reported, key=lambda candidate: -candidate.bytes))


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
        return [Precision(32, StorageCost(weight=4.0), writing(8))]
    if settings.per_channel:
        return [Precision(8, StorageCost(weight=1.0, output=20.0, head=floats), writing(8))]
    four = Precision(4, StorageCost(weight=0.5, head=floats), writing(4))
    if settings.format == "int4":
        return [four]
    return [Precision(8, StorageCost(weight=1.0, head=floats), writing(8)), four]


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

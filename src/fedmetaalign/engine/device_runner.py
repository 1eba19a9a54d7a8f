"""The device's side of every method, written once: engines only carry what is asked and answered."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from fedmetaalign.drift import Reference
from fedmetaalign.drift.detector import calibrated
from fedmetaalign.evaluation.result import Epoch
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import (
    Ask,
    Collect,
    Collected,
    Finish,
    Finished,
    Last,
    Personal,
    Personalize,
    Reply,
    Request,
    Score,
    Train,
    Visit,
)
from fedmetaalign.federation.transport import packed_update
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._method import Method
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import Samples, ignore_steps
from fedmetaalign.model.target import BINARY, ONE_SIDED, Target
from fedmetaalign.phases import layers
from fedmetaalign.phases.alone import train_alone
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.conversion import RUNTIME
from fedmetaalign.phases.deploy import Deployed, deploy
from fedmetaalign.phases.evaluate import evaluate
from fedmetaalign.recipe import Recipe
from fedmetaalign.system import compiled
from fedmetaalign.system.writing import writing_to
from fedmetaalign.tinyml import bundle, golden
from fedmetaalign.tinyml.decision import Decision

SOFTWARE = ("fedmetaalign", "jax", "jaxlib", "numpy", "ai-edge-litert")
"""Whose versions a bundle tells."""


@dataclass(frozen=True)
class Outputs:
    """What only the last step may touch.

    Attributes:
        test: the device's held-out samples.
        bundle: the folder that the device's bundle goes to.
    """

    test: Samples
    bundle: Path


@dataclass(frozen=True)
class DeviceRunner:
    """Runs a method's steps on a device.

    Attributes:
        client: the device at work.
        method: what it does when asked.
        outputs: None where nobody will ask it to finish.
    """

    client: Client
    method: Method
    outputs: Outputs | None = None

    @property
    def device(self) -> Device:
        """Its samples."""
        return self.client.device

    def answer(self, request: Request[Reply]) -> Reply:
        """Does what is asked. The same request gets the same answer on every engine, however often it is asked.

        Raises:
            RunError: training has diverged, no model is as small as the recipe asks for, or the bundle cannot
                be written.
        """
        client, method = self.client, self.method
        match request:
            case Visit():
                return cast(Reply, method.hop(client, request))
            case Train():
                update = method.local(client, request)
                sizes, transport = client.learner.layer_sizes, client.recipe.transport
                return cast(Reply, packed_update(update, transport, sizes, request.number, client.memory))
            case Collect():
                own = client.raw if request.everything else client.device.own.support
                features, steps = len(client.device.preparation.features), client.all_steps(request.devices)
                return cast(Reply, Collected(own, features, steps))
            case Score():
                return cast(Reply, method.scores(client, request))
            case Ask():
                return cast(Reply, method.answer(client, request))
            case Personalize():
                return cast(Reply, self._personal(request))
            case Finish():
                return cast(Reply, self._finish(request))
        raise TypeError(f"no device knows what to do with {type(request).__name__}")

    def _personal(self, request: Last[Any]) -> Personal:
        """Makes the fleet's weights the device's own as the method says, or keeps them as they are.

        A network that is tuned on one class alone ends as a constant, and without a label there is nothing to
        tune it on.
        """
        if self._keeps:
            return self.client.own(request.weights)
        return self.method.personal(self.client, request)

    @property
    def _keeps(self) -> bool:
        """Whether the device keeps the fleet's weights as they are."""
        known = self.client.device.known
        return known == "nothing" or (known in ONE_SIDED and self.method.federates)

    def _noted(self, choice: Choice) -> Choice:
        """Returns the threshold of the deployed model, with a word on whose weights it is for."""
        if not self._keeps:
            return choice
        words = ["These are the fleet's weights as they are.", *([choice.reason] if choice.reason else [])]
        if self.method.travels(self.client.learner, self.client.recipe) is not None:
            words.append(f"{self.client.recipe.method} shares some layers alone: the others are untrained.")
        return replace(choice, reason=" ".join(words))

    def _finish(self, request: Finish) -> Finished:
        if self.outputs is None:
            raise TypeError(f"{self.client.name} was not made to finish")
        client, recipe = self.client, self.client.recipe
        own = self._personal(request)
        alone = None
        judged = client.learner.target.faults(self.outputs.test.y).any()
        if recipe.evaluation.alone and judged and client.device.known != "faulty":
            alone = train_alone(client, client.learner.initial(), client.all_steps(request.devices))
        deployed = deploy(client, network_of(recipe, client.learner.target), own)
        deployed = replace(deployed, threshold=self._noted(deployed.threshold))
        digest = write_bundle(client, deployed, self.outputs.bundle)
        result = evaluate(client, self.outputs.test, request.stages, own, deployed, alone, digest)
        return Finished(result, tuple(Epoch(**record) for record in own.records))


def write_bundle(client: Client, deployed: Deployed, path: Path) -> str:
    """Writes a device's bundle, and returns the sha256 that it gives of itself.

    Raises:
        RunError: it cannot be written.
    """
    device = client.device
    content = bundle.Bundle(
        device=device.name,
        preparation=device.preparation.in_own_units(device.converted),
        threshold=deployed.threshold.threshold,
        threshold_note=deployed.threshold.reason,
        target=client.recipe.deploy.target,
        runtime=RUNTIME,
        model=deployed.model,
        parsed=deployed.network,
        labels=client.learner.target,
        table=device.format,
    )
    if device.raw is not None:
        content = replace(content, reference=reference_of(device, content))
    # The golden samples are the device's own: the bundle stays on the device that they come from.
    with writing_to(path):
        own = device.preparation.raw_in_own_units(device.converted, device.examples)
        samples = np.concatenate([own, golden.on_curves(content.preparation)])
        kept = 0 if client.recipe.deploy.weights == "all" else len(deployed.layers) - deployed.head
        return bundle.write(path, content, deployed.layers, samples, software(), kept)


def reference_of(device: Device, content: bundle.Bundle) -> Reference:
    """Returns how a device's training samples are distributed, those that its model calls faults apart."""
    assert device.raw is not None  # noqa: S101 - the caller saw to it
    raw = device.preparation.raw_in_own_units(device.converted, device.raw)
    scores, rows = content.scores(raw), np.arange(len(raw))
    if device.filled is not None:  # what a device follows is what it measures, and not what takes its place
        raw = np.where(device.filled, np.nan, raw)
        rows = np.flatnonzero(content.decisions(raw, scores) != Decision.SENSOR_FAULT)
        rows = rows if len(rows) else np.arange(len(raw))
    raw, faults = raw[rows], content.faults(scores[rows])
    reference = Reference.of(raw, faults)
    if device.period is None or len(device.period.train) != len(device.raw):
        return reference
    order = np.argsort(device.period.train[rows], kind="stable")
    return calibrated(reference, raw[order], faults[order])


def network_of(recipe: Recipe, target: Target = BINARY) -> Network:
    """Returns the architecture that a recipe trains to tell some classes apart."""
    return layers.network_of(recipe.model, target.outputs)


def learner_of(
    recipe: Recipe, target: Target = BINARY, on_steps: Callable[[int], None] = ignore_steps
) -> NetworkLearner:
    """Returns how a recipe trains its network to tell some classes apart, with compiled code that is kept."""
    compiled.keep()
    network = network_of(recipe, target)
    return NetworkLearner(network, recipe.optimizer.learning_rate, recipe.seed, target, on_steps)


@cache
def software() -> dict[str, str]:
    """Returns the versions of what decides a result."""
    return {name: version(name) for name in SOFTWARE}

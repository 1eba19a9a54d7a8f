"""The device's side of every phase, written once: engines only carry what is asked and answered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import cast

from fedmetaalign.engine.messages import Finish, Finished, Reply, Request, Train, Visit
from fedmetaalign.engine.transport import Residuals, packed
from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.result import Epoch
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import local_only
from fedmetaalign.methods._learner import Perceptron
from fedmetaalign.methods._task import Ledger, Task
from fedmetaalign.model.mlp import LARGEST_WEIGHT, Network, diverged
from fedmetaalign.model.online import Samples, ignore_steps
from fedmetaalign.phases import foundation, parallel, serial
from fedmetaalign.phases.budget import own_steps, shared_steps
from fedmetaalign.phases.deploy import RUNTIME, Deployed, deploy
from fedmetaalign.phases.evaluate import evaluate
from fedmetaalign.phases.local import Local, Update
from fedmetaalign.phases.personalize import Personal, personalize
from fedmetaalign.recipe import Recipe
from fedmetaalign.tinyml import bundle
from fedmetaalign.writing import writing_to

SOFTWARE = ("fedmetaalign", "jax", "jaxlib", "numpy", "ai-edge-litert")
"""Whose versions a bundle tells."""


@dataclass(frozen=True)
class Home:
    """What only phase 3 may touch.

    Attributes:
        test: the device's held-out samples.
        bundle: the folder that the device's bundle goes to.
    """

    test: Samples
    bundle: Path


@dataclass(frozen=True)
class Participant:
    """A device that takes part in a recipe.

    Attributes:
        recipe: decides what it does.
        device: its samples.
        home: None where nobody will ask it to finish.
        on_steps: told of the training steps that it takes.
        residuals: what it has yet to send.
    """

    recipe: Recipe
    device: Device
    home: Home | None = None
    on_steps: Callable[[int], None] = ignore_steps
    residuals: Residuals = field(default_factory=Residuals)

    @cached_property
    def network(self) -> Network:
        """The architecture."""
        return Network(self.recipe.model.inputs, self.recipe.model.hidden)

    def answer(self, request: Request[Reply]) -> Reply:
        """Does what is asked. The same request gets the same answer on every engine, however often it is asked.

        Raises:
            RunError: training has diverged, no model is as small as the recipe asks for, or the bundle cannot
                be written.
        """
        match request:
            case Visit():
                return cast(Reply, self._visit(request))
            case Train():
                return cast(Reply, self._train(request))
            case Finish():
                return cast(Reply, self._finish(request))
        raise TypeError(f"no device knows what to do with {type(request).__name__}")

    def _visit(self, request: Visit) -> Local:
        r = self.recipe
        return serial.visit(
            self.network,
            self.device,
            request.weights,
            request.stop,
            r.serial,
            r.optimizer,
            r.seed,
            self.on_steps,
        )

    def _train(self, request: Train) -> Update:
        r = self.recipe
        update = parallel.local_update(
            self.network,
            self.device,
            request.weights,
            request.number,
            r.parallel,
            r.optimizer,
            r.seed,
            self.on_steps,
        )
        return packed(self.network, r.transport, update, request.number, self.residuals)

    def _finish(self, request: Finish) -> Finished:
        if self.home is None:
            raise TypeError(f"{self.device.name} was not made to finish")
        r = self.recipe
        own = personalize(
            self.network, self.device, request.weights, r.personalize, r.optimizer, r.seed, self.on_steps
        )
        if diverged(own.weights):
            raise RunError(
                f"Training has diverged: on {self.device.name} a weight is beyond {LARGEST_WEIGHT:g};"
                " lower optimizer.learning_rate or parallel.server_learning_rate, and run again."
            )
        alone = self._alone(request.devices) if r.evaluation.alone else None
        deployed = deploy(self.network, self.device, own, r.deploy, r.personalize, r.seed)
        digest = self._write_bundle(self.home.bundle, deployed)
        result = evaluate(
            self.device, self.home.test, self.network, request.stages, own, deployed, alone, digest
        )
        return Finished(result, tuple(Epoch(**record) for record in own.records))

    def _alone(self, devices: int) -> Personal:
        """Trains without the others, from random weights, with the steps that the federation takes."""
        r = self.recipe
        start = foundation.initial(self.network, r.seed)
        ledger = Ledger(watch=self.on_steps)
        task = Task(r, Perceptron(self.network), (self.device,), (), None, start, ledger)
        return local_only.train_alone(task, self.device, steps_alone(r, self.device, devices))

    def _write_bundle(self, path: Path, deployed: Deployed) -> str:
        """Writes the bundle, and returns the sha256 that it gives of itself."""
        content = bundle.Bundle(
            device=self.device.name,
            preparation=self.device.preparation,
            threshold=deployed.threshold.threshold,
            threshold_note=deployed.threshold.reason,
            target=self.recipe.deploy.target,
            runtime=RUNTIME,
            model=deployed.model,
        )
        # The golden samples are the device's own: the bundle stays on the device that they come from.
        with writing_to(path):
            return bundle.write(path, content, deployed.layers, self.device.examples, software())


def steps_alone(recipe: Recipe, device: Device, devices: int) -> int:
    """Returns how many steps a device takes without the others: as many as among so many devices."""
    return round(shared_steps(recipe, device, devices) + own_steps(recipe, device))


def software() -> dict[str, str]:
    """Returns the versions of what decides a result."""
    return {name: version(name) for name in SOFTWARE}

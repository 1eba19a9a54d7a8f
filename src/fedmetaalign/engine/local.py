"""The fleet in this process: every device's step runs here, as many at once as there are cores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fedmetaalign.cores import cores
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import local_only
from fedmetaalign.methods._learner import Perceptron
from fedmetaalign.methods._task import Ledger, Task
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases import parallel, personalize, serial
from fedmetaalign.phases.local import Local, Update
from fedmetaalign.phases.personalize import Personal
from fedmetaalign.recipe import Recipe

Reply = TypeVar("Reply")


class LocalEngine:
    """Runs the devices' steps on threads; compiled training releases the interpreter, so they use all cores."""

    def __init__(
        self,
        recipe: Recipe,
        devices: Iterable[Device],
        on_steps: Callable[[int], None] = ignore_steps,
        workers: int | None = None,
    ) -> None:
        """Prepares the fleet; `workers` is the number of threads, by default one a core."""
        self._recipe = recipe
        self._network = Network(recipe.model.inputs, recipe.model.hidden)
        self._devices = {device.name: device for device in sorted(devices, key=lambda d: d.name)}
        self._on_steps = on_steps
        self._workers = workers or cores()

    @property
    def names(self) -> tuple[str, ...]:
        """The devices, sorted by name."""
        return tuple(self._devices)

    def visit(self, name: str, weights: np.ndarray, stop: int) -> Local:
        """Phase 1 on one device."""
        r = self._recipe
        return serial.visit(
            self._network, self._devices[name], weights, stop, r.serial, r.optimizer, r.seed, self._on_steps
        )

    def train(self, names: Sequence[str], weights: np.ndarray, number: int) -> Mapping[str, Update]:
        """Phase 2 on the named devices."""
        r = self._recipe
        return self._on_each(
            names,
            lambda device: parallel.local_update(
                self._network, device, weights, number, r.parallel, r.optimizer, r.seed, self._on_steps
            ),
        )

    def personalize(self, weights: np.ndarray) -> Mapping[str, Personal]:
        """Phase 3 on every device."""
        r = self._recipe
        return self._on_each(
            self.names,
            lambda device: personalize.personalize(
                self._network, device, weights, r.personalize, r.optimizer, r.seed, self._on_steps
            ),
        )

    def alone(self, weights: np.ndarray) -> Mapping[str, Personal]:
        """Local only, on every device."""
        devices = tuple(self._devices.values())
        ledger = Ledger(watch=self._on_steps)
        task = Task(self._recipe, Perceptron(self._network), devices, (), None, weights, ledger)
        return self._on_each(
            self.names, lambda device: local_only.train_alone(task, device, task.all_steps(device))
        )

    def _on_each(self, names: Sequence[str], step: Callable[[Device], Reply]) -> dict[str, Reply]:
        # The longest first, so that no core is left alone with it at the end.
        longest_first = sorted(names, key=lambda name: -len(self._devices[name].own.support))
        with ThreadPoolExecutor(self._workers) as pool:
            replies = pool.map(lambda name: step(self._devices[name]), longest_first)
            return dict(zip(longest_first, replies, strict=True))

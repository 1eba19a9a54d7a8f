"""The fleet in this process: every device's step runs here, as many at once as there are cores."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import local_only
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
        self._workers = workers or _cores()

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
        return self._on_each(
            self.names,
            lambda device: local_only.train_alone(self._recipe, self._network, device, weights, self._on_steps),
        )

    def _on_each(self, names: Sequence[str], step: Callable[[Device], Reply]) -> dict[str, Reply]:
        # The longest first, so that no core is left alone with it at the end.
        longest_first = sorted(names, key=lambda name: -len(self._devices[name].own.support))
        with ThreadPoolExecutor(self._workers) as pool:
            replies = pool.map(lambda name: step(self._devices[name]), longest_first)
            return dict(zip(longest_first, replies, strict=True))


def _cores() -> int:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; a container may allow fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

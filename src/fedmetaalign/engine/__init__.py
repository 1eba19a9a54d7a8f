"""Who runs a device's step: the phases speak to an `Engine` and do not know where the devices are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from fedmetaalign.phases.local import Local, Update
from fedmetaalign.phases.personalize import Personal


class Engine(Protocol):
    """A fleet that answers. Every method gives the same numbers on every engine."""

    @property
    def names(self) -> tuple[str, ...]:
        """The devices, sorted by name."""
        ...

    def visit(self, name: str, weights: np.ndarray, stop: int) -> Local:
        """Phase 1: lets one device train the weights handed to it; `stop` numbers its visits from 1."""
        ...

    def train(self, names: Sequence[str], weights: np.ndarray, number: int) -> Mapping[str, Update]:
        """Phase 2: lets the named devices train the global weights in round `number`, from 1."""
        ...

    def personalize(self, weights: np.ndarray) -> Mapping[str, Personal]:
        """Phase 3: lets every device make the final global weights its own."""
        ...

    def alone(self, weights: np.ndarray) -> Mapping[str, Personal]:
        """The baseline: lets every device train random weights without the others."""
        ...

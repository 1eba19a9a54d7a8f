"""What the compared methods train: the recipe's network, or in tests something that can be solved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.model import mlp, online
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.model.online import Samples, Trained, ignore_steps
from fedmetaalign.phases.personalize import Personal, frozen_layers, personalize
from fedmetaalign.recipe import Recipe


@dataclass(frozen=True)
class Cut:
    """Where a network is cut into its representation of a sample and a head that reads it.

    Attributes:
        body: layers of the representation, from the input.
        head: layers of the head, the rest.
        parameters: how many of the weight vector's entries, from its beginning, are the representation's.
    """

    body: int
    head: int
    parameters: int


class Learner(Protocol):
    """What is trained. The comparison trains the network; a test may train something that it can solve."""

    def train(
        self,
        weights: np.ndarray,
        samples: Samples,
        *,
        learning_rate: float,
        random: np.random.Generator,
        frozen: int = 0,
        head: int = 0,
        objective: Objective = LOSS,
        keep_gradient: bool = False,
        on_steps: Callable[[int], None] = ignore_steps,
    ) -> Trained:
        """Passes once over the samples; see `model.online.train`."""
        ...

    def fine_tune(
        self, recipe: Recipe, device: Device, weights: np.ndarray, on_steps: Callable[[int], None]
    ) -> Personal:
        """Phase 3 of the paper on a device; see `phases.personalize`.

        Args:
            recipe: its sections on phase 3 and the optimizer, and its seed.
            device: whose model this becomes.
            weights: (parameters,) float32, the global model.
            on_steps: told of the steps taken.
        """
        ...

    def scores(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns the fault scores of samples.

        Args:
            weights: (parameters,) float32.
            x: (rows, inputs) float32.

        Returns:
            (rows,) float64 in [0, 1].
        """
        ...

    def features(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns the representation of samples, what the last layer is given.

        Args:
            weights: (parameters,) float32.
            x: (rows, inputs) float32.

        Returns:
            (rows, features) float32.
        """
        ...

    def cut(self, share: float) -> Cut:
        """Cuts where phase 3 does when it freezes this share of the layers.

        Args:
            share: in [0, 1), counted from the input; rounded down to whole layers.
        """
        ...


@dataclass(frozen=True)
class Perceptron:
    """The recipe's network, trained by the stream."""

    network: mlp.Network

    def train(
        self,
        weights: np.ndarray,
        samples: Samples,
        *,
        learning_rate: float,
        random: np.random.Generator,
        frozen: int = 0,
        head: int = 0,
        objective: Objective = LOSS,
        keep_gradient: bool = False,
        on_steps: Callable[[int], None] = ignore_steps,
    ) -> Trained:
        """Passes once over the samples."""
        return online.train(
            self.network,
            weights,
            samples,
            learning_rate=learning_rate,
            epochs=1,
            random=random,
            frozen=frozen,
            head=head,
            objective=objective,
            keep_gradient=keep_gradient,
            on_steps=on_steps,
        )

    def fine_tune(
        self, recipe: Recipe, device: Device, weights: np.ndarray, on_steps: Callable[[int], None]
    ) -> Personal:
        """Phase 3 on a device."""
        return personalize(
            self.network, device, weights, recipe.personalize, recipe.optimizer, recipe.seed, on_steps
        )

    def scores(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns the fault scores."""
        return mlp.scores(self.network, weights, x)

    def features(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns what the last layer is given."""
        return mlp.features(self.network, weights, x)

    def cut(self, share: float) -> Cut:
        """Cuts the network where phase 3 does."""
        shapes = self.network.shapes
        body = frozen_layers(self.network, share)
        return Cut(body, len(shapes) - body, sum(rows * columns for rows, columns in shapes[:body]))

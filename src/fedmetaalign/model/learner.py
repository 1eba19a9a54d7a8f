"""How a device trains, in one value: network, learning rate, the seed of the random orders, progress."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from fedmetaalign.model import mlp, online
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.model.online import ALL_LAYERS, Samples, Trained, ignore_steps
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.randomness import generator


@dataclass(frozen=True)
class SplitPoint:
    """Where a network is split into its representation of a sample and a head that reads it.

    Attributes:
        body: layers of the representation, from the input; the head is the rest.
        parameters: how many of the weight vector's entries, from its beginning, are the representation's.
    """

    body: int
    parameters: int


class Learner(Protocol):
    """What is trained. The product trains a network; a test may train something that it can solve."""

    @property
    def target(self) -> Target:
        """What the labels mean."""
        ...

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Parameters of each layer, in the order of the weight vector."""
        ...

    def initial(self) -> np.ndarray:
        """Draws the random weights that everything starts from, (parameters,) float32."""
        ...

    def train(
        self,
        weights: np.ndarray,
        samples: Samples,
        *address: str | int,
        epochs: int = 1,
        learning_rate: float | None = None,
        trainable: slice = ALL_LAYERS,
        objective: Objective = LOSS,
        keep_gradient: bool = False,
        random: np.random.Generator | None = None,
    ) -> Trained:
        """Passes over the samples in a random order; see `model.online.train`.

        Args:
            weights: (parameters,) float32.
            samples: what to train on.
            *address: of the random order: the phase, the round and the device, say.
            epochs: passes over the samples.
            learning_rate: by default the learner's.
            trainable: the layers that are trained; the others keep their weights bit for bit.
            objective: what to minimise.
            keep_gradient: return the mean gradient too.
            random: decides the order where the caller has drawn from it already, in place of the address.
        """
        ...

    def evaluate(self, weights: np.ndarray, samples: Samples) -> tuple[float, float]:
        """Returns the mean loss on samples, and the accuracy: of two classes at a threshold of 0.5."""
        ...

    def probabilities(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns what the network says of samples.

        Args:
            weights: (parameters,) float32.
            x: (rows, inputs) float32.

        Returns:
            (rows,) float64 in [0, 1], the probability of a fault; of more than two classes (rows, classes),
            that of each.
        """
        ...

    def features(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns the representation of samples, what the last layer is given, (rows, features) float32."""
        ...

    def split(self, share: float) -> SplitPoint:
        """Splits the network after this share of its layers, in [0, 1), rounded down to whole layers."""
        ...

    def reporting(self, on_steps: Callable[[int], None]) -> Self:
        """Returns a learner that reports its training steps elsewhere."""
        ...


@dataclass(frozen=True)
class NetworkLearner:
    """Trains a network on a stream of single samples.

    Attributes:
        network: the architecture.
        learning_rate: Adam's step size.
        seed: the recipe's, of all random orders.
        target: what the labels mean; the network has as many outputs as it needs.
        on_steps: called with the number of gradient steps taken since its last call.
    """

    network: mlp.Network
    learning_rate: float
    seed: int
    target: Target = BINARY
    on_steps: Callable[[int], None] = ignore_steps

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Parameters of each layer."""
        return mlp.layer_sizes(self.network)

    def initial(self) -> np.ndarray:
        """Draws the random weights that everything starts from."""
        return mlp.initialize(self.network, generator(self.seed, "initialize"))

    def train(
        self,
        weights: np.ndarray,
        samples: Samples,
        *address: str | int,
        epochs: int = 1,
        learning_rate: float | None = None,
        trainable: slice = ALL_LAYERS,
        objective: Objective = LOSS,
        keep_gradient: bool = False,
        random: np.random.Generator | None = None,
    ) -> Trained:
        """Passes over the samples."""
        gradients = 2 if objective.lookahead else 1  # a step that looks ahead costs two
        return online.train(
            self.network,
            weights,
            samples,
            learning_rate=learning_rate or self.learning_rate,
            epochs=epochs,
            random=random or generator(self.seed, "stream", *address),
            trainable=trainable,
            objective=objective,
            keep_gradient=keep_gradient,
            on_steps=self.on_steps if gradients == 1 else lambda steps: self.on_steps(gradients * steps),
        )

    def evaluate(self, weights: np.ndarray, samples: Samples) -> tuple[float, float]:
        """Returns the mean cross-entropy, and the accuracy."""
        z = mlp.logits(self.network, weights, samples.x)
        correct = self.target.predicted(z) == samples.y
        return float(self.target.cross_entropy(z, samples.y).mean()), float(correct.mean())

    def probabilities(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns the probabilities."""
        z = mlp.logits(self.network, weights, x)
        return self.target.fault_probability(z) if self.target.outputs == 1 else self.target.probabilities(z)

    def features(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Returns what the last layer is given."""
        return mlp.features(self.network, weights, x)

    def split(self, share: float) -> SplitPoint:
        """Splits the network where phase 3 does when it freezes this share of the layers."""
        sizes = self.layer_sizes
        body = int(share * len(sizes))
        return SplitPoint(body, sum(sizes[:body]))

    def reporting(self, on_steps: Callable[[int], None]) -> "NetworkLearner":
        """Returns a learner that reports its training steps elsewhere."""
        return replace(self, on_steps=on_steps)

"""What every compared method is given, and what it hands back: the terms of a fair race.

All methods start from the same weights, those of phase 0 where the recipe has one, may train on all of a
device's training samples but its validation part, and may spend the same gradient steps: on each device as many
as phases 1 to 3 of Fed-Meta-Align take there. What they do spend is counted as they spend it. Fed-Meta-Align
itself divides the samples among its phases and holds their query parts back, as the paper says; what makes a
model personal trains on phase 3's part with every method.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.methods._learner import Learner
from fedmetaalign.model import mlp
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.model.online import Samples, Trained, ignore_steps
from fedmetaalign.phases.budget import own_steps, participation, shared_steps
from fedmetaalign.phases.parallel import cohort
from fedmetaalign.phases.personalize import Personal, choose_threshold
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe

FLOAT_BYTES = 4
"""Of a weight on its way."""
GLOBAL = "global"
"""The stage where phase 3 starts from one global model for all."""


class DivergenceError(RunError):
    """Training ran away; a smaller learning rate may help."""


@dataclass
class Ledger:
    """What a method has spent so far. The one thing here that changes."""

    steps: int = 0
    bytes: int = 0
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    watch: Callable[[int], None] = ignore_steps

    def add_steps(self, steps: int) -> None:
        """Counts gradient steps, and passes the number on to whoever watches."""
        self.steps += steps
        self.watch(steps)


@dataclass(frozen=True)
class Model:
    """What a device ends up with.

    Attributes:
        scores: from (rows, inputs) float32 to (rows,) float64 in [0, 1].
        threshold: a sample is a fault if its score is strictly greater.
        weights: (parameters,) float32; None where the model is more or less than a network.
    """

    scores: Callable[[np.ndarray], np.ndarray]
    threshold: float
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Milestone:
    """The global weights at some stage, and what had been spent when they were reached.

    Attributes:
        weights: (parameters,) float32.
        steps: gradient steps, over all devices and the server.
        bytes: sent in both directions, over all devices.
        seconds: of one process.
    """

    weights: np.ndarray
    steps: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a method comes to.

    Attributes:
        models: every device's, members and newcomers.
        stages: global weights by stage: `GLOBAL` where phase 3 starts from one global model, and others on the
            way.
        rounds: (parameters,) global weights after each round; empty where phase 3 starts from no global model.
    """

    models: Mapping[str, Model]
    stages: Mapping[str, Milestone] = field(default_factory=dict)
    rounds: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Task:
    """One race: a fleet, a start, a budget.

    Attributes:
        recipe: its phases decide the budget, its optimizer the learning rate.
        learner: what is trained.
        members: the devices of the federation, sorted by name.
        newcomers: devices that only receive what the federation has learnt.
        public: public samples; None where the recipe has none.
        start: (parameters,) float32, where every method starts.
        ledger: what is spent.
    """

    recipe: Recipe
    learner: Learner
    members: tuple[Device, ...]
    newcomers: tuple[Device, ...]
    public: Part | None
    start: np.ndarray
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices that need a model."""
        return self.members + self.newcomers

    @property
    def rounds(self) -> int:
        """Rounds of exchange: as many as Fed-Meta-Align has in phases 1 and 2."""
        return self.recipe.serial.rounds * self.recipe.serial.tours + self.recipe.parallel.rounds

    def cohort(self, number: int) -> tuple[Device, ...]:
        """Returns the devices that take part in a round."""
        names = tuple(device.name for device in self.members)
        chosen = cohort(names, number, self.recipe.parallel.cohort, self.recipe.seed)
        return tuple(device for device in self.members if device.name in chosen)

    def shared_steps(self, device: Device) -> float:
        """Returns the steps that a device may take for the global model."""
        return shared_steps(self.recipe, device, len(self.members))

    def all_steps(self, device: Device) -> int:
        """Returns the steps that a device may take in all; a newcomer as many as the mean member.

        A newcomer's phase 3 alone would be too short to train a model from its beginning.
        """
        new = any(device is newcomer for newcomer in self.newcomers)
        whose = self.members if new else (device,)
        return round(float(np.mean([self.shared_steps(d) + own_steps(self.recipe, d) for d in whose])))

    def stretch(self, device: Device, number: int, share: float = 1.0) -> range:
        """Returns which of a device's shared steps, counted over the whole race, a round consists of.

        The rounds, from 1, share the steps equally; none is without a step.

        Args:
            device: whose.
            number: the round.
            share: of the steps, for a method that does not take them all in one stream.
        """
        taken = self.rounds * participation(self.recipe.parallel.cohort, len(self.members))
        each = share * self.shared_steps(device) / taken
        first = round((number - 1) * each)
        return range(first, max(first + 1, round(number * each)))

    def stream(self, device: Device, number: int, share: float = 1.0) -> Samples:
        """Returns what a device trains on in a round: the next stretch of passes over its own samples."""
        stretch = self.stretch(device, number, share)
        return passes(device.own.support, stretch.start, stretch.stop, self.recipe.seed, "shared", device.name)

    def own_stream(self, device: Device) -> Samples:
        """Returns what a device trains a model of its own on after the rounds, with phase 3's steps."""
        steps = own_steps(self.recipe, device)
        support = device.parts["personalize"].support
        return passes(support, 0, steps, self.recipe.seed, "own", device.name)

    def train(
        self,
        weights: np.ndarray,
        samples: Samples,
        *address: str | int,
        learning_rate: float | None = None,
        frozen: int = 0,
        head: int = 0,
        objective: Objective = LOSS,
        keep_gradient: bool = False,
    ) -> Trained:
        """Passes once over the samples, and counts the steps.

        Args:
            weights: (parameters,) float32.
            samples: what to train on.
            *address: of the random order: a round and a device, say.
            learning_rate: by default the recipe's.
            frozen: see `model.online.train`, and so the others.
            head: layers at the output that stay.
            objective: what to minimise.
            keep_gradient: return the mean gradient too.
        """
        gradients = 2 if objective.lookahead else 1
        trained = self.learner.train(
            weights,
            samples,
            learning_rate=learning_rate or self.recipe.optimizer.learning_rate,
            random=generator(self.recipe.seed, "stream", *address),
            frozen=frozen,
            head=head,
            objective=objective,
            keep_gradient=keep_gradient,
            on_steps=lambda steps: self.ledger.add_steps(gradients * steps),
        )
        check_finite(trained.weights)
        return trained

    def send(self, vectors: float = 1.0, messages: int = 1) -> None:
        """Counts messages of so many weight vectors each, to or from a device."""
        self.ledger.bytes += round(messages * vectors * FLOAT_BYTES * len(self.start))

    def threshold(self, device: Device, scores: Callable[[np.ndarray], np.ndarray]) -> Choice:
        """Chooses a device's threshold by the recipe's rule, on its validation part."""
        return choose_threshold(device.own.query.y, scores(device.own.query.x), self.recipe.personalize)

    def own(self, device: Device, weights: np.ndarray) -> Personal:
        """Returns weights as a device's own, with the threshold that they call for."""
        return Personal(weights, self.threshold(device, partial(self.learner.scores, weights)), [])

    def model(self, own: Personal) -> Model:
        """Returns the model that a device's own weights make."""
        check_finite(own.weights)
        return Model(partial(self.learner.scores, own.weights), own.threshold.threshold, own.weights)

    def milestone(self, weights: np.ndarray) -> Milestone:
        """Notes the global weights, and what was spent to get there."""
        spent = self.ledger
        return Milestone(weights, spent.steps, spent.bytes, spent.seconds + time.perf_counter() - spent.began)


def check_finite(weights: np.ndarray) -> None:
    """Stops a method whose weights have run away.

    Raises:
        DivergenceError: they are not numbers, or too large for their squares to be.
    """
    if mlp.diverged(weights):
        raise DivergenceError(f"Training has diverged: a weight is beyond {mlp.LARGEST_WEIGHT:g}.")


def passes(samples: Samples, first: int, last: int, seed: int, *address: str | int) -> Samples:
    """Returns samples number first to last of an endless stream of passes, each in a fresh random order."""
    rows = len(samples)
    orders = [
        generator(seed, "passes", *address, number).permutation(rows)
        for number in range(first // rows, -(-last // rows))
    ]
    picked = np.concatenate(orders)[first % rows :][: last - first]
    return Samples(samples.x[picked], samples.y[picked])

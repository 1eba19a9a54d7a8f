"""A device at work on a recipe: what the device's part of every phase and method is given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.thresholds import Choice, best_f1, few_false_alarms
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Personal, Request
from fedmetaalign.federation.records import Record
from fedmetaalign.fleet.device import Device
from fedmetaalign.model import mlp
from fedmetaalign.model.learner import Learner
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Known, Target
from fedmetaalign.phases.budget import all_steps, own_steps, stretch
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Personalize, Recipe
from fedmetaalign.tinyml.decision import fault_probability


class DivergenceError(RunError):
    """Training ran away; a smaller learning rate may help."""


@dataclass(frozen=True)
class Client:
    """A device at work.

    Attributes:
        recipe: decides what it does.
        device: its samples.
        learner: how it trains.
        memory: what it keeps from round to round.
        federated: the devices of the federation, where this one takes no part in it: it may take as many
            steps as the mean of them. Its own phase 3 would be too short to train a model from its beginning.
    """

    recipe: Recipe
    device: Device
    learner: Learner
    memory: Memory = field(default_factory=Memory)
    federated: tuple[Device, ...] = ()

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device.name

    @property
    def raw(self) -> Samples:
        """All its training samples, in the features' own units in the places of the inputs."""
        train = self.device.train
        return Samples(self.device.preparation.raw_in_place(train.x), train.y)

    def folded(self, weights: np.ndarray) -> np.ndarray:
        """Returns a fleet's weights as it works with them: its features make up for those that it lacks."""
        return self.device.fill.folded(weights, self.recipe.model.first)

    def unfolded(self, weights: np.ndarray) -> np.ndarray:
        """Returns what weights that it has worked with mean to its fleet."""
        return self.device.fill.unfolded(weights, self.recipe.model.first)

    def all_steps(self, devices: int) -> int:
        """Returns the gradient steps that it may take in all, in a federation of so many devices."""
        return all_steps(self.recipe, self.federated or (self.device,), devices)

    def stretch(self, request: Request[Any], share: float = 1.0) -> range:
        """Returns which of its shared steps a round consists of; see `budget.stretch`."""
        return stretch(self.recipe, self.device, request.devices, request.number, share)

    def stream(self, request: Request[Any], share: float = 1.0) -> Samples:
        """Returns what it trains on in a round: the next stretch of passes over its own samples."""
        part = self.stretch(request, share)
        support = self.device.own.support
        return passes(support, part.start, part.stop, self.recipe.seed, "shared", self.name)

    def own_stream(self) -> Samples:
        """Returns what it trains a model of its own on after the rounds, with phase 3's steps."""
        support, steps = self.device.parts["personalize"].support, own_steps(self.recipe, self.device)
        return passes(support, 0, steps, self.recipe.seed, "own", self.name)

    def own(self, weights: np.ndarray, records: tuple[Record, ...] = ()) -> Personal:
        """Returns weights as its own model, with the threshold that they call for.

        Raises:
            DivergenceError: the weights have run away.
        """
        check_finite(weights, f"on {self.name}")
        probabilities = partial(self.learner.probabilities, weights)
        return Personal(probabilities, self.threshold(probabilities), weights, records)

    def threshold(self, probabilities: Callable[[np.ndarray], np.ndarray]) -> Choice:
        """Chooses its threshold by the recipe's rule, on its validation part."""
        validation, target = self.device.own.query, self.learner.target
        found = probabilities(validation.x)
        return choose_threshold(target, validation.y, found, self.recipe.personalize, self.device.known)


def choose_threshold(
    target: Target,
    y: np.ndarray,
    probabilities: np.ndarray,
    settings: Personalize,
    known: Known = "faults",
) -> Choice:
    """Returns the threshold that the recipe asks for: that of the best F1, of few false alarms, or a fixed one.

    A device that knows no fault takes the smallest one with few enough false alarms in any case but the last,
    and one without a normal sample, or without a label, the middle.

    Args:
        target: the classes.
        y: (rows,) labels of the device's validation part.
        probabilities: of these rows, as `Learner.probabilities` or a deployed model gives them.
        settings: the recipe's section.
        known: what the labels of all of its training samples tell.
    """
    if settings.fixed_threshold is not None:
        return Choice(settings.fixed_threshold, None, None)
    if known == "nothing":
        return Choice(0.5, None, "None of its samples has a label to choose it by.")
    if known == "faulty":
        return Choice(0.5, None, "None of its samples is normal, to count false alarms by.")
    scores = fault_probability(probabilities, target)
    if known == "normal":
        return few_false_alarms(scores, settings.max_false_alarms)
    faults = target.faults(y)
    if settings.threshold == "false_alarms":
        return few_false_alarms(scores[faults == 0], settings.max_false_alarms, faults=scores[faults == 1])
    return best_f1(faults, scores, beta=settings.weight)


def check_finite(weights: np.ndarray, where: str) -> None:
    """Stops training that has run away.

    Raises:
        DivergenceError: some weight is no number, or too large for its square to be one.
    """
    if mlp.diverged(weights):
        raise DivergenceError(
            f"Training has diverged: {where} a weight is beyond {mlp.LARGEST_WEIGHT:g};"
            " lower optimizer.learning_rate or parallel.server_learning_rate, and run again."
        )


def passes(samples: Samples, first: int, last: int, seed: int, *address: str | int) -> Samples:
    """Returns samples number first to last of an endless stream of passes, each in a fresh random order."""
    rows = len(samples)
    orders = [
        generator(seed, "passes", *address, number).permutation(rows)
        for number in range(first // rows, -(-last // rows))
    ]
    picked = np.concatenate(orders)[first % rows :][: last - first]
    return Samples(samples.x[picked], samples.y[picked])

"""Runs one cell of a comparison: a method on a recipe, from the common start to the test sets."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedmetaalign import methods
from fedmetaalign.comparison.cell import FINAL, Cell, Metrics, Stage
from fedmetaalign.evaluation.metrics import measure
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.methods._learner import Perceptron
from fedmetaalign.methods._task import DivergenceError, Ledger, Milestone, Model, Outcome, Task
from fedmetaalign.model.mlp import Network, scores
from fedmetaalign.model.online import Samples
from fedmetaalign.phases import foundation
from fedmetaalign.recipe import Recipe


@dataclass(frozen=True)
class Start:
    """Where all methods start: random weights, after phase 0 where the recipe has one.

    Attributes:
        weights: (parameters,) float32.
        steps: gradient steps that phase 0 took.
        seconds: that it took.
    """

    weights: np.ndarray
    steps: int
    seconds: float


def start(recipe: Recipe, fleet: Fleet) -> Start:
    """Draws the weights and pre-trains them, with the learning rate that the recipe itself has."""
    network = Network(recipe.model.inputs, recipe.model.hidden)
    weights = foundation.initial(network, recipe.seed)
    began, steps = time.perf_counter(), 0
    if fleet.public is not None:
        weights, _ = foundation.pretrain(
            network, weights, fleet.public, recipe.foundation, recipe.optimizer, recipe.seed
        )
        steps = recipe.foundation.epochs * len(fleet.public.support)
    return Start(weights, steps, time.perf_counter() - began)


def race(method: str, recipe: Recipe, fleet: Fleet, begin: Start) -> Cell:
    """Runs a method and measures what it comes to.

    Args:
        method: a file's name under `methods/`.
        recipe: with the seed and the learning rate to run with.
        fleet: the recipe's devices.
        begin: the common start.

    Raises:
        FedMetaAlignError: the method cannot run on this recipe.
    """
    network = Network(recipe.model.inputs, recipe.model.hidden)
    trained = method not in methods.UNTRAINED
    task = Task(
        recipe,
        Perceptron(network),
        fleet.devices,
        fleet.newcomers,
        fleet.public,
        begin.weights,
        Ledger(begin.steps, 0, begin.seconds) if trained else Ledger(),
    )
    rate = recipe.optimizer.learning_rate if trained else None
    try:
        outcome = methods.find(method)(task)
        end = task.milestone(begin.weights)
        return Cell(
            method=method,
            seed=recipe.seed,
            learning_rate=rate,
            validation=_validation(task, outcome),
            stages=_stages(network, outcome, end, fleet.test),
            rounds=tuple(_accuracies(network, weights, fleet.test) for weights in outcome.rounds),
            unseen=fleet.unseen,
        )
    except DivergenceError:
        return Cell(method, recipe.seed, rate, None, {}, (), fleet.unseen)


def _validation(task: Task, outcome: Outcome) -> float:
    """Returns the members' mean Brier score on their validation parts.

    A proper score of the probabilities themselves: it needs no threshold, and one sure mistake of a model does
    not outweigh everything else, as it does in the cross-entropy.
    """

    def brier(model: Model, validation: Samples) -> float:
        return float(np.mean((model.scores(validation.x) - validation.y) ** 2))

    return float(np.mean([brier(outcome.models[d.name], d.own.query) for d in task.members]))


def _stages(
    network: Network, outcome: Outcome, end: Milestone, test: Mapping[str, Samples]
) -> dict[str, Stage]:
    def judge(model: Model, samples: Samples) -> Metrics:
        return measure(samples.y.astype(np.int8), model.scores(samples.x), model.threshold).to_dict()

    def shared(weights: np.ndarray) -> dict[str, Metrics]:
        """One global model on every device, at a threshold of 0.5: choosing one is part of personalising."""
        return {
            name: measure(samples.y.astype(np.int8), scores(network, weights, samples.x), 0.5).to_dict()
            for name, samples in test.items()
        }

    own = {name: judge(model, test[name]) for name, model in outcome.models.items()}
    stages = {name: _stage(shared(point.weights), point) for name, point in outcome.stages.items()}
    return stages | {FINAL: _stage(own, end)}


def _stage(devices: Mapping[str, Metrics], spent: Milestone) -> Stage:
    return Stage(devices, spent.steps, spent.bytes, round(spent.seconds, 3))


def _accuracies(network: Network, weights: np.ndarray, test: Mapping[str, Samples]) -> dict[str, float]:
    return {
        name: float(np.mean((scores(network, weights, samples.x) > 0.5) == (samples.y > 0)))
        for name, samples in test.items()
    }

"""Runs one cell of a comparison: a method on a recipe, from the common start to the test sets.

All methods start from the same weights, those of phase 0 where the recipe has one, may train on all of a
device's training samples but its validation part, and may spend the same gradient steps: on each device as many
as phases 1 to 3 of Fed-Meta-Align take there. What they do spend is counted as they spend it. Fed-Meta-Align
itself divides the samples among its phases and holds their query parts back, as the paper says; what makes a
model personal trains on phase 3's part with every method.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fedmetaalign import methods
from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, MetricValues, Stage
from fedmetaalign.comparison.spent import Metered, Spent
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of, network_of
from fedmetaalign.engine.hostile import Hostile, mislabelled
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.evaluation.metrics import brier, measure_classes
from fedmetaalign.federation.attacks import hostile
from fedmetaalign.federation.engine import Engine
from fedmetaalign.federation.messages import Personal, Personalize
from fedmetaalign.federation.transport import FLOAT_BYTES
from fedmetaalign.fleet.device import Device, Fleet, Part
from fedmetaalign.methods._method import Method
from fedmetaalign.model.learner import Learner
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import Client, DivergenceError, check_finite
from fedmetaalign.phases.conversion import RUNTIME
from fedmetaalign.phases.deploy import deploy
from fedmetaalign.phases.foundation import pretrain
from fedmetaalign.phases.server import Server, State, dealt, rounds
from fedmetaalign.recipe import Recipe
from fedmetaalign.tinyml.decision import fault_probability
from fedmetaalign.tinyml.runtimes import scores


@dataclass(frozen=True)
class Checkpoint:
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
        models: every device's, the unseen ones' too.
        stages: global weights by stage: `GLOBAL` where phase 3 starts from one global model, and others on the
            way.
        rounds: (parameters,) global weights after each round; empty where phase 3 starts from no global model.
    """

    models: Mapping[str, Personal]
    stages: Mapping[str, Checkpoint]
    rounds: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class CellRun:
    """What every compared method is given: a fleet, a start, a budget.

    Attributes:
        recipe: its phases decide the budget, its optimizer the learning rate.
        learner: what is trained.
        federated: the devices of the federation, sorted by name.
        unseen_devices: devices that only receive what the federation has learnt.
        public: public samples; None where the recipe has none.
        start: (parameters,) float32, where every method starts.
        spent: what it has cost so far.
    """

    recipe: Recipe
    learner: Learner
    federated: tuple[Device, ...]
    unseen_devices: tuple[Device, ...]
    public: Part | None
    start: np.ndarray
    spent: Spent = field(default_factory=Spent)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices that need a model."""
        return self.federated + self.unseen_devices

    @property
    def liars(self) -> tuple[str, ...]:
        """The devices that attack the others, and are not judged."""
        settings = self.recipe.compare
        if settings.attack is None:
            return ()
        return hostile(tuple(device.name for device in self.federated), settings.hostile)

    @property
    def honest(self) -> tuple[Device, ...]:
        """The devices that are judged."""
        return tuple(device for device in self.devices if device.name not in self.liars)

    def run(self, method: Method) -> Outcome:
        """Runs a method from the common start to every device's own model.

        Raises:
            DivergenceError: training has run away.
        """
        learner = self.learner.reporting(self.spent.add_steps)
        wrong = self.liars if self.recipe.compare.attack == "labels" else ()
        clients = [
            Client(self.recipe, mislabelled(d, learner.target) if d.name in wrong else d, learner)
            for d in self.federated
        ]
        unseen = [
            Client(self.recipe, device, learner, federated=self.federated) for device in self.unseen_devices
        ]
        travels = method.travels(learner, self.recipe)
        engine: Engine = LocalEngine([DeviceRunner(client, method) for client in clients], workers=1)
        if (attack := self.recipe.compare.attack) is not None:
            engine = Hostile(engine, frozenset(self.liars), attack, self.recipe.seed)
        engine = Metered(engine, self.spent, travels)
        plan = method.rounds(Server(self.recipe, engine, learner, self.public))
        state, history = State(self.start), []
        stages: dict[str, Checkpoint] = {}
        for round_, state, _ in rounds(plan, state):  # noqa: B020 - it ends as the last one
            check_finite(state.weights, f"after {round_.phase} round {round_.number}")
            stages[round_.phase] = self.checkpoint(state.weights)
            history.append(state.weights)
        last = stages.pop(plan[-1].phase) if plan else self.checkpoint(state.weights)
        if method.federates:
            numbers = state.model.numbers if state.model else travels or len(self.start)
            self.spent.bytes += FLOAT_BYTES * numbers * len(self.devices)
        everyone = LocalEngine([DeviceRunner(client, method) for client in (*clients, *unseen)], workers=1)
        models: dict[str, Personal] = {}
        others = [client.name for client in unseen]
        for final, names in dealt(method.finals(engine.names, state), others, everyone.families()):
            begun = {"foundation": self.start}
            request = Personalize(
                final.weights, 1, len(clients), begun, final.vectors, state.model, final.counts
            )
            models |= everyone.exchange(names, request).answers
        if self.recipe.compare.deployed:
            models = {client.name: as_deployed(client, models[client.name]) for client in (*clients, *unseen)}
        if not method.one_model:
            return Outcome(models, {}, ())
        return Outcome(models, stages | {GLOBAL: last}, tuple(history))

    def checkpoint(self, weights: np.ndarray) -> Checkpoint:
        """Notes the global weights, and what was spent to get there."""
        spent = self.spent
        return Checkpoint(weights, spent.steps, spent.bytes, spent.seconds + time.perf_counter() - spent.began)


def as_deployed(client: Client, personal: Personal) -> Personal:
    """Returns a device's model as the device would have it; what is no network stays as it is."""
    if personal.weights is None:
        return personal
    found = deploy(client, network_of(client.recipe, client.learner.target), personal)
    return replace(personal, probabilities=partial(_said, found.model), threshold=found.threshold)


def _said(model: bytes, x: np.ndarray) -> np.ndarray:
    return scores(model, x, RUNTIME)


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
    learner = learner_of(recipe, fleet.target)
    weights = learner.initial()
    began, steps = time.perf_counter(), 0
    if fleet.public is not None:
        weights, _ = pretrain(learner, weights, fleet.public, recipe.foundation)
        steps = recipe.foundation.epochs * len(fleet.public.support)
    return Start(weights, steps, time.perf_counter() - began)


def run_cell(name: str, recipe: Recipe, fleet: Fleet, begin: Start) -> Cell:
    """Runs a method and measures what it comes to.

    Args:
        name: the method's.
        recipe: with the seed and the learning rate to run with.
        fleet: the recipe's devices.
        begin: the common start.

    Raises:
        FedMetaAlignError: the method cannot run on this recipe.
    """
    method, learner = methods.find(name), learner_of(recipe, fleet.target)
    spent = Spent(begin.steps, 0, begin.seconds) if method.trains else Spent()
    given = CellRun(recipe, learner, fleet.devices, fleet.unseen_devices, fleet.public, begin.weights, spent)
    rate = recipe.optimizer.learning_rate if method.trains else None
    try:
        outcome = given.run(method)
    except DivergenceError:
        return Cell(name, recipe.seed, rate, None, {}, (), fleet.unseen)
    end = given.checkpoint(begin.weights)
    # Whoever has faults alone is no judge: what calls everything a fault is right there.
    test = {device.name: _none_of_one_kind(device, fleet.test[device.name]) for device in given.honest}
    judges = {name: each for name, each in test.items() if learner.target.faults(each.y).any()}
    return Cell(
        method=name,
        seed=recipe.seed,
        learning_rate=rate,
        validation=_validation(given, outcome),
        stages=_stages(given, outcome, end, test),
        rounds=tuple(_accuracies(learner, weights, judges) for weights in outcome.rounds),
        unseen=fleet.unseen,
    )


def _none_of_one_kind(device: Device, test: Samples) -> Samples:
    return Samples(test.x[:0], test.y[:0]) if device.known == "faulty" else test


def _validation(given: CellRun, outcome: Outcome) -> float:
    """Returns the mean Brier score of the devices that have faults on their validation parts.

    A proper score of the probabilities themselves: it needs no threshold, and one sure mistake of a model does
    not outweigh everything else, as it does in the cross-entropy. On normal samples alone a constant is best.
    """
    target, models, liars = given.learner.target, outcome.models, given.liars
    own = [
        (models[device.name], device.own.query)
        for device in given.federated
        if device.known == "faults" and device.name not in liars
    ]
    return float(np.mean([brier(model.probabilities(query.x), query.y, target) for model, query in own]))


def _stages(given: CellRun, outcome: Outcome, end: Checkpoint, test: Mapping[str, Samples]) -> dict[str, Stage]:
    def judge(probabilities: np.ndarray, samples: Samples, threshold: float) -> MetricValues:
        """Nothing is defined without faults: a model trained alone on one class would be right always."""
        target = given.learner.target
        samples = samples if target.faults(samples.y).any() else Samples(samples.x[:0], samples.y[:0])
        probabilities = probabilities[: len(samples)]
        found = measure_classes(
            target, samples.y, fault_probability(probabilities, target), probabilities, threshold
        )
        # Of a comparison's metrics each is one number a device.
        return {name: value for name, value in found.to_dict().items() if not isinstance(value, list)}

    def shared(weights: np.ndarray) -> dict[str, MetricValues]:
        """One global model on every device, at a threshold of 0.5: choosing one is part of personalising."""
        probabilities = given.learner.probabilities
        return {name: judge(probabilities(weights, each.x), each, 0.5) for name, each in test.items()}

    own = {
        name: judge(model.probabilities(test[name].x), test[name], model.threshold.threshold)
        for name, model in outcome.models.items()
        if name in test
    }
    stages = {name: _stage(shared(point.weights), point) for name, point in outcome.stages.items()}
    return stages | {FINAL: _stage(own, end)}


def _stage(devices: Mapping[str, MetricValues], spent: Checkpoint) -> Stage:
    return Stage(devices, spent.steps, spent.bytes, round(spent.seconds, 3))


def _accuracies(learner: Learner, weights: np.ndarray, test: Mapping[str, Samples]) -> dict[str, float]:
    return {name: learner.evaluate(weights, samples)[1] for name, samples in test.items()}

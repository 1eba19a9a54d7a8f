"""Fed-Meta-Align: pre-train, tour, train in parallel, each round a step that can be resumed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fedmetaalign.aggregation import Rule
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.engine import Engine
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases import foundation, parallel, serial
from fedmetaalign.phases.records import Record
from fedmetaalign.recipe import Parallel, Recipe


@dataclass(frozen=True)
class State:
    """Where the global model stands. It is all that resuming needs.

    Attributes:
        weights: (parameters,) float32.
        done: rounds finished, over all phases.
        stages: the global weights after each finished phase, by phase name.
    """

    weights: np.ndarray
    done: int = 0
    stages: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One resumable step: `run` turns the global weights into new ones and the records of the round."""

    phase: str
    number: int
    run: Callable[[np.ndarray], tuple[np.ndarray, list[Record]]]


def start(recipe: Recipe) -> State:
    """Returns the state before the first round: random weights."""
    return State(foundation.initial(Network(recipe.model.inputs, recipe.model.hidden), recipe.seed))


def schedule(
    recipe: Recipe, engine: Engine, public: Part | None, on_steps: Callable[[int], None] = ignore_steps
) -> list[Round]:
    """Lists the rounds of phases 0, 1 and 2 in order."""
    network = Network(recipe.model.inputs, recipe.model.hidden)
    rounds = []
    if public is not None:

        def pretrain(weights: np.ndarray) -> tuple[np.ndarray, list[Record]]:
            return foundation.pretrain(
                network, weights, public, recipe.foundation, recipe.optimizer, recipe.seed, on_steps
            )

        rounds.append(Round("foundation", 1, pretrain))
    for number in range(1, recipe.serial.rounds + 1):
        tour = partial(serial.tour, engine, number=number, settings=recipe.serial, seed=recipe.seed)
        rounds.append(Round("serial", number, tour))
    for number in range(1, recipe.parallel.rounds + 1):
        fl_round = partial(
            parallel.fl_round,
            engine,
            number=number,
            rule=rule(recipe.parallel),
            settings=recipe.parallel,
            seed=recipe.seed,
        )
        rounds.append(Round("parallel", number, fl_round))
    return rounds


def rule(settings: Parallel) -> Rule:
    """Returns the aggregation rule that the recipe names."""
    if settings.aggregation == "mean":
        return mean
    return partial(similarity, floor=settings.floor, reference=settings.reference, unit_norm=settings.unit_norm)


def rounds(plan: list[Round], state: State) -> Iterator[tuple[Round, State, list[Record]]]:
    """Runs what is left of a plan, and yields the state after each round."""
    for i, round_ in enumerate(plan[state.done :], state.done + 1):
        weights, records = round_.run(state.weights)
        state = replace(state, weights=weights, done=i)
        if i == len(plan) or plan[i].phase != round_.phase:
            state = replace(state, stages={**state.stages, round_.phase: weights})
        yield round_, state, records

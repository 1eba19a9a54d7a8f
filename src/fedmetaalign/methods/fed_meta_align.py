"""Fed-Meta-Align: pre-train, tour, train in parallel, each round a step that can be resumed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fedmetaalign.aggregation import Memory
from fedmetaalign.aggregation.registry import rule
from fedmetaalign.engine import Engine, transport
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.engine.participant import Participant
from fedmetaalign.fleet.device import Part
from fedmetaalign.methods._federated import personalized
from fedmetaalign.methods._task import GLOBAL, Milestone, Outcome, Task, check_finite
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases import foundation, parallel, serial
from fedmetaalign.phases.records import Record
from fedmetaalign.recipe import Recipe

STAGES = {"serial": "serial", "parallel": GLOBAL}
"""What the comparison calls the weights after a phase."""


@dataclass(frozen=True)
class State:
    """Where the global model stands. It is all that resuming needs.

    Attributes:
        weights: (parameters,) float32.
        done: rounds finished, over all phases.
        stages: the global weights after each finished phase, by phase name.
        memory: what the aggregation rule remembers of the parallel rounds.
    """

    weights: np.ndarray
    done: int = 0
    stages: Mapping[str, np.ndarray] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One resumable step: `run` moves the global weights on, and tells the records of the round."""

    phase: str
    number: int
    run: Callable[[State], tuple[State, list[Record]]]


def start(recipe: Recipe) -> State:
    """Returns the state before the first round: random weights."""
    return State(foundation.initial(Network(recipe.model.inputs, recipe.model.hidden), recipe.seed))


def schedule(
    recipe: Recipe, engine: Engine, public: Part | None, on_steps: Callable[[int], None] = ignore_steps
) -> list[Round]:
    """Lists the rounds of phases 0, 1 and 2 in order; without public data there is no phase 0."""
    return [*pretraining(recipe, public, on_steps), *federation(recipe, engine, public, on_steps)]


def pretraining(
    recipe: Recipe, public: Part | None, on_steps: Callable[[int], None] = ignore_steps
) -> list[Round]:
    """Lists the one round of phase 0, or none without public data."""
    if public is None:
        return []
    network = Network(recipe.model.inputs, recipe.model.hidden)

    def run(state: State) -> tuple[State, list[Record]]:
        weights, records = foundation.pretrain(
            network, state.weights, public, recipe.foundation, recipe.optimizer, recipe.seed, on_steps
        )
        return replace(state, weights=weights), records

    return [Round("foundation", 1, run)]


def federation(
    recipe: Recipe, engine: Engine, public: Part | None, on_steps: Callable[[int], None] = ignore_steps
) -> list[Round]:
    """Lists the rounds of phases 1 and 2, which may start from any weights.

    Args:
        recipe: decides the rounds.
        engine: reaches the devices.
        public: what the server trains on where the aggregation rule compares with that.
        on_steps: told of the server's own steps.
    """
    network = Network(recipe.model.inputs, recipe.model.hidden)
    chosen, root, ask = rule(recipe.parallel), None, partial(transport.ask, network, recipe.transport)
    if public is not None and recipe.parallel.needs_root:
        root = partial(
            parallel.root_update,
            network,
            public.support,
            settings=recipe.parallel,
            optimizer=recipe.optimizer,
            seed=recipe.seed,
            on_steps=on_steps,
        )

    def tour(state: State, number: int) -> tuple[State, list[Record]]:
        weights, records = serial.tour(engine, state.weights, number, recipe.serial, recipe.seed)
        return replace(state, weights=weights), records

    def fl_round(state: State, number: int) -> tuple[State, list[Record]]:
        weights, records, memory = parallel.fl_round(
            engine, state.weights, number, chosen, recipe.parallel, recipe.seed, state.memory, root, ask
        )
        return replace(state, weights=weights, memory=memory), records

    tours = [Round("serial", i, partial(tour, number=i)) for i in range(1, recipe.serial.rounds + 1)]
    rounds = [Round("parallel", i, partial(fl_round, number=i)) for i in range(1, recipe.parallel.rounds + 1)]
    return tours + rounds


def rounds(plan: list[Round], state: State) -> Iterator[tuple[Round, State, list[Record]]]:
    """Runs what is left of a plan, and yields the state after each round."""
    for i, round_ in enumerate(plan[state.done :], state.done + 1):
        state, records = round_.run(state)
        state = replace(state, done=i)
        if i == len(plan) or plan[i].phase != round_.phase:
            state = replace(state, stages={**state.stages, round_.phase: state.weights})
        yield round_, state, records


def fed_meta_align(task: Task) -> Outcome:
    """Runs phases 1 to 3 from the common start."""
    members = [Participant(task.recipe, device, on_steps=task.ledger.add_steps) for device in task.members]
    engine = LocalEngine(members, workers=1)
    network = Network(task.recipe.model.inputs, task.recipe.model.hidden)
    plan = federation(task.recipe, engine, task.public, task.ledger.add_steps)
    weights, history = task.start, []
    stages: dict[str, Milestone] = {}
    for round_, state, records in rounds(plan, State(task.start)):
        weights = state.weights
        check_finite(weights)
        if round_.phase == "parallel":
            task.ledger.bytes += len(records) * transport.round_bytes(network, task.recipe.transport)
        else:
            task.send(messages=2 * len(records))  # each device was sent the weights, and sent them on
        stages[STAGES[round_.phase]] = task.milestone(weights)
        history.append(weights)
    return personalized(task, weights, stages, history)

"""The server's side of a run: what the rounds of every method are given, and the state that they move on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedmetaalign.federation.engine import Engine
from fedmetaalign.federation.messages import Model, Vectors
from fedmetaalign.federation.records import Record
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.learner import Learner
from fedmetaalign.phases.budget import cohort_size
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe


@dataclass(frozen=True)
class Server:
    """What a server works with.

    Attributes:
        recipe: decides the rounds.
        engine: reaches the devices.
        learner: how the server itself trains.
        public: public samples; None where the recipe has none.
    """

    recipe: Recipe
    engine: Engine
    learner: Learner
    public: Part | None = None

    def cohort(self, number: int) -> tuple[str, ...]:
        """Returns the devices that take part in a round."""
        return cohort(self.engine.names, number, self.recipe.parallel.cohort, self.recipe.seed)


@dataclass(frozen=True)
class State:
    """Where the global model stands. It is all that resuming needs.

    Attributes:
        weights: (parameters,) float32.
        done: rounds finished, over all phases.
        stages: the global weights after each finished phase, by phase name.
        memory: what the server remembers from round to round: the aggregation rule's, its optimiser's and the
            method's own arrays, by name.
        model: what a method that ends in no bundle makes in the place of the weights. No checkpoint has it.
    """

    weights: np.ndarray
    done: int = 0
    stages: Mapping[str, np.ndarray] = field(default_factory=dict)
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: Model | None = None


@dataclass(frozen=True)
class Round:
    """One resumable step of a phase: `run` moves the state on, and returns the records of the round."""

    phase: str
    number: int
    run: Callable[[State], tuple[State, list[Record]]]


@dataclass(frozen=True)
class Final:
    """What some devices are sent in the end, to make their own.

    Attributes:
        names: the devices.
        weights: (parameters,) float32.
        stages: (parameters,) float32 by phase, the weights after it.
        vectors: what else the method sends.
        counts: of the devices' scores, see `Last`.
        group: that the devices are, from 1; None where the method divides nobody.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    stages: Mapping[str, np.ndarray]
    vectors: Vectors = field(default_factory=dict)
    counts: np.ndarray | None = None
    group: int | None = None


def dealt(
    finals: Sequence[Final], others: Sequence[str], families: Mapping[str, int]
) -> Iterator[tuple[Final, tuple[str, ...]]]:
    """Yields each final with the names of all devices that get it.

    Args:
        finals: of the devices that took part.
        others: those that did not: each gets the first final of its family, or else the first.
        families: of every device, by name.
    """
    theirs: list[list[str]] = [[] for _ in finals]
    for name in others:
        kin = {other for other, family in families.items() if family == families.get(name)}
        theirs[next((i for i, final in enumerate(finals) if kin.intersection(final.names)), 0)].append(name)
    for final, more in zip(finals, theirs, strict=True):
        yield final, (*final.names, *more)


def one_for_all(names: tuple[str, ...], state: State) -> list[Final]:
    """Sends every device the global model."""
    return [Final(names, state.weights, state.stages)]


def rounds(plan: Sequence[Round], state: State) -> Iterator[tuple[Round, State, list[Record]]]:
    """Runs what is left of a plan, and yields the state after each round."""
    for i, round_ in enumerate(plan[state.done :], state.done + 1):
        state, records = round_.run(state)
        state = replace(state, done=i)
        if i == len(plan) or plan[i].phase != round_.phase:
            state = replace(state, stages={**state.stages, round_.phase: state.weights})
        yield round_, state, records


def cohort(names: tuple[str, ...], number: int, share: float, seed: int) -> tuple[str, ...]:
    """Draws the devices of a round, C_r: a share of all, at least one, sorted by name."""
    size = cohort_size(share, len(names))
    chosen = generator(seed, "cohort", number).choice(len(names), size, replace=False)
    return tuple(names[i] for i in sorted(chosen))

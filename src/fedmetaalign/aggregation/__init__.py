"""Aggregation: what the devices of a round sent becomes one step of the global model.

An `Aggregator` takes the updates of a round one by one, so that one that can add them up need not keep them. A
rule that has to see all of them at once is a pure function from a `Cohort` to an `Aggregate`, which `stacked`
makes an aggregator of. None knows of data sets, networks or who carried the messages. What a rule remembers
from one round to the next it is handed in the first call and hands back in the aggregate.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.system.cores import memory_bytes

Partial = TypeVar("Partial")

Memory = Mapping[str, np.ndarray]
"""What a rule remembers, by a name of its choice; plain arrays, so that a checkpoint can hold it."""


@dataclass(frozen=True)
class Cohort:
    """What the devices of one round sent, in the order of their names.

    Attributes:
        deltas: (devices, parameters) float32, local weights minus the global weights they started from.
        query_scores: (devices,) float64 in (0, 1], s = 1 / (1 + query loss), as each device reports it.
        samples: (devices,) int64, samples that each device trained on.
        steps: (devices,) int64, optimiser steps that each delta took.
        names: of the devices; only rules that remember something of a device need them.
        root: (parameters,) float32, the server's own delta from the same global weights, trained on public
            data; None where the rule does not ask for it.
        memory: what the rule handed back after the round before, empty in the first.
    """

    deltas: np.ndarray
    query_scores: np.ndarray
    samples: np.ndarray
    steps: np.ndarray
    names: tuple[str, ...] = ()
    root: np.ndarray | None = None
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Aggregate:
    """What a rule makes of a cohort.

    Attributes:
        step: (parameters,) float64, to be added to the global weights times the server learning rate.
        weights: (devices,) float64, not negative: each device's share in the step. They sum to one, or are
            all zero where the rule follows nobody and the step is zero. Under a weighted mean the step is the
            sum of weight times delta; a rule that is none says in its docstring what its shares are.
        alignment: (devices,) float64 in [-1, 1], cosine of each delta with the rule's reference direction;
            None where the rule has none.
        memory: what the rule wants to be handed in the next round.
    """

    step: np.ndarray
    weights: np.ndarray
    alignment: np.ndarray | None = None
    memory: Memory = field(default_factory=dict)


Rule = Callable[[Cohort], Aggregate]


@dataclass(frozen=True)
class Contribution:
    """What one device of a round sent; see `Cohort`."""

    name: str
    delta: np.ndarray
    query_score: float
    samples: int
    steps: int


@dataclass(frozen=True)
class Aggregator(Generic[Partial]):
    """Makes one step of a round's updates.

    Attributes:
        init: from what was remembered of the round before, and the server's own delta where the rule asks for
            it, to what an empty round has added up.
        add: adds one device's contribution; the order is that of the names.
        finish: makes the step.
        again: is given each contribution a second time, in the same order, once all have been added; None of a
            rule that needs to see them once.
    """

    init: Callable[[Memory, np.ndarray | None], Partial]
    add: Callable[[Partial, Contribution], Partial]
    finish: Callable[[Partial], Aggregate]
    again: Callable[[Partial, Contribution], Partial] | None = None


_COPIES = 4  # as they came, side by side, and that in float64

_Round = tuple[Memory, np.ndarray | None, tuple[Contribution, ...]]


def stacked(rule: Rule) -> Aggregator[_Round]:
    """Returns the aggregator of a rule that needs all deltas at once."""

    def add(round_: _Round, sent: Contribution) -> _Round:
        memory, root, before = round_
        if (_COPIES * (len(before) + 1) * sent.delta.nbytes) > memory_bytes() / 2:
            raise RunError(
                f"The rule takes the deltas of all devices at once, and those of {len(before) + 1} would take"
                ' more than half of this machine\'s memory: use parallel.aggregation = "similarity" or "mean",'
                " which take one after the other, or a smaller parallel.cohort."
            )
        return memory, root, (*before, sent)

    def finish(round_: _Round) -> Aggregate:
        memory, root, sent = round_
        return rule(gathered(sent, memory, root))

    return Aggregator(
        init=lambda memory, root: (memory, root, ()),
        add=add,
        finish=finish,
    )


def gathered(sent: Sequence[Contribution], memory: Memory, root: np.ndarray | None) -> Cohort:
    """Returns a round's contributions as one cohort."""
    return Cohort(
        deltas=np.stack([each.delta for each in sent]),
        query_scores=np.array([each.query_score for each in sent]),
        samples=np.array([each.samples for each in sent]),
        steps=np.array([each.steps for each in sent]),
        names=tuple(each.name for each in sent),
        root=root,
        memory=memory,
    )


def aggregate(
    aggregator: Aggregator[Partial],
    sent: Iterable[Contribution],
    memory: Memory | None = None,
    root: np.ndarray | None = None,
) -> Aggregate:
    """Makes one step of what the devices of a round sent, at least one; it may be gone over twice.

    Raises:
        RunError: the rule, which may be another package's, gave something else.
    """
    partial, wanted = aggregator.init(memory or {}, root), ((), (0,))
    for devices, each in enumerate(sent, 1):
        partial = aggregator.add(partial, each)
        wanted = (each.delta.shape, (devices,))
    if aggregator.again is not None:
        for each in sent:
            partial = aggregator.again(partial, each)
    found = aggregator.finish(partial)
    if not isinstance(found, Aggregate) or (np.shape(found.step), np.shape(found.weights)) != wanted:
        raise RunError(
            f"The aggregation rule has to give an Aggregate, with a step of shape {wanted[0]} and weights of"
            f" shape {wanted[1]}, and gave something else: correct it, or choose another rule."
        )
    return found


def over(aggregator: Aggregator[Partial], cohort: Cohort) -> Aggregate:
    """Makes one step of a whole cohort: what a rule would return that sees all of it at once."""
    columns = (cohort.deltas, cohort.query_scores, cohort.samples, cohort.steps)
    names = cohort.names or ("",) * len(cohort.deltas)
    sent = [
        Contribution(name, delta, float(query_score), int(samples), int(steps))
        for name, delta, query_score, samples, steps in zip(names, *columns, strict=True)
    ]
    return aggregate(aggregator, sent, cohort.memory, cohort.root)

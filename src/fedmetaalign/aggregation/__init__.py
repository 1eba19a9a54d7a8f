"""Aggregation: what the devices of a round sent becomes one step of the global model.

A rule is a pure function from a `Cohort` to an `Aggregate`. It knows nothing of data sets, networks or who
carried the messages. What a rule remembers from one round to the next it is handed in the cohort and hands back
in the aggregate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Memory = Mapping[str, np.ndarray]
"""What a rule remembers, by a name of its choice; plain arrays, so that a checkpoint can hold it."""


@dataclass(frozen=True)
class Cohort:
    """What the devices of one round sent, in the order of their names.

    Attributes:
        deltas: (devices, parameters) float32, local weights minus the global weights they started from.
        scores: (devices,) float64 in (0, 1], s = 1 / (1 + query loss), as each device reports it.
        samples: (devices,) int64, samples that each device trained on.
        steps: (devices,) int64, optimiser steps that each delta took.
        names: of the devices; only rules that remember something of a device need them.
        root: (parameters,) float32, the server's own delta from the same global weights, trained on public
            data; None where the rule does not ask for it.
        memory: what the rule handed back after the round before, empty in the first.
    """

    deltas: np.ndarray
    scores: np.ndarray
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

"""The server's part of most methods: tours, and rounds of local training and aggregation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from fedmetaalign.aggregation import Aggregator, aggregate
from fedmetaalign.aggregation.mean import MEAN
from fedmetaalign.federation.messages import Update, Vectors
from fedmetaalign.federation.records import Record
from fedmetaalign.phases.budget import exchanges
from fedmetaalign.phases.parallel import Sent, broadcast, records_of
from fedmetaalign.phases.serial import moved, tour_devices
from fedmetaalign.phases.server import Round, Server, State
from fedmetaalign.randomness import generator

OPTIMIZER = "optimizer."
"""What the names of the server optimiser's arrays begin with in the state's memory."""


def parallel_rounds(
    aggregator: Aggregator[Any] = MEAN,
    optimizer: optax.GradientTransformation | None = None,
    after_tours: Callable[[Server], int] = lambda server: 0,
) -> Callable[[Server], list[Round]]:
    """Returns what lists the rounds of a method that only exchanges weights.

    Args:
        aggregator: makes one step of the devices' deltas.
        optimizer: what the server makes of that step; see `exchange_round`.
        after_tours: how many of the rounds were tours.
    """

    def rounds(server: Server) -> list[Round]:
        first = after_tours(server)
        return [
            Round(
                "parallel",
                number - first,
                partial(_plain_round, server, number, aggregator, optimizer, first),
            )
            for number in range(first + 1, exchanges(server.recipe) + 1)
        ]

    return rounds


def _plain_round(
    server: Server,
    number: int,
    aggregator: Aggregator[Any],
    optimizer: optax.GradientTransformation | None,
    first: int,
    state: State,
) -> tuple[State, list[Record]]:
    state, _, records = exchange_round(server, state, number, aggregator, optimizer, first=first)
    return state, records


def exchange_round(
    server: Server,
    state: State,
    number: int,
    aggregator: Aggregator[Any] = MEAN,
    optimizer: optax.GradientTransformation | None = None,
    vectors: Vectors | None = None,
    first: int = 0,
) -> tuple[State, Mapping[str, Update], list[Record]]:
    """Sends the global weights, and moves them by what comes back.

    Args:
        server: reaches the devices.
        state: has the global weights.
        number: the round, over all phases of the method.
        aggregator: makes one step of the devices' deltas.
        optimizer: what the server's optimiser makes of that step, whose negative it takes for a gradient (Reddi
            et al., 2021, Algorithm 1); by default the step is taken as it is.
        vectors: what else is sent.
        first: rounds of the phases before, which the records do not count.

    Returns:
        The state after the round, the devices' updates, and the round's records.
    """
    updates, failed = broadcast(server, state.weights, number, vectors, first)
    found = aggregate(aggregator, Sent(updates))
    optimizer = optimizer or optax.sgd(1.0)
    gradient = (-found.step).astype(np.float32)
    update, inner = optimizer.update(gradient, _restored(optimizer, state), state.weights)
    weights = np.asarray(optax.apply_updates(state.weights, update))
    kept = {f"{OPTIMIZER}{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(inner))}
    state = replace(state, weights=weights, memory={**state.memory, **kept})
    return state, updates, records_of(number - first, updates, found) + failed


def _restored(optimizer: optax.GradientTransformation, state: State) -> optax.OptState:
    """Returns the optimiser's state of the round before, or the one that it begins with."""
    leaves, structure = jax.tree.flatten(optimizer.init(state.weights))
    return jax.tree.unflatten(
        structure, [state.memory.get(f"{OPTIMIZER}{i}", leaf) for i, leaf in enumerate(leaves)]
    )


def tour_rounds(server: Server, count: int, eps: Callable[[int], float] = lambda number: 1.0) -> list[Round]:
    """Lists rounds in which the weights tour the devices one after the other, in a fresh random order.

    Args:
        server: reaches the devices.
        count: rounds.
        eps: by round, the share of the way to each device's weights that they go.
    """
    return [
        Round("serial", number, partial(_tour, server, number, eps(number))) for number in range(1, count + 1)
    ]


def _tour(server: Server, number: int, eps: float, state: State) -> tuple[State, list[Record]]:
    names = server.cohort(number)
    order = generator(server.recipe.seed, "order", "tour", number).permutation(len(names))
    weights, records = tour_devices(
        server,
        state.weights,
        number,
        number,
        [names[i] for i in order],
        lambda before, after: before + eps * (after - before),
    )
    return moved(state, weights, number, records), records

"""Phase 1: serial meta-initialisation (the paper's Algorithm 2)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fedmetaalign.federation.messages import Local, Visit
from fedmetaalign.federation.records import Record, RoundError, record, why
from fedmetaalign.phases.budget import cosine
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server, State
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Serial

Move = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the weights before a device and those that it hands back to the weights that the tour goes on with."""


def visit(client: Client, request: Visit) -> Local:
    """The device's step: trains w on S_t,p1 for E_serial epochs and evaluates it on Q_t,p1.

    D_t,p1 is split into the two once, before the first round (`fleet.splits`).
    """
    part = client.device.parts["serial"]
    trained = client.learner.train(
        request.weights,
        part.support,
        *("serial", request.tour, client.name),
        epochs=client.recipe.serial.epochs,
        learning_rate=request.rate * client.recipe.optimizer.learning_rate,
    )
    query_loss, accuracy = client.learner.evaluate(trained.weights, part.query)
    return Local(trained.weights, trained.loss, query_loss, accuracy, len(part.support))


def serial_round(server: Server, state: State, number: int) -> tuple[State, list[Record]]:
    """One round r: the weights tour all devices in a fresh random order, from one to the next.

    Args:
        server: reaches the devices.
        state: has the weights.
        number: the round, from 1.

    Returns:
        The state with the weights that the last device hands back, and one record a visit, in the order of the
        visits; a tour goes on without a device that does not answer.

    Raises:
        RoundError: no device answered.
    """
    settings, names = server.recipe.serial, server.engine.names
    weights, records = state.weights, []
    for tour in range((number - 1) * settings.tours + 1, number * settings.tours + 1):
        order = generator(server.recipe.seed, "order", "serial", tour).permutation(len(names))
        rate = decayed(settings, tour)
        weights, seen = tour_devices(server, weights, number, tour, [names[i] for i in order], rate=rate)
        records += seen
    return moved(state, weights, number, records), records


def tour_devices(
    server: Server,
    weights: np.ndarray,
    number: int,
    tour: int,
    names: Sequence[str],
    move: Move = lambda before, after: after,
    rate: float = 1.0,
) -> tuple[np.ndarray, list[Record]]:
    """Takes the weights from device to device, each of which trains them.

    Args:
        server: reaches the devices.
        weights: (parameters,) float32.
        number: the round.
        tour: numbers the tours over all rounds.
        names: whom, in this order.
        move: where the weights go after each device; by default to those that it hands back.
        rate: share of the learning rate that the devices train with.
    """
    records: list[Record] = []
    for name in names:
        replies = server.engine.exchange([name], Visit(weights, number, len(server.engine.names), tour, rate))
        records += replies.failed_records(1, number)
        if name not in replies.answers:
            continue
        local = replies.answers[name]
        weights = move(weights, local.weights)
        records.append(
            record(
                1,
                number,
                name,
                support_loss=local.support_loss,
                query_loss=local.query_loss,
                accuracy=local.accuracy,
            )
        )
    return weights, records


def decayed(settings: Serial, tour: int) -> float:
    """Returns the share of the learning rate that a tour trains with.

    With `decay = "cosine"` it falls: a tour ends nearest to the device that it visits last, and a small last
    step leaves none of them ahead of the others.

    Args:
        settings: say how many tours there are, and whether the rate decays.
        tour: from 1.
    """
    tours = settings.rounds * settings.tours
    return 1.0 if settings.decay == "none" else cosine(tour - 1, tours, 0.05)


def moved(state: State, weights: np.ndarray, number: int, records: Sequence[Record]) -> State:
    """Returns the state after a round of tours.

    Raises:
        RoundError: no device answered.
    """
    if not any("support_loss" in each for each in records):
        raise RoundError(
            f"In serial round {number} no device gave a sound answer{why(records)}: see to them, then use"
            " --resume.",
            records,
        )
    return replace(state, weights=weights)

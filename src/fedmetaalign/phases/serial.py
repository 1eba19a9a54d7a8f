"""Phase 1: serial meta-initialisation (the paper's Algorithm 2), perhaps on several tours side by side.

One tour takes as many hops as there are devices, one after the other. With `serial.parallel_tours` = G a pass
is cut into G tours of about as many devices, drawn anew each pass, which begin with the same weights; the pass
ends with the mean of what they come to, weighted by the devices that answered. G = 1 is the paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Generic, TypeVar

import numpy as np

from fedmetaalign.errors import RecipeError
from fedmetaalign.federation.engine import Engine
from fedmetaalign.federation.messages import Local, Visit
from fedmetaalign.federation.records import Record, RoundError, record, why
from fedmetaalign.phases.budget import cosine
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server, State
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Serial

Move = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the weights before a device and those that it hands back to the weights that the tour goes on with."""

Carried = TypeVar("Carried")

DEVICES_A_TOUR = 10
"""What `parallel_tours = "auto"` gives a tour, at least; docs/benchmarks.md has what was measured."""


@dataclass
class Tour(Generic[Carried]):
    """One tour on its way.

    Attributes:
        names: the devices, in the order of the visits.
        carried: what it hands to the next of them.
        records: of the visits so far, and of those that did not answer.
        answers: how many did.
    """

    names: Sequence[str]
    carried: Carried
    records: list[Record] = field(default_factory=list)
    answers: int = 0


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
        RecipeError: more tours are asked for than there are devices.
    """
    settings, names = server.recipe.serial, server.engine.names
    check_tours(settings, len(names))
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
    """Takes the weights from device to device, each of which trains them, on one tour or on several.

    Args:
        server: reaches the devices.
        weights: (parameters,) float32.
        number: the round.
        tour: numbers the tours over all rounds.
        names: whom, in this order.
        move: where the weights go after each device; by default to those that it hands back.
        rate: share of the learning rate that the devices train with.
    """
    tours = [Tour(route, weights) for route in cut(names, server.recipe.serial)]
    go(
        server.engine,
        tours,
        number,
        lambda at: Visit(at, number, len(server.engine.names), tour, rate),
        lambda at, local: move(at, local.weights),
    )
    return mean([(each.carried, each.answers) for each in tours]), [r for each in tours for r in each.records]


def cut(names: Sequence[str], settings: Serial) -> list[list[str]]:
    """Cuts a pass over devices into the tours that go side by side, which differ by one device at most."""
    count = min(parallel_tours(settings, len(names)), len(names)) or 1
    return [[names[i] for i in part] for part in np.array_split(np.arange(len(names)), count)]


def parallel_tours(settings: Serial, devices: int) -> int:
    """Returns how many tours go side by side on so many devices."""
    if settings.parallel_tours == "auto":
        return max(1, devices // DEVICES_A_TOUR)
    return settings.parallel_tours


def check_tours(settings: Serial, devices: int) -> None:
    """Raises a RecipeError where more tours are asked for than there are devices."""
    if settings.rounds and parallel_tours(settings, devices) > max(1, devices):
        raise RecipeError(
            f"serial.parallel_tours = {settings.parallel_tours}, and the fleet has {devices} devices: ask for"
            " no more tours than devices"
        )


def go(
    engine: Engine,
    tours: Sequence[Tour[Carried]],
    number: int,
    request: Callable[[Carried], Visit],
    move: Callable[[Carried, Local], Carried],
    refuse: Callable[[Carried, Local], str] = lambda carried, local: "",
) -> None:
    """Takes tours to their ends, each a device further at a time; a tour goes on without who does not answer.

    Args:
        engine: reaches the devices, each of which is on one tour.
        tours: are changed.
        number: the round.
        request: what a device is asked, by what its tour carries.
        move: what the tour carries after the device's answer.
        refuse: why the answer is no use, if it is none.
    """
    for step in zip_longest(*(tour.names for tour in tours)):
        at = {name: tour for name, tour in zip(step, tours, strict=True) if name is not None}
        requests = {name: request(tour.carried) for name, tour in at.items()}
        replies = engine.exchange_each(requests)
        for failed in replies.failed_records(1, number):
            at.get(str(failed["device"]), tours[0]).records.append(failed)
        for name, tour in at.items():
            if name not in replies.answers:
                continue
            local = replies.answers[name]
            if reason := refuse(tour.carried, local):
                tour.records.append(record(1, number, name, rejected=reason))
                continue
            tour.carried = move(tour.carried, local)
            said = {"support_loss": local.support_loss, "query_loss": local.query_loss}
            tour.records.append(record(1, number, name, **said, accuracy=local.accuracy))
            tour.answers += 1


def mean(ends: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Returns the mean of the weights that tours come to, weighted by the devices that answered: float32.

    Of a single tour they are returned as they are, and likewise where nobody answered.
    """
    if len(ends) == 1 or not any(answers for _, answers in ends):
        return ends[0][0]
    weights, answers = zip(*ends, strict=True)
    return np.average(np.stack(weights), axis=0, weights=answers).astype(np.float32)


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

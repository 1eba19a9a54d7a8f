"""The rounds of the paper's phases 0 to 2 in order: the loops over r of Algorithms 1 to 3."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fedmetaalign.aggregation import Aggregator
from fedmetaalign.aggregation.registry import aggregator
from fedmetaalign.federation.records import Record
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.phases.asynchronous import buffered_round
from fedmetaalign.phases.budget import participation
from fedmetaalign.phases.foundation import pretrain
from fedmetaalign.phases.parallel import fl_round, root_size
from fedmetaalign.phases.serial import serial_round
from fedmetaalign.phases.server import Round, Server, State, cohort
from fedmetaalign.recipe import Recipe


def pretraining(server: Server) -> list[Round]:
    """Lists the one round of phase 0, or none without public data; it is the same for every method."""
    return [] if server.public is None else [Round("foundation", 1, partial(_pretrain, server))]


def federation(server: Server) -> list[Round]:
    """Lists the rounds of phases 1 and 2, which may start from any weights."""
    serial, parallel = server.recipe.serial, server.recipe.parallel
    rule: Aggregator[object] = aggregator(parallel)
    one_round = fl_round if parallel.asynchronous is None else buffered_round
    return [
        *(Round("serial", r, partial(serial_round, server, number=r)) for r in range(1, serial.rounds + 1)),
        *(
            Round("parallel", r, partial(one_round, server, number=r, aggregator=rule))
            for r in range(1, parallel.rounds + 1)
        ),
    ]


def round_steps(recipe: Recipe, devices: Sequence[Device], public: Part | None, round_: Round) -> int:
    """Returns how many gradient steps a round of phases 0 to 2 takes, over all devices and the server."""
    if round_.phase == "foundation":
        return recipe.foundation.epochs * len(public.support) if public else 0
    if round_.phase == "serial":
        passes, taking_part = recipe.serial.tours * recipe.serial.epochs, devices
    else:
        passes, wanted = recipe.parallel.epochs, recipe.parallel.asynchronous
        if wanted is not None:  # about: who it will be is not known yet
            samples = [len(device.parts["parallel"].support) for device in devices]
            return round(passes * sum(samples) * participation(recipe, len(devices)))
        names = tuple(device.name for device in devices)
        chosen = cohort(names, round_.number, recipe.parallel.cohort, recipe.seed)
        taking_part = [device for device in devices if device.name in chosen]
    samples = [len(device.parts[round_.phase].support) for device in taking_part]
    if round_.phase == "parallel" and recipe.parallel.needs_root and public:
        samples.append(min(root_size(samples), len(public.support)))
    return passes * sum(samples)


def _pretrain(server: Server, state: State) -> tuple[State, list[Record]]:
    assert server.public is not None  # noqa: S101 - else the round is not in the plan
    weights, records = pretrain(server.learner, state.weights, server.public, server.recipe.foundation)
    return replace(state, weights=weights), records

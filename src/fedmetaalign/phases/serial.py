"""Phase 1: serial meta-initialisation (the paper's Algorithm 2)."""

from collections.abc import Callable

import numpy as np

from fedmetaalign.engine import Engine
from fedmetaalign.engine.messages import Visit
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases.local import Local, train_locally
from fedmetaalign.phases.records import Record, RoundError, record
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Optimizer, Serial


def visit(
    network: Network,
    device: Device,
    weights: np.ndarray,
    stop: int,
    settings: Serial,
    optimizer: Optimizer,
    seed: int,
    on_steps: Callable[[int], None] = ignore_steps,
) -> Local:
    """The device's step: trains w on S_t,p1 for E_serial epochs and evaluates it on Q_t,p1."""
    random = generator(seed, "stream", "serial", stop, device.name)
    return train_locally(network, weights, device.parts["serial"], optimizer, settings.epochs, random, on_steps)


def tour(
    engine: Engine, weights: np.ndarray, number: int, settings: Serial, seed: int
) -> tuple[np.ndarray, list[Record]]:
    """One round: the weights tour all devices in a fresh random order, from one to the next.

    Args:
        engine: reaches the devices.
        weights: (parameters,) float32.
        number: the round, from 1.
        settings: the recipe's section.
        seed: the recipe's seed.

    Returns:
        The weights that the last device hands back, and one record a visit, in the order of the visits; the
        tour goes on without a device that does not answer.

    Raises:
        RoundError: no device answered.
    """
    names, answered, why = engine.names, 0, ""
    records: list[Record] = []
    for stop in range((number - 1) * settings.tours + 1, number * settings.tours + 1):
        for i in generator(seed, "order", "serial", stop).permutation(len(names)):
            name = names[i]
            replies = engine.exchange([name], Visit(weights, number, stop))
            records += replies.misses(1, number)
            if name not in replies.answers:
                why = why or replies.why
                continue
            local = replies.answers[name]
            weights, answered = local.weights, answered + 1
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
    if not answered:
        raise RoundError(
            f"In serial round {number} no device gave a sound answer{why}: see to them, then use --resume.",
            records,
        )
    return weights, records

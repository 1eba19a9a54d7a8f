"""SCAFFOLD (Karimireddy et al., 2020): local gradients are corrected for the drift of their device.

    device:  w_k <- w_k - eta (g_k(w_k) + c - c_k),  from w_k = w
             c_k <- mean of the g_k met on the way
    server:  w   <- w + sum_k  n_k / n  (w_k - w)    over the devices of the round
             c   <- sum_k  n_k / n  c_k              over all devices

For plain gradient descent that mean is their option II, c_k - c + (w - w_k) / (K eta) after K steps. Our local
solver is Adam, whose steps do not add up to gradients, so the mean itself is taken. They weigh all devices
alike; we weigh models and controls by samples, so that the objective is FedAvg's. Controls double the bytes.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from fedmetaalign.federation.messages import Train, Update
from fedmetaalign.federation.records import Record
from fedmetaalign.methods._device import train, update
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import exchange_round
from fedmetaalign.model.objective import Objective
from fedmetaalign.phases.budget import exchanges
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Round, Server, State

CONTROL = "control"
"""c on its way to a device and c_k on its way back; c_k in the device's memory."""
CONTROLS, SAMPLES = "control.", "samples."
"""What the names of c_k and n_k begin with in the server's memory, of the devices that have answered once."""


def rounds(server: Server) -> list[Round]:
    """Lists the rounds."""
    count = exchanges(server.recipe)
    return [Round("parallel", i, partial(corrected_round, server, i)) for i in range(1, count + 1)]


def corrected_round(server: Server, number: int, state: State) -> tuple[State, list[Record]]:
    """Sends the weights and c, and keeps what comes back of both."""
    vectors = {CONTROL: server_control(state, len(server.engine.names))}
    state, updates, records = exchange_round(server, state, number, vectors=vectors)
    kept = {f"{CONTROLS}{name}": each.vectors[CONTROL] for name, each in updates.items()}
    kept |= {f"{SAMPLES}{name}": np.array([each.samples]) for name, each in updates.items()}
    return replace(state, memory={**state.memory, **kept}), records


def server_control(state: State, devices: int) -> np.ndarray:
    """Returns c, (parameters,) float32: c_k is zero of who has not answered yet, and n_k that of the mean."""
    names = [name.removeprefix(CONTROLS) for name in sorted(state.memory) if name.startswith(CONTROLS)]
    if not names:
        return np.zeros_like(state.weights)
    controls = [state.memory[f"{CONTROLS}{name}"] for name in names]
    samples = [int(state.memory[f"{SAMPLES}{name}"][0]) for name in names]
    mean = np.average(controls, axis=0, weights=samples)
    return np.asarray(mean * (len(names) / devices), np.float32)


def local(client: Client, request: Train) -> Update:
    """Trains with the correction, and renews the device's control."""
    own = client.memory.before(CONTROL, request.number)
    correction = request.vectors[CONTROL] - (0 if own is None else own)
    trained = train(
        client,
        request.weights,
        client.stream(request),
        "shared",
        request.number,
        objective=Objective.corrected(correction),
        keep_gradient=True,
    )
    assert trained.gradient is not None  # noqa: S101 - it was asked for
    client.memory.keep(CONTROL, request.number, trained.gradient)
    return update(client, request, trained, {CONTROL: trained.gradient})


METHOD = Method(rounds, local=local, remembers=True)

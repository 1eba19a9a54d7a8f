"""SCAFFOLD (Karimireddy et al., 2020): local gradients are corrected for the drift of their device.

    device:  w_k <- w_k - eta (g_k(w_k) + c - c_k),  from w_k = w
             c_k <- mean of the g_k met on the way
    server:  w   <- w + sum_k  n_k / n  (w_k - w)    over the devices of the round
             c   <- sum_k  n_k / n  c_k              over all members

For plain gradient descent that mean is their option II, c_k - c + (w - w_k) / (K eta) after K steps. Our local
solver is Adam, whose steps do not add up to gradients, so the mean itself is taken. They weigh all devices
alike; we weigh models and controls by samples, so that the objective is FedAvg's. Controls double the bytes.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._federated import fine_tuned, rounds
from fedmetaalign.methods._task import Outcome, Task
from fedmetaalign.model.objective import Objective


def scaffold(task: Task) -> Outcome:
    """Runs SCAFFOLD, then fine-tunes on every device."""
    return fine_tuned(task, _rounds(task))


def _rounds(task: Task) -> Iterator[np.ndarray]:
    weights = task.start
    controls = {device.name: np.zeros_like(weights) for device in task.members}
    samples = [len(device.own.support) for device in task.members]
    for number in range(1, task.rounds + 1):
        server = np.average(list(controls.values()), axis=0, weights=samples)
        local = partial(_local, server, controls)
        # Two vectors a message: weights and c down, the changes of both up.
        [weights] = rounds(task, weights, local=local, numbers=[number], vectors=2)
        yield weights


def _local(
    server: np.ndarray,
    controls: dict[str, np.ndarray],
    task: Task,
    device: Device,
    weights: np.ndarray,
    number: int,
) -> np.ndarray:
    """Trains with the correction, and renews the device's control."""
    trained = task.train(
        weights,
        task.stream(device, number),
        "shared",
        number,
        device.name,
        objective=Objective.corrected(server - controls[device.name]),
        keep_gradient=True,
    )
    assert trained.gradient is not None  # noqa: S101 - it was asked for
    controls[device.name] = trained.gradient
    return trained.weights

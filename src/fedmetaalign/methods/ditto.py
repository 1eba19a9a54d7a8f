"""Ditto (Li et al., 2021, "Ditto: Fair and Robust Federated Learning Through Personalization", Algorithm 1).

Every device trains FedAvg's w, and beside it a model of its own that is held near w:

    v_k  <-  v_k - eta (grad L_k(v_k) + lambda (v_k - w))

The steps of a round are halved: w and v_k each see half of the round's samples, the same ones. Those of phase 3
train v_k beside the final w. A newcomer's v_k starts at that.
"""

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._federated import finish, minimising, rounds
from fedmetaalign.methods._task import Outcome, Task
from fedmetaalign.model.objective import LOSS, Objective

LAMBDA = 1.0
"""The paper's choice where nobody attacks and validation samples are few (its appendix on the experiments)."""

shared = minimising(lambda weights: LOSS, share=0.5)


def ditto(task: Task) -> Outcome:
    """Runs FedAvg, and trains every device's own model beside it."""
    own: dict[str, np.ndarray] = {}

    def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
        near = Objective.proximal(weights, LAMBDA)
        samples = task.stream(device, number, share=0.5)
        begin = own.get(device.name, weights)
        own[device.name] = task.train(begin, samples, "own", number, device.name, objective=near).weights
        return shared(task, device, weights, number)

    weights = finish(task, rounds(task, task.start, local=local))
    near = Objective.proximal(weights, LAMBDA)
    for device in task.devices:
        begin = own.get(device.name, weights)
        rate, samples = task.recipe.personalize.learning_rate, task.own_stream(device)
        trained = task.train(begin, samples, "last", device.name, objective=near, learning_rate=rate)
        own[device.name] = trained.weights
    return Outcome({device.name: task.model(task.own(device, own[device.name])) for device in task.devices})

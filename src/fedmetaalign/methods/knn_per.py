"""kNN-Per (Marfoq et al., 2022, "Personalized Federated Learning through Local Memorization").

FedAvg's model p_w, and beside it on every device a memory of its own training samples, in which the k nearest
to a sample x vote, the nearer the louder; phi is what the last layer of the global network is given:

    p_knn(x)  =  sum_i  y_i exp(-|phi(x) - phi(x_i)|)  /  sum_i  exp(-|phi(x) - phi(x_i)|)
    p(x)      =  lambda_k p_knn(x) + (1 - lambda_k) p_w(x)

lambda_k is the share with the least Brier score on the device's validation part. Nothing is trained after the
rounds, so these spend the steps of phase 3 as well; a newcomer takes none.
"""

from functools import partial

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._federated import finish, rounds
from fedmetaalign.methods._task import Model, Outcome, Task

NEIGHBOURS = 10
"""k of the paper's experiments."""
SHARES = np.linspace(0, 1, 11)
"""The values of lambda to choose from."""


def knn_per(task: Task) -> Outcome:
    """Runs FedAvg, then gives every device a memory."""
    weights = finish(task, rounds(task, task.start, local=local))
    return Outcome({device.name: remembering(task, device, weights) for device in task.devices})


def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
    """Trains as FedAvg does, on as many samples more as phase 3 would take."""
    more = task.all_steps(device) / task.shared_steps(device)
    return task.train(weights, task.stream(device, number, more), "shared", number, device.name).weights


def remembering(task: Task, device: Device, weights: np.ndarray) -> Model:
    """Returns the global model mixed with what the device remembers."""
    features, scores = partial(task.learner.features, weights), partial(task.learner.scores, weights)
    known, validation = device.own.support, device.own.query
    # A tree looks each row up by itself; brute force does it by matrix products, whose last bits depend on the
    # rows beside.
    memory = KNeighborsRegressor(min(NEIGHBOURS, len(known)), weights=nearness, algorithm="kd_tree")
    memory.fit(features(known.x), known.y)

    def mixed(x: np.ndarray, share: float) -> np.ndarray:
        return np.asarray(share * memory.predict(features(x)) + (1 - share) * scores(x))

    def brier(share: float) -> float:
        return float(np.mean((mixed(validation.x, share) - validation.y) ** 2))

    own = partial(mixed, share=min(SHARES, key=brier))
    return Model(own, task.threshold(device, own).threshold)


def nearness(distances: np.ndarray) -> np.ndarray:
    """Returns exp(-distance), (rows, neighbours), but for a factor a row, without which all might be zero."""
    return np.asarray(np.exp(distances.min(axis=1, keepdims=True) - distances))

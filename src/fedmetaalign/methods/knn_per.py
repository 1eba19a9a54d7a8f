"""kNN-Per (Marfoq et al., 2022, "Personalized Federated Learning through Local Memorization").

FedAvg's model p_w, and beside it on every device a memory of its own training samples, in which the k nearest
to a sample x vote, the nearer the louder; phi is what the last layer of the global network is given:

    p_knn(x)  =  sum_i  y_i exp(-|phi(x) - phi(x_i)|)  /  sum_i  exp(-|phi(x) - phi(x_i)|)
    p(x)      =  lambda_k p_knn(x) + (1 - lambda_k) p_w(x)

lambda_k is the share with the least Brier score on the device's validation part. Nothing is trained after the
rounds, so these spend the steps of phase 3 as well; an unseen device takes none.
"""

from functools import partial
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from fedmetaalign.evaluation.metrics import brier, one_hot
from fedmetaalign.federation.messages import Last, Personal, Train, Update
from fedmetaalign.methods._device import train, update
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.phases.budget import shared_steps
from fedmetaalign.phases.client import Client

NEIGHBOURS = 10
"""k of the paper's experiments."""
SHARES = np.linspace(0, 1, 11)
"""The values of lambda to choose from."""


def local(client: Client, request: Train) -> Update:
    """Trains as FedAvg does, on as many samples more as phase 3 would take."""
    own = shared_steps(client.recipe, client.device, request.devices)
    samples = client.stream(request, client.all_steps(request.devices) / own)
    return update(client, request, train(client, request.weights, samples, "shared", request.number))


def remembering(client: Client, request: Last[Any]) -> Personal:
    """Returns the global model mixed with what the device remembers."""
    features = partial(client.learner.features, request.weights)
    probabilities = partial(client.learner.probabilities, request.weights)
    known, validation = client.device.own.support, client.device.own.query
    # A tree looks each row up by itself; brute force does it by matrix products, whose last bits depend on the
    # rows beside.
    memory = KNeighborsRegressor(min(NEIGHBOURS, len(known)), weights=nearness, algorithm="kd_tree")
    memory.fit(features(known.x), one_hot(known.y, client.learner.target))

    def mixed(x: np.ndarray, share: float) -> np.ndarray:
        return np.asarray(share * memory.predict(features(x)) + (1 - share) * probabilities(x))

    def error(share: float) -> float:
        return brier(mixed(validation.x, share), validation.y, client.learner.target)

    own = partial(mixed, share=min(SHARES, key=error))
    return Personal(own, client.threshold(own))


def nearness(distances: np.ndarray) -> np.ndarray:
    """Returns exp(-distance), (rows, neighbours), but for a factor a row, without which all might be zero."""
    return np.asarray(np.exp(distances.min(axis=1, keepdims=True) - distances))


METHOD = Method(
    parallel_rounds(),
    local=local,
    personal=remembering,
    one_model=False,
    no_bundle="knn_per answers with the device's training samples beside the network, and a bundle holds none:"
    " compare it, or run another method.",
)

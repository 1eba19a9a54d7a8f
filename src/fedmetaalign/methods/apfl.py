"""APFL (Deng et al., 2020, "Adaptive Personalized Federated Learning", Algorithm 1).

A device's model is a mixture of its own weights and the global ones, m_k = alpha_k v_k + (1 - alpha_k) w:

    w        by FedAvg
    v_k      <-  v_k - eta grad_v L_k(m_k)
    alpha_k  <-  alpha_k - eta_alpha <v_k - w, grad L_k(m_k)>,  kept within [0, 1]    (equation 10)

As in the authors' code, alpha_k moves once a round; here by the mean gradient that v_k met on its way. The w in
the mixture is the round's global one, which is also what the final mixture is made with.

The steps of a round are halved: w and v_k each see half of the round's samples, the same ones. Those of phase 3
train v_k beside the final w, with alpha_k as it is. An unseen device's v_k starts at that w.
"""

from typing import Any

import numpy as np

from fedmetaalign.federation.messages import Last, Personal, Request, Train, Update
from fedmetaalign.methods._device import minimising, own_model, train
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.model.objective import Objective
from fedmetaalign.model.online import Samples, Trained
from fedmetaalign.phases.client import Client

ALPHA = 0.5
"""Where alpha starts, as in the authors' code (FedTorch)."""
ALPHA_RATE = 0.1
"""eta_alpha. The paper takes the learning rate of its plain gradient descent, 0.1; Adam's is another thing."""
OWN, SHARE = "own", "alpha"
"""v and alpha in the device's memory."""

shared = minimising(share=0.5)


def local(client: Client, request: Train) -> Update:
    """Trains the device's part of the mixture beside FedAvg's weights."""
    own, alpha = remembered(client, request, request.number)
    samples = client.stream(request, share=0.5)
    trained, alpha = train_mixed(client, own, alpha, request.weights, samples, "own", request.number)
    client.memory.keep(OWN, request.number, trained.weights)
    client.memory.keep(SHARE, request.number, np.array([alpha]))
    return shared(client, request)


def personal(client: Client, request: Last[Any]) -> Personal:
    """Trains v once more beside the final global weights, and mixes them."""
    own, alpha = remembered(client, request)
    rate = client.recipe.personalize.learning_rate
    trained, _ = train_mixed(
        client, own, alpha, request.weights, client.own_stream(), "last", learning_rate=rate
    )
    return own_model(client, trained._replace(weights=mixture(alpha, trained.weights, request.weights)))


def mixture(alpha: float, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the model that the device's own weights make with the global ones, (parameters,) float32."""
    return np.asarray(alpha * own + (1 - alpha) * others, np.float32)


def remembered(client: Client, request: Request[Any], number: int | None = None) -> tuple[np.ndarray, float]:
    """Returns v and alpha before a round, or last of all; v starts at the global weights."""
    own, alpha = client.memory.before(OWN, number), client.memory.before(SHARE, number)
    if own is None or alpha is None:
        return request.weights, ALPHA
    return own, float(alpha[0])


def train_mixed(
    client: Client,
    own: np.ndarray,
    alpha: float,
    weights: np.ndarray,
    samples: Samples,
    *address: str | int,
    learning_rate: float | None = None,
) -> tuple[Trained, float]:
    """Trains v in the mixture, then moves alpha.

    Args:
        client: the device.
        own: v, (parameters,) float32.
        alpha: in [0, 1].
        weights: (parameters,) float32, the global ones.
        samples: what to train on.
        *address: of the random order.
        learning_rate: by default the learner's.
    """
    mixed = Objective.mixed(alpha, weights)
    end = train(
        client, own, samples, *address, objective=mixed, keep_gradient=True, learning_rate=learning_rate
    )
    slope = np.vdot(end.weights - weights, np.asarray(end.gradient))
    return end, float(np.clip(alpha - ALPHA_RATE * slope, 0, 1))


METHOD = Method(parallel_rounds(), local=local, personal=personal, remembers=True, one_model=False)

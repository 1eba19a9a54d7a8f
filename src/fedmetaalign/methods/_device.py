"""The device's part of most methods: one stretch of passes over its own samples, on some objective."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fedmetaalign.federation.messages import Last, Local, Personal, Train, Update, Vectors, Visit
from fedmetaalign.federation.records import record
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.model.online import ALL_LAYERS, Samples, Trained
from fedmetaalign.phases.client import Client, check_finite


def minimising(
    objective: Callable[[np.ndarray], Objective] = lambda weights: LOSS, share: float = 1.0
) -> Callable[[Client, Train], Update]:
    """Returns the usual part of a parallel round: a pass over its samples from the global weights on.

    Args:
        objective: what to minimise, given the global weights.
        share: of the round's samples, where the method has another use for the rest of the steps.
    """

    def local(client: Client, request: Train) -> Update:
        samples, goal = client.stream(request, share), objective(request.weights)
        trained = train(client, request.weights, samples, "shared", request.number, objective=goal)
        return update(client, request, trained)

    return local


plain = minimising()
"""Local training on the samples' loss alone."""


def plain_hop(client: Client, request: Visit) -> Local:
    """Returns the usual part of a tour: a pass over the round's samples from the weights handed over."""
    trained = train(client, request.weights, client.stream(request), "shared", request.number)
    query_loss, accuracy = client.learner.evaluate(trained.weights, client.device.own.query)
    return Local(trained.weights, trained.loss, query_loss, accuracy, len(client.device.own.support))


def train(
    client: Client,
    weights: np.ndarray,
    samples: Samples,
    *address: str | int,
    learning_rate: float | None = None,
    trainable: slice = ALL_LAYERS,
    objective: Objective = LOSS,
    keep_gradient: bool = False,
) -> Trained:
    """Passes once over the samples; the random order's address ends with the device. See `Learner.train`.

    Raises:
        DivergenceError: a weight has run away.
    """
    trained = client.learner.train(
        weights,
        samples,
        *address,
        client.name,
        learning_rate=learning_rate,
        trainable=trainable,
        objective=objective,
        keep_gradient=keep_gradient,
    )
    check_finite(trained.weights, f"on {client.name}")
    return trained


def update(client: Client, request: Train, trained: Trained, vectors: Vectors | None = None) -> Update:
    """Returns what a device sends after training: it counts with all its samples, and the round's steps."""
    query_loss, accuracy = client.learner.evaluate(trained.weights, client.device.own.query)
    return Update(
        delta=trained.weights - request.weights,
        query_score=1 / (1 + query_loss),
        samples=len(client.device.own.support),
        steps=len(client.stretch(request)),
        support_loss=trained.loss,
        query_loss=query_loss,
        accuracy=accuracy,
        vectors=vectors or {},
    )


def own_model(client: Client, trained: Trained) -> Personal:
    """Returns what a device has trained after the rounds as its own model, with a record of it."""
    own = client.own(trained.weights)
    query_loss, accuracy = client.learner.evaluate(trained.weights, client.device.own.query)
    seen = record(3, 1, client.name, support_loss=trained.loss, query_loss=query_loss, accuracy=accuracy)
    return replace(own, records=(seen,))


def as_it_is(client: Client, request: Last[Any]) -> Personal:
    """Takes the final weights as the device's own, with a threshold of its own."""
    return client.own(request.weights)

"""FedRep (Collins et al., 2021, "Exploiting Shared Representations for Personalized Federated Learning").

The network is a representation phi, which all share, and a head h_k, which never leaves its device:

    h_k    <-  argmin_h    L_k(phi, h)          with phi fixed
    phi_k  <-  argmin_phi  L_k(phi, h_k)        with h_k fixed
    phi    <-  sum_k  n_k / n  phi_k

phi is what phase 3 freezes, the first half of the layers, and all that travels. The steps of a round are
halved: the head and then the representation see half of the round's samples, the same ones. Phase 3 trains the
head once more. An unseen device trains the common start's head on the final representation.
"""

from typing import Any

import numpy as np

from fedmetaalign.federation.messages import Last, Personal, Train, Update
from fedmetaalign.methods._device import train, update
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.model.learner import Learner
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.personalize import fine_tune
from fedmetaalign.recipe import Recipe

HEAD = "head"
"""The weights whose head is the device's own, in its memory."""


def local(client: Client, request: Train) -> Update:
    """Trains the device's head, then the representation, each with the other fixed."""
    split = client.learner.split(client.recipe.personalize.freeze)
    samples, number = client.stream(request, share=0.5), request.number
    begin = joined(client, request.weights, client.memory.before(HEAD, number))
    own = train(client, begin, samples, "head", number, trainable=slice(split.body, None))
    client.memory.keep(HEAD, number, own.weights)
    end = train(client, own.weights, samples, "body", number, trainable=slice(split.body))
    shared = end._replace(weights=joined(client, end.weights, request.weights))
    return update(client, request, shared)


def personal(client: Client, request: Last[Any]) -> Personal:
    """Trains the device's head once more by phase 3; who has none yet begins with the common start's."""
    return fine_tune(client, joined(client, request.weights, client.memory.before(HEAD)))


def joined(client: Client, body: np.ndarray, head: np.ndarray | None) -> np.ndarray:
    """Returns the representation of some weights with the head of others, where there are any."""
    if head is None:
        return body
    cut = client.learner.split(client.recipe.personalize.freeze).parameters
    return np.concatenate([body[:cut], head[cut:]])


def lacking(recipe: Recipe) -> str:
    """Says so where phase 3 freezes no layer: then there is no representation to share."""
    freeze = recipe.personalize.freeze
    if int(freeze * recipe.model.layers):
        return ""
    return (
        f"fedrep shares the layers that phase 3 freezes, and personalize.freeze = {freeze:g} freezes none:"
        " raise it, give the network more layers, or leave fedrep out."
    )


def travels(learner: Learner, recipe: Recipe) -> int:
    """Returns how many parameters the representation has: the head never leaves its device."""
    return learner.split(recipe.personalize.freeze).parameters


METHOD = Method(
    parallel_rounds(),
    local=local,
    personal=personal,
    lacking=lacking,
    travels=travels,
    remembers=True,
    one_model=False,
)

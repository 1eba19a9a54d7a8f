"""Ditto (Li et al., 2021, "Ditto: Fair and Robust Federated Learning Through Personalization", Algorithm 1).

Every device trains FedAvg's w, and beside it a model of its own that is held near w:

    v_k  <-  v_k - eta (grad L_k(v_k) + lambda (v_k - w))

The steps of a round are halved: w and v_k each see half of the round's samples, the same ones. Those of phase 3
train v_k beside the final w. An unseen device's v_k starts at that.
"""

from typing import Any

from fedmetaalign.federation.messages import Last, Personal, Train, Update
from fedmetaalign.methods._device import minimising, own_model, train
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.model.objective import Objective
from fedmetaalign.phases.client import Client

LAMBDA = 1.0
"""The paper's choice where nobody attacks and validation samples are few (its appendix on the experiments)."""
OWN = "own"
"""v, in the device's memory."""

shared = minimising(share=0.5)


def local(client: Client, request: Train) -> Update:
    """Trains the device's own model beside FedAvg's."""
    begin = client.memory.before(OWN, request.number)
    own = train(
        client,
        request.weights if begin is None else begin,
        client.stream(request, share=0.5),
        "own",
        request.number,
        objective=Objective.proximal(request.weights, LAMBDA),
    )
    client.memory.keep(OWN, request.number, own.weights)
    return shared(client, request)


def personal(client: Client, request: Last[Any]) -> Personal:
    """Trains the device's own model once more, near the final global weights."""
    begin = client.memory.before(OWN)
    own = train(
        client,
        request.weights if begin is None else begin,
        client.own_stream(),
        "last",
        objective=Objective.proximal(request.weights, LAMBDA),
        learning_rate=client.recipe.personalize.learning_rate,
    )
    return own_model(client, own)


METHOD = Method(parallel_rounds(), local=local, personal=personal, remembers=True, one_model=False)

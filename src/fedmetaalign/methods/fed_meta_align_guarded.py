"""Fed-Meta-Align for devices that must not lose by joining: each keeps the better of two models, on validation.

Half of the budget goes to Fed-Meta-Align with half its rounds and epochs, half to training alone; the device
deploys the one with the smaller Brier score on its validation part. This is stacking at its simplest: selection
by hold-out (Wolpert, "Stacked generalization", 1992). What it costs is what half of the steps were worth.
"""

from dataclasses import replace
from typing import Any

from fedmetaalign.evaluation.metrics import brier
from fedmetaalign.federation.messages import Last, Local, Personal, Train, Update, Visit
from fedmetaalign.methods._method import Method
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.phases.alone import train_alone
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.parallel import local_update
from fedmetaalign.phases.personalize import fine_tune
from fedmetaalign.phases.schedule import federation
from fedmetaalign.phases.serial import visit
from fedmetaalign.phases.server import Round, Server
from fedmetaalign.recipe import Recipe


def rounds(server: Server) -> list[Round]:
    """Lists half of the rounds of Fed-Meta-Align."""
    return federation(replace(server, recipe=halved(server.recipe)))


def hop(client: Client, request: Visit) -> Local:
    """Visits the device with half of the budget."""
    return visit(half(client), request)


def local(client: Client, request: Train) -> Update:
    """Trains the device with half of the budget."""
    return local_update(half(client), request)


def better(client: Client, request: Last[Any]) -> Personal:
    """Trains the device alone with the other half, and takes the better model."""
    federated = fine_tune(half(client), request.weights)
    rest = client.all_steps(request.devices) - half(client).all_steps(request.devices)
    start = request.stages.get("foundation")
    alone = train_alone(client, client.learner.initial() if start is None else start, rest)
    return least_brier(client.device.own.query, client.learner.target, federated, alone)


def half(client: Client) -> Client:
    """Returns the device at work on half of the recipe."""
    return replace(client, recipe=halved(client.recipe))


def halved(recipe: Recipe) -> Recipe:
    """Returns the recipe with half of its rounds and epochs."""
    serial, parallel, personalize = recipe.serial, recipe.parallel, recipe.personalize
    return recipe.model_copy(
        update={
            "serial": serial.model_copy(update={"rounds": serial.rounds // 2}),
            "parallel": parallel.model_copy(update={"rounds": parallel.rounds // 2}),
            "personalize": personalize.model_copy(update={"epochs": max(1, personalize.epochs // 2)}),
        }
    )


def least_brier(validation: Samples, target: Target, *models: Personal) -> Personal:
    """Returns the model with the least Brier score on validation samples."""
    return min(models, key=lambda model: brier(model.probabilities(validation.x), validation.y, target))


METHOD = Method(rounds, local=local, hop=hop, personal=better)

"""Phase 3 on the device: fine-tuning and the decision threshold (the paper's Algorithm 4, first half)."""

from dataclasses import replace
from typing import Any

import numpy as np

from fedmetaalign.federation.messages import Last, Personal
from fedmetaalign.federation.records import record
from fedmetaalign.phases.client import Client
from fedmetaalign.tinyml.decision import predict


def personalize(client: Client, request: Last[Any]) -> Personal:
    """Fine-tunes the last layers on D_tune, and chooses the threshold on D_val.

    Args:
        client: the device whose model this becomes; the support set of its part is D_tune, the query set D_val.
            The learning rate gamma is the optimizer's where the recipe's section gives none.
        request: has the final global model.
    """
    return fine_tune(client, request.weights)


def fine_tune(client: Client, weights: np.ndarray) -> Personal:
    """Makes weights, (parameters,) float32, the device's own; those of the frozen layers stay, bit for bit."""
    settings, part = client.recipe.personalize, client.device.parts["personalize"]
    trained = client.learner.train(
        weights,
        part.support,
        "personalize",
        client.name,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        trainable=slice(client.learner.split(settings.freeze).body, None),
    )
    own = client.own(trained.weights)
    query_loss, _ = client.learner.evaluate(trained.weights, part.query)
    target = client.learner.target
    alarms = predict(own.probabilities(part.query.x), target, own.threshold.threshold)
    records = [record(3, epoch, client.name, support_loss=loss) for epoch, loss in enumerate(trained.losses, 1)]
    records[-1] |= {"query_loss": query_loss, "accuracy": float(np.mean(alarms == target.faults(part.query.y)))}
    return replace(own, records=tuple(records))

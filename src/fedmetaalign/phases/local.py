"""What one device does when asked to train: the step that phases 1 and 2 share."""

from fedmetaalign.federation.messages import Local, Request
from fedmetaalign.phases.client import Client


def train_locally(client: Client, request: Request[object], phase: str, number: int, epochs: int) -> Local:
    """Trains sample by sample on the phase's support set S, then evaluates on its query set Q.

    Args:
        client: the device.
        request: has the weights to start from.
        phase: "serial" or "parallel".
        number: of the tour or round, which addresses the random order.
        epochs: passes over the support set.
    """
    part = client.device.parts[phase]
    trained = client.learner.train(request.weights, part.support, phase, number, client.name, epochs=epochs)
    query_loss, accuracy = client.learner.evaluate(trained.weights, part.query)
    return Local(trained.weights, trained.loss, query_loss, accuracy, len(part.support))

"""What a device reaches by itself: on its own samples, with as many steps as the federation spends on it."""

import numpy as np

from fedmetaalign.federation.messages import Personal
from fedmetaalign.phases.client import Client, passes


def train_alone(client: Client, start: np.ndarray, steps: int) -> Personal:
    """Trains on all of a device's training samples but the validation part, and chooses its threshold on that.

    Args:
        client: the device.
        start: (parameters,) float32, where to start.
        steps: gradient steps.
    """
    samples = passes(client.device.own.support, 0, steps, client.recipe.seed, "alone", client.name)
    return client.own(client.learner.train(start, samples, "alone", client.name).weights)

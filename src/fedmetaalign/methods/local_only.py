"""Local only: what a device reaches by itself, on its own samples, with the steps that the federation spends.

The paper's first baseline. It is what a device's owner has to give up to join, so it stands in every result.
"""

from collections.abc import Callable

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, scores
from fedmetaalign.model.online import ignore_steps, train
from fedmetaalign.phases.personalize import Personal, choose_threshold
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe


def train_alone(
    recipe: Recipe,
    network: Network,
    device: Device,
    weights: np.ndarray,
    on_steps: Callable[[int], None] = ignore_steps,
) -> Personal:
    """Trains from random weights on all of the device's training samples but the validation part.

    Args:
        recipe: its optimizer and threshold are used, and its rounds and epochs decide the number of steps.
        network: the architecture.
        device: whose model this becomes.
        weights: (parameters,) float32, random.
        on_steps: told of the steps taken.
    """
    trained = train(
        network,
        weights,
        device.own.support,
        learning_rate=recipe.optimizer.learning_rate,
        epochs=epochs(recipe, device),
        random=generator(recipe.seed, "stream", "alone", device.name),
        on_steps=on_steps,
    )
    validation = device.own.query
    threshold = choose_threshold(
        validation.y, scores(network, trained.weights, validation.x), recipe.personalize
    )
    return Personal(trained.weights, threshold, [])


def epochs(recipe: Recipe, device: Device) -> int:
    """Returns the passes over a device's own samples that take as many steps as its phases 1 to 3.

    Of the parallel rounds, those count that it may expect to take part in.
    """
    sizes = {phase: len(part.support) for phase, part in device.parts.items()}
    steps = (
        recipe.serial.rounds * recipe.serial.tours * recipe.serial.epochs * sizes["serial"]
        + recipe.parallel.rounds * recipe.parallel.cohort * recipe.parallel.epochs * sizes["parallel"]
        + recipe.personalize.epochs * sizes["personalize"]
    )
    return max(1, round(steps / len(device.own.support)))

"""One network that says what several teachers say: what a microcontroller can hold of them.

Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015, on synthetic samples, as Breiman &
Shang ("Born again trees", 1996) make them: a sample of the device's own, some of whose inputs are replaced by
those of other samples, or by standard normal numbers. The latter reach where the device has no sample and the
fleet has. A teacher can label as many as the network needs, which the device's own samples are far too few for.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fedmetaalign.model.learner import Learner
from fedmetaalign.model.online import ALL_LAYERS, Samples
from fedmetaalign.phases.budget import cosine
from fedmetaalign.phases.client import check_finite
from fedmetaalign.phases.teaching import Teacher, as_learner
from fedmetaalign.randomness import generator

REPLACED = (0.5, 1.0)
"""Of the beta distribution of the share of a synthetic sample's inputs that are replaced."""
NOISE = 0.1
"""Standard deviation of what is added to each input that varies: inputs are standardised."""
STRETCHES = 10
"""Parts of training that share a learning rate."""


def synthetic(x: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Makes inputs like those of a device.

    Args:
        x: (rows, inputs) float32, the device's own.
        count: how many to make.
        random: draws them.

    Returns:
        (count, inputs) float32.
    """
    rows, inputs = x.shape
    made = x[random.integers(rows, size=count)]
    own = x[random.integers(rows, size=(count, inputs)), np.arange(inputs)]
    normal = np.clip(random.standard_normal((count, inputs)), -3, 3)
    other = np.where(random.random((count, 1)) < 0.5, own, normal)
    replaced = random.random((count, inputs)) < random.beta(*REPLACED, size=(count, 1))
    noise = NOISE * random.standard_normal((count, inputs))
    varies = x.std(axis=0) > 0
    return np.asarray(np.where(varies, np.where(replaced, other, made) + noise, made), np.float32)


def distil(
    learner: Learner,
    weights: np.ndarray,
    teacher: Teacher,
    x: np.ndarray,
    count: int,
    learning_rate: float,
    seed: int,
    device: str,
) -> np.ndarray:
    """Trains a network to say what a teacher says.

    Args:
        learner: how to train.
        weights: (parameters,) float32, where to start: the nearer to the teacher, the better.
        teacher: what to learn.
        x: (rows, inputs) float32, the device's inputs.
        count: synthetic samples, each of which it sees once.
        learning_rate: to begin with.
        seed: the recipe's.
        device: its name.

    Returns:
        (parameters,) float32.

    Raises:
        DivergenceError: training has run away.
    """
    made = synthetic(x, count, generator(seed, "distil", device))
    labels = as_learner(teacher(made), learner.target).astype(np.float32)
    cuts = np.linspace(0, count, min(STRETCHES, count) + 1).astype(int)
    stretches = [Samples(made[a:b], labels[a:b]) for a, b in pairwise(cuts)]
    return decaying(learner, weights, stretches, learning_rate, "distil", device)


def decaying(
    learner: Learner,
    weights: np.ndarray,
    stretches: Sequence[Samples],
    learning_rate: float,
    *address: str | int,
    trainable: slice = ALL_LAYERS,
) -> np.ndarray:
    """Trains on stretches of samples, with a learning rate that falls along half a cosine from one to the next.

    Args:
        learner: how to train.
        weights: (parameters,) float32, where to start.
        stretches: what to train on, in order.
        learning_rate: to begin with.
        *address: of the random orders, which the device's name ends.
        trainable: the layers that are trained.

    Raises:
        DivergenceError: training has run away.
    """
    for i, samples in enumerate(stretches):
        rate = cosine(i, len(stretches), 0.02) * learning_rate
        weights = learner.train(weights, samples, *address, i, learning_rate=rate, trainable=trainable).weights
    check_finite(weights, f"on {address[-1]}")
    return weights

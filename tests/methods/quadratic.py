"""Problems whose answers are known: a sample (x, y) has the loss y/2 |w - x|^2, and the stream is plain SGD.

A device all of whose samples are (b, a) has the loss a/2 |w - b|^2. From w, a step of plain gradient descent
goes to b + (1 - eta a) (w - b), so that all that a federation of such devices comes to can be written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.model.learner import SplitPoint
from fedmetaalign.model.objective import LOSS
from fedmetaalign.model.online import Samples, Trained, ignore_steps
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import BINARY
from fedmetaalign.phases.client import Client
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import parse

PREPARATION = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,))


@dataclass(frozen=True)
class Quadratic:
    """A `Learner` of so many weights, each of which counts as a layer; its fine-tuning does nothing."""

    size: int
    learning_rate: float
    on_steps: Callable[[int], None] = ignore_steps
    target = BINARY

    @property
    def layer_sizes(self):
        return (1,) * self.size

    def initial(self):
        return np.zeros(self.size, np.float32)

    def train(
        self,
        weights,
        samples,
        *address,
        learning_rate=None,
        trainable=slice(None),
        objective=LOSS,
        keep_gradient=False,
        **_,
    ):
        if address[0] == "personalize":
            return Trained(weights, (0.0,), None)
        o, w = objective, weights.astype(np.float64)
        offset = 0 if o.offset is None else o.offset
        linear = 0 if o.linear is None else o.linear
        order = generator(0, "stream", *address).permutation(len(samples))
        rate = learning_rate or self.learning_rate
        trained = trainable
        total, loss = np.zeros(self.size), 0.0
        for i, before in zip(order, np.roll(order, 1), strict=True):
            at = o.scale * w + offset
            at = at - o.lookahead * samples.y[before] * (at - samples.x[before])
            gradient = samples.y[i] * (at - samples.x[i])
            loss += samples.y[i] / 2 * np.sum((at - samples.x[i]) ** 2)
            total[trained] += gradient[trained]
            step = o.scale * gradient + o.mu * w + linear
            w[trained] -= rate * step[trained]
        self.on_steps((2 if o.lookahead else 1) * len(samples))
        mean = (total / len(samples)).astype(np.float32) if keep_gradient else None
        return Trained(w.astype(np.float32), (loss / len(samples),), mean)

    def evaluate(self, weights, samples):
        return float(np.mean(samples.y / 2 * np.sum((weights - samples.x) ** 2, axis=1))), 0.5

    def probabilities(self, weights, x):
        return np.full(len(x), 0.5)

    def features(self, weights, x):
        return x

    def split(self, share):
        body = int(share * self.size)
        return SplitPoint(body, body)

    def reporting(self, on_steps):
        return replace(self, on_steps=on_steps)


@dataclass(frozen=True)
class Problem:
    """What a device minimises, a/2 |w - b|^2, and how long it may.

    Attributes:
        optimum: b.
        curvature: a.
        steps: of a round.
        samples: that it has, which is what averages weight it by.
        own: steps of phase 3.
    """

    optimum: tuple[float, ...]
    curvature: float = 1.0
    steps: int = 10
    samples: int = 10
    own: int = 500

    def device(self, name):
        def part(rows):
            samples = Samples(
                np.tile(np.array(self.optimum, np.float32), (rows, 1)),
                np.full(rows, self.curvature, np.float32),
            )
            return Part(samples, samples)

        parts = {"serial": part(1), "parallel": part(self.steps), "personalize": part(self.own)}
        return Device(name, PREPARATION, np.zeros((1, 1)), parts, part(self.samples))


def cell_run(*federated, unseen_devices=(), rounds=300, learning_rate=0.01, start=None):
    """A cell run of such devices: the federated d0, d1, ... and the unseen n0, n1, ...; it starts at zero."""
    recipe = parse(
        {
            "fleet": {"simulator": "feeder", "count": len(federated)},
            "optimizer": {"learning_rate": learning_rate},
            "serial": {"rounds": 0},
            "parallel": {"rounds": rounds},
            # The curvatures are no labels that a threshold could be chosen by.
            "personalize": {"epochs": 1, "threshold": 0.5},
        },
        "here",
    )
    size = len(federated[0].optimum)
    return CellRun(
        recipe,
        Quadratic(size, learning_rate),
        tuple(problem.device(f"d{i}") for i, problem in enumerate(federated)),
        tuple(problem.device(f"n{i}") for i, problem in enumerate(unseen_devices)),
        None,
        np.zeros(size, np.float32) if start is None else np.array(start, np.float32),
    )


def client(given, device=None):
    """A device of a cell run at work, by default the first federated one, whose steps are not counted."""
    return Client(given.recipe, device or given.federated[0], given.learner)

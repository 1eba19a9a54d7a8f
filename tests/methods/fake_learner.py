"""A cell run whose learner does as it is set to, so that what a method makes of it is worked out by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.build import build
from fedmetaalign.model.learner import SplitPoint
from fedmetaalign.model.objective import LOSS
from fedmetaalign.model.online import Trained, ignore_steps
from fedmetaalign.model.target import BINARY
from fedmetaalign.recipe import parse


@dataclass
class Learner:
    """Moves the weights by the next of `moves`, the last for ever; remembers what it was given.

    Its fine-tuning does nothing, and is not remembered.
    """

    moves: list[float] = field(default_factory=lambda: [1.0])
    gradients: list[float] = field(default_factory=lambda: [0.0])
    seen: list = field(default_factory=list)
    on_steps: Callable[[int], None] = ignore_steps
    layer_sizes = (1, 1)
    target = BINARY

    def initial(self):
        return np.zeros(2, np.float32)

    def train(self, weights, samples, *address, objective=LOSS, **_):
        if address[0] == "personalize":
            return Trained(weights, (0.0,), None)
        done = len(self.seen)
        self.seen.append((weights, samples, objective))
        self.on_steps(len(samples))
        move = np.float32(self.moves[min(done, len(self.moves) - 1)])
        gradient = np.float32(self.gradients[min(done, len(self.gradients) - 1)])
        return Trained(weights + move, (0.0,), np.full_like(weights, gradient))

    def evaluate(self, weights, samples):
        return 0.0, 0.5

    def probabilities(self, weights, x):
        """The first weight is the logit of every sample."""
        return np.full(len(x), 1 / (1 + np.exp(-float(weights[0]))))

    def split(self, share):
        return SplitPoint(int(2 * share), int(2 * share))

    def reporting(self, on_steps):
        return replace(self, on_steps=on_steps)


def recipe(devices=2, serial=2, parallel=2, foundation=False):
    return parse(
        {
            "fleet": {"simulator": "feeder", "count": devices, "samples": 100},
            "foundation": {"simulator": "milling", "count": 1, "samples": 100, "enabled": foundation},
            "serial": {"rounds": serial},
            "parallel": {"rounds": parallel},
        },
        "here",
    )


@cache
def _fleet(devices, foundation):
    return build(recipe(devices, foundation=foundation))


def cell_run(learner, devices=2, serial=2, parallel=2, foundation=False):
    """A cell run from the weights (0, 0)."""
    fleet = _fleet(devices, foundation)
    settings = recipe(devices, serial, parallel, foundation)
    return CellRun(settings, learner, fleet.devices, (), fleet.public, np.zeros(2, np.float32))


def firsts(outcome):
    """The first global weight after every round."""
    return [float(weights[0]) for weights in outcome.rounds]

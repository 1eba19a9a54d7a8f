"""A race whose learner does as it is told, so that what a method makes of it can be worked out by hand."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.fleet.build import build
from fedmetaalign.methods._task import Task
from fedmetaalign.model.online import Trained
from fedmetaalign.phases.personalize import Personal
from fedmetaalign.recipe import parse


@dataclass
class Learner:
    """Moves the weights by the next of `moves`, the last for ever; remembers what it was given."""

    moves: list[float] = field(default_factory=lambda: [1.0])
    gradients: list[float] = field(default_factory=lambda: [0.0])
    seen: list = field(default_factory=list)

    def train(self, weights, samples, *, on_steps, objective, **_):
        done = len(self.seen)
        self.seen.append((weights, samples, objective))
        on_steps(len(samples))
        move = np.float32(self.moves[min(done, len(self.moves) - 1)])
        gradient = np.float32(self.gradients[min(done, len(self.gradients) - 1)])
        return Trained(weights + move, (0.0,), np.full_like(weights, gradient))

    def fine_tune(self, recipe, device, weights, on_steps):
        return Personal(weights, Choice(0.5, None, None), [])

    def scores(self, weights, x):
        """The first weight is the logit of every sample."""
        return np.full(len(x), 1 / (1 + np.exp(-float(weights[0]))))


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


def race(learner, devices=2, serial=2, parallel=2, foundation=False):
    """A race from the weights (0, 0)."""
    fleet = _fleet(devices, foundation)
    settings = recipe(devices, serial, parallel, foundation)
    return Task(settings, learner, fleet.devices, (), fleet.public, np.zeros(2, np.float32))


def firsts(outcome):
    """The first global weight after every round."""
    return [float(weights[0]) for weights in outcome.rounds]

"""A fleet that answers what it is told to, and remembers what it was asked."""

import numpy as np

from fedmetaalign.phases.local import Local
from fedmetaalign.phases.parallel import Update


class FakeEngine:
    """An `Engine`; a visit adds the device's number to the weights, training answers with prepared updates."""

    def __init__(self, names=(), updates=None):
        self.names = tuple(names)
        self.updates = updates or {}
        self.visits = []  # (name, stop, weights handed over)
        self.trained = []  # (names, number, weights handed over)

    def visit(self, name, weights, stop):
        self.visits.append((name, stop, weights.tolist()))
        moved = (weights + 10.0 ** self.names.index(name)).astype(np.float32)
        return Local(moved, support_loss=0.5, query_loss=0.25, accuracy=0.75, samples=8)

    def train(self, names, weights, number):
        self.trained.append((tuple(names), number, weights.tolist()))
        return {name: self.updates[name] for name in names if name in self.updates}

    def personalize(self, weights):
        raise AssertionError("phases 1 and 2 personalise nobody")

    def alone(self, weights):
        raise AssertionError("phases 1 and 2 leave nobody alone")


def update(*delta, score=0.5, samples=10):
    """What a device sends, with a query loss that fits its score."""
    return Update(
        delta=np.array(delta, np.float32),
        score=score,
        samples=samples,
        support_loss=0.6,
        query_loss=1 / score - 1,
        accuracy=0.9,
    )

"""A fleet that answers as it is set to, and remembers what it was asked; and a device at work."""

import numpy as np

from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.federation.engine import FailedReply, Replies
from fedmetaalign.federation.messages import Local, Train, Update, Visit
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server
from fedmetaalign.recipe import Recipe, parse


class FakeEngine:
    """An `Engine`; a visit adds the device's number to the weights, training answers with prepared updates."""

    def __init__(self, names=(), updates=None, deaf=()):
        self.names = tuple(names)
        self.updates = updates or {}
        self.deaf = deaf  # devices that are asked, and answer nothing
        self.visits = []  # (name, tour, weights handed over)
        self.at_once = []  # names of those that were asked something of their own
        self.trained = []  # (names, number, weights handed over)

    def exchange(self, names, request, patience=0.0):
        assert request.devices == len(self.names)
        asked = [name for name in names if name not in self.deaf]
        failed = tuple(FailedReply(name, "absent", "it is deaf") for name in names if name in self.deaf)
        match request:
            case Visit():
                return Replies({name: self.visit(name, request) for name in asked}, failed)
            case Train():
                self.trained.append((tuple(names), request.number, request.weights.tolist()))
                return Replies({name: self.updates[name] for name in asked if name in self.updates}, failed)
        raise AssertionError("phases 1 and 2 ask for nothing else")

    def first(self, requests, count):
        asked = [name for name in requests if name not in self.deaf][:count]
        for name in asked:
            self.trained.append((name, requests[name].number, requests[name].weights.tolist()))
        failed = tuple(FailedReply(name, "absent", "it is deaf") for name in requests if name in self.deaf)
        return Replies({name: self.updates[name] for name in sorted(asked)}, failed)

    def exchange_each(self, requests, patience=0.0):
        self.at_once.append(tuple(requests))
        each = [self.exchange([name], request) for name, request in requests.items()]
        return Replies(
            {k: v for one in each for k, v in one.answers.items()}, sum((o.failed for o in each), ())
        )

    def visit(self, name, request):
        self.visits.append((name, request.tour, request.weights.tolist()))
        moved = (request.weights + 10.0 ** self.names.index(name)).astype(np.float32)
        return Local(moved, support_loss=0.5, query_loss=0.25, accuracy=0.75, samples=8)


def update(*delta, query_score=0.5, samples=10, steps=10):
    """What a device sends, with a query loss that fits its score."""
    return Update(
        delta=np.array(delta, np.float32),
        query_score=query_score,
        samples=samples,
        steps=steps,
        support_loss=0.6,
        query_loss=1 / query_score - 1,
        accuracy=0.9,
    )


def recipe_of(seed=0, **sections) -> Recipe:
    return parse({"seed": seed, "fleet": {"simulator": "feeder"}, **sections}, "here")


def server_of(engine, seed=0, public=None, **sections) -> Server:
    """A server whose network, of two weights, nobody trains."""
    recipe = recipe_of(seed, **sections)
    return Server(recipe, engine, NetworkLearner(Network(1, ()), 0.1, seed), public)


def client_of(device, seed=0, on_steps=ignore_steps, hidden=(8, 6), **sections) -> Client:
    """A device at work on a recipe of such sections."""
    recipe = recipe_of(seed, model={"hidden": list(hidden)}, **sections)
    return Client(recipe, device, learner_of(recipe, on_steps=on_steps))

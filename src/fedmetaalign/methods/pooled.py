"""Pooled: one network trained on all devices' samples in one place, which is what the federation avoids.

w  <-  argmin_w  sum_k  n_k / n  L_k(w)

in one stream of as many steps as all devices together may take, those of their phase 3 included. All devices
share the weights, and each chooses the threshold on its own validation part. Samples travel instead of weights:
every feature and the label of each as a float32.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from fedmetaalign.federation.messages import Collect
from fedmetaalign.federation.records import Record, record
from fedmetaalign.methods._device import as_it_is
from fedmetaalign.methods._method import Method
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import check_finite, passes
from fedmetaalign.phases.server import Round, Server, State


def rounds(server: Server) -> list[Round]:
    """Lists the one round, in which the samples are collected and trained on."""
    return [Round("parallel", 1, partial(train_pooled, server))]


def train_pooled(server: Server, state: State) -> tuple[State, list[Record]]:
    """Collects the samples of all devices, and trains on them."""
    names = server.engine.names
    replies = server.engine.exchange(names, Collect(state.weights, 1, len(names))).answers
    collected = [replies[name] for name in names]
    samples = Samples(*map(np.concatenate, zip(*(each.samples for each in collected), strict=True)))
    steps = sum(each.steps for each in collected)
    stream = passes(samples, 0, steps, server.recipe.seed, "pooled")
    trained = server.learner.train(state.weights, stream, "pooled")
    check_finite(trained.weights, "with pooled samples")
    return replace(state, weights=trained.weights), [record(2, 1, "pooled", support_loss=trained.loss)]


METHOD = Method(
    rounds,
    personal=as_it_is,
    one_model=False,
    in_process="pooled trains on all samples in one place, and over Flower none leaves its device: run it with"
    " --engine local, or choose another method.",
)

"""What the tree ensembles share: how scikit-learn's are trained, and what they say of all classes.

They train on all of a device's training samples, the validation part included, for which they have no use: no
parameter is tuned, and the threshold is 0.5. Their features are raw ones, as whoever has a table takes them, in
the places of the network's inputs. No gradient steps bound them: scikit-learn's defaults do.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Collect, Last, Model, Personal
from fedmetaalign.federation.records import Record, record
from fedmetaalign.methods._method import Method
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.phases import trees
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Round, Server, State
from fedmetaalign.phases.teaching import as_learner
from fedmetaalign.randomness import generator

NODE = 4
"""Numbers of a node beside its values: a feature, a threshold and two children."""

Fit = Callable[[Samples, Target, int], Model]
"""Trains a model on raw samples, in the classes of a target, with a random state."""


def forest(samples: Samples, target: Target, random_state: int) -> Model:
    """Trains a random forest."""
    trained = trees.forest(samples, random_state)
    nodes = sum(tree.node_count for tree in trained.trees)
    return _model(trained, target, nodes * (NODE + target.outputs))


def boosting(samples: Samples, target: Target, random_state: int) -> Model:
    """Trains gradient boosting over histograms; one class alone needs no tree."""
    counts = np.bincount(samples.y.astype(np.intp))
    seen = np.flatnonzero(counts)
    if len(seen) == 1:
        return Model(partial(constant, as_learner(np.eye(len(target.classes))[seen], target)[0]), 1)
    # Beyond 10,000 samples it stops early, by a tenth that has every class: one sample cannot be parted.
    early: Any = "auto" if counts[seen].min() > 1 else False
    settings = HistGradientBoostingClassifier(random_state=random_state, early_stopping=early)
    with threadpool_limits(1, "openmp"):  # on several threads, sums have other last bits
        trained = settings.fit(*samples)
    nodes = sum(len(tree.nodes) for trees in trained._predictors for tree in trees)
    return _model(trained, target, nodes * (NODE + 1))


def constant(probabilities: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Says the same of every row."""
    return np.full((len(x), *probabilities.shape), probabilities)


def alone(name: str, fit: Fit) -> Method:
    """Returns the method in which each device trains such a model on its own samples."""

    def personal(client: Client, request: Last[Any]) -> Personal:
        address = random_state(client.recipe.seed, name, client.name)
        return own(client, fit(client.raw, client.learner.target, address))

    return Method(personal=personal, trains=False, federates=False, one_model=False, no_bundle=no_bundle(name))


def pooled(name: str, fit: Fit) -> Method:
    """Returns the method in which one such model is trained on the samples of all devices."""

    def train(server: Server, state: State) -> tuple[State, list[Record]]:
        names = server.engine.names
        replies = server.engine.exchange(names, Collect(state.weights, 1, len(names), everything=True)).answers
        parts = [replies[each].samples for each in names]
        samples = Samples(*map(np.concatenate, zip(*parts, strict=True)))
        model = fit(samples, server.learner.target, random_state(server.recipe.seed, name))
        return replace(state, model=model), [record(2, 1, name)]

    return Method(
        lambda server: [Round("parallel", 1, partial(train, server))],
        personal=handed_over,
        trains=False,
        one_model=False,
        no_bundle=no_bundle(name),
        in_process=f"{name} trains on all samples in one place, and over Flower none leaves its device.",
    )


def handed_over(client: Client, request: Last[Any]) -> Personal:
    """Returns the model that the server has made, as the device's own."""
    assert request.model is not None  # noqa: S101 - the method's only round makes it
    return own(client, request.model)


def own(client: Client, model: Model) -> Personal:
    """Returns a model of raw features as a device's own, with a threshold of 0.5."""
    return Personal(partial(_of_inputs, model, client.device.preparation), Choice(0.5, None, None))


def no_bundle(name: str) -> str:
    """Says why there is none."""
    return f"{name} has trees and no network to deploy: compare it, or run another method."


def random_state(seed: int, *address: str) -> int:
    """Returns scikit-learn's random state at an address."""
    return int(generator(seed, "trees", *address).integers(2**32))


def _of_inputs(model: Model, preparation: Preparation, x: np.ndarray) -> np.ndarray:
    return model.probabilities(preparation.raw_in_place(x))


def _model(trained: Any, target: Target, numbers: int) -> Model:
    return Model(partial(_said, trained, target), numbers)


def _said(trained: Any, target: Target, x: np.ndarray) -> np.ndarray:
    return as_learner(trees.of_every_class(trained, len(target.classes), x), target)

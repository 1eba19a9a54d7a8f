"""One rule (Holte, 1993): the best threshold on one raw feature, which every learned model has to beat.

p(x) = 1 if x_j > t, else 0    (or the other way round)

with the feature j, the threshold t and the direction that get most of the device's training samples right, the
validation part included, for which the rule has no other use.
"""

from functools import partial
from typing import Any

import numpy as np

from fedmetaalign.evaluation.rules import FeatureRule, best_rule
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Last, Personal
from fedmetaalign.methods._method import Method
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.phases.client import Client


def own_rule(client: Client, request: Last[Any]) -> Personal:
    """Searches the device's own rule; nothing is trained or sent."""
    train, preparation = client.device.train, client.device.preparation
    target = client.learner.target
    rule = best_rule(preparation.raw(train.x), target.faults(train.y))
    return Personal(partial(_probabilities, rule, preparation, target, train.y), Choice(0.5, None, None))


def _probabilities(
    rule: FeatureRule, preparation: Preparation, target: Target, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Returns the rule's word: of several classes the most frequent one in training that fits it."""
    fault = rule.predict(preparation.raw(x))
    if target.outputs == 1:
        return fault.astype(np.float64)
    counts = np.bincount(y.astype(np.int64), minlength=target.outputs)
    normal, broken = (max(classes, key=lambda i: counts[i]) for classes in (target.normal, target.fault))
    return np.eye(target.outputs)[np.where(fault, broken, normal)]


METHOD = Method(
    personal=own_rule,
    trains=False,
    federates=False,
    one_model=False,
    no_bundle="one_rule has no network to deploy: compare it, or run another method.",
)

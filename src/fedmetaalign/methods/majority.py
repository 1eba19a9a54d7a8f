"""Majority class: what a device reaches that looks at no feature.

p(x) = share of faults among the device's training labels,    a fault if that is more than one half

All training labels count, the validation part's too. The share is the constant with the best Brier score: the
probabilities, too, are the best that can be without a feature.
"""

from functools import partial
from typing import Any

import numpy as np

from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Last, Personal
from fedmetaalign.methods._method import Method
from fedmetaalign.phases.client import Client


def share_of_faults(client: Client, request: Last[Any]) -> Personal:
    """Counts the device's labels; nothing is trained or sent."""
    y, target = client.device.train.y, client.learner.target
    if target.outputs == 1:
        shares = np.array(y.mean(dtype=np.float64))
    else:
        shares = np.bincount(y.astype(np.int64), minlength=target.outputs) / len(y)
    return Personal(partial(_constant, shares), Choice(0.5, None, None))


def _constant(shares: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.full((len(x), *shares.shape), shares)


METHOD = Method(
    personal=share_of_faults,
    trains=False,
    federates=False,
    one_model=False,
    no_bundle="majority has no network to deploy: compare it, or run another method.",
)

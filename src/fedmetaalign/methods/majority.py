"""Majority class: what a device reaches that looks at no feature.

score(x) = share of faults among the device's training labels,    a fault if that is more than one half

All training labels count, the validation part's too. The share is the constant with the best Brier score: the
probabilities, too, are the best that can be without a feature.
"""

from functools import partial

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._task import Model, Outcome, Task


def majority(task: Task) -> Outcome:
    """Counts every device's labels; nothing is trained or sent."""
    return Outcome({device.name: _model(device) for device in task.devices})


def _model(device: Device) -> Model:
    return Model(partial(_constant, float(device.train.y.mean(dtype=np.float64))), threshold=0.5)


def _constant(share: float, x: np.ndarray) -> np.ndarray:
    return np.full(len(x), share)

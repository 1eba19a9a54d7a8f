"""One rule (Holte, 1993): the best threshold on one raw feature, which every learned model has to beat.

score(x) = 1 if x_j > t, else 0    (or the other way round)

with the feature j, the threshold t and the direction that get most of the device's training samples right, the
validation part included, for which the rule has no other use.
"""

from functools import partial

import numpy as np

from fedmetaalign.evaluation.rules import Rule, best_rule
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._task import Model, Outcome, Task
from fedmetaalign.preparation import Preparation


def one_rule(task: Task) -> Outcome:
    """Searches every device's own rule; nothing is trained or sent."""
    return Outcome({device.name: _model(device) for device in task.devices})


def _model(device: Device) -> Model:
    rule = best_rule(device.preparation.raw(device.train.x), device.train.y.astype(np.int8))
    return Model(partial(_scores, rule, device.preparation), threshold=0.5)


def _scores(rule: Rule, preparation: Preparation, x: np.ndarray) -> np.ndarray:
    return rule.predict(preparation.raw(x)).astype(np.float64)

"""The rule on one feature is the one that results.json reports."""

import numpy as np
import pytest

from fedmetaalign.fleet.build import build
from fedmetaalign.methods._task import Task
from fedmetaalign.methods.one_rule import one_rule
from fedmetaalign.phases.evaluate import one_rule as rule_of_results
from fedmetaalign.recipe import parse


@pytest.mark.parametrize("simulator", ["feeder", "milling"])
def test_it_is_the_rule_of_the_results(simulator):
    recipe = parse({"fleet": {"simulator": simulator, "count": 4, "samples": 200}}, "here")
    fleet = build(recipe)
    task = Task(recipe, None, fleet.devices, (), None, np.zeros(1, np.float32))
    outcome = one_rule(task)
    for device in fleet.devices:
        test, model = fleet.test[device.name], outcome.models[device.name]
        scores = model.scores(test.x)
        assert set(scores.tolist()) <= {0.0, 1.0}
        accuracy = np.mean((scores > model.threshold) == (test.y > 0))
        assert accuracy == rule_of_results(device, fleet.test[device.name]).accuracy
    assert (task.ledger.steps, task.ledger.bytes) == (0, 0)

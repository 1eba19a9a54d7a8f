"""The rule on one feature is the one that results.json reports."""

import numpy as np
import pytest
from fake_learner import Learner

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.one_rule import METHOD
from fedmetaalign.phases.evaluate import one_rule as rule_of_results
from fedmetaalign.recipe import parse


@pytest.mark.parametrize("simulator", ["feeder", "milling"])
def test_it_is_the_rule_of_the_results(simulator):
    recipe = parse({"fleet": {"simulator": simulator, "count": 4, "samples": 200}}, "here")
    fleet, learner = build(recipe), Learner()
    given = CellRun(recipe, learner, fleet.devices, (), None, np.zeros(1, np.float32))
    outcome = given.run(METHOD)
    for device in fleet.devices:
        test, model = fleet.test[device.name], outcome.models[device.name]
        scores = model.probabilities(test.x)
        assert set(scores.tolist()) <= {0.0, 1.0}
        accuracy = np.mean((scores > model.threshold.threshold) == (test.y > 0))
        assert accuracy == rule_of_results(device, test, learner.target).accuracy
    assert (given.spent.steps, given.spent.bytes) == (0, 0)

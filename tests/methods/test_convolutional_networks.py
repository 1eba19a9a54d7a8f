"""Every method with a convolutional network over the samples of windows: three machines that hum, or rattle."""

import numpy as np
import pytest
from recordings import folder

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.engine.device_runner import learner_of, network_of
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import find, names
from fedmetaalign.model.learner import SplitPoint
from fedmetaalign.phases.foundation import pretrain
from fedmetaalign.recipe import parse

pytestmark = pytest.mark.usefixtures("few_trees")

SOURCE = {
    "label": "state",
    "normal": ["normal"],
    "time": "t",
    "window": {"length": 48, "by": "run", "channels": ["accel"], "front": ["raw"], "split_recordings": True},
}
MODEL = {
    "kind": "cnn",
    "convolutions": [
        {"filters": 4, "kernel": 8, "stride": 4},
        {"kind": "max", "size": 2},
        {"kind": "depthwise", "kernel": 2},
        {"filters": 6, "kernel": 1},
        {"kind": "average", "size": 0},
    ],
    "hidden": [],
}
LAYERS = (9 * 4, 3 * 4, 5 * 6, 7 * 3)
"""Parameters of each layer: one of three classes."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    tables = folder(tmp_path_factory.mktemp("machines"), machines=3, rows=480, runs=2)
    recipe = parse(
        {
            "fleet": {"table": str(tables / "m*.csv"), **SOURCE},
            "model": MODEL,
            "optimizer": {"learning_rate": 1e-2},
            "foundation": {"table": str(tables / "m0.csv"), **SOURCE, "epochs": 1},
            "serial": {"rounds": 1},
            "parallel": {"rounds": 2},
            "personalize": {"epochs": 3},
            "teaching": {"samples": 1000, "folds": 2},
        },
        "here",
    )
    return recipe, build(recipe)


def ran(name, fleet):
    recipe, built = fleet
    learner = learner_of(recipe, built.target)
    start, _ = pretrain(learner, learner.initial(), built.public, recipe.foundation)
    return start, CellRun(recipe, learner, built.devices[:2], built.devices[2:], built.public, start).run(
        find(name)
    )


def test_it_is_the_network_that_was_asked_for(fleet):
    recipe, built = fleet
    network = network_of(recipe, built.target)
    assert (network.inputs, network.channels, network.outputs) == (48, 1, 3)
    learner = learner_of(recipe, built.target)
    assert learner.layer_sizes == LAYERS
    assert learner.split(0.5) == SplitPoint(body=2, parameters=48)  # the pools are no layers
    device = built.devices[0]
    assert device.train.x.shape[1] == 48
    assert learner.features(learner.initial(), device.train.x).shape == (len(device.train), 6)


@pytest.mark.parametrize("name", names())
def test_every_method_trains_it(name, fleet):
    recipe, built = fleet
    assert find(name).lacking(recipe) == ""
    start, outcome = ran(name, fleet)
    _, again = ran(name, fleet)
    assert {model.name for model in built.devices} == set(outcome.models)
    right = []
    for device in built.devices:
        model, x = outcome.models[device.name], device.train.x
        scores = model.probabilities(x)
        assert scores.shape == (len(x), 3)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
        assert again.models[device.name].probabilities(x).tobytes() == scores.tobytes()
        if model.weights is not None:
            assert model.weights.shape == (sum(LAYERS),)
            assert (model.weights != start).any()
            assert again.models[device.name].weights.tobytes() == model.weights.tobytes()
        right.append(np.mean(scores.argmax(axis=1) == device.train.y))
    assert name in ("majority", "one_rule") or np.mean(right) > 0.5  # of three kinds, alike many

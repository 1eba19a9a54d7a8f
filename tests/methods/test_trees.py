"""Forests and boosted trees: scikit-learn's own numbers, on raw features, for any classes that a device has."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fake_learner import Learner
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from threadpoolctl import threadpool_limits

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.methods import find
from fedmetaalign.methods._trees import random_state
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.recipe import parse

ALONE, POOLED = ("forest_alone", "boosting_alone"), ("forest_pooled", "boosting_pooled")
ESTIMATORS = {
    "forest": lambda state: RandomForestClassifier(random_state=state),
    "boosting": lambda state: HistGradientBoostingClassifier(random_state=state),
}


@pytest.fixture(autouse=True)
def one_thread():
    """The bits of a sum depend on how many add it up."""
    with threadpool_limits(1):
        yield


@cache
def fleet():
    """Three feeders that are standardised by moments of their own."""
    return build(parse({"fleet": {"simulator": "feeder", "count": 3, "samples": 200}}, "here"))


class Kinds(Learner):
    target = Target(("normal", "short", "open", "arc"))


def given(*devices, learner=Learner):
    recipe = parse({"fleet": {"simulator": "feeder"}, "seed": 5}, "here")
    return CellRun(recipe, learner(), devices or fleet().devices, (), None, np.zeros(1, np.float32))


def labelled(labels, query=()):
    """A device of the fleet whose labels are others."""
    device = fleet().devices[0]
    parts = [Samples(device.train.x[: len(y)], np.array(y, np.float32)) for y in (labels, query)]
    return replace(device, own=Part(*parts))


def raw(device, x):
    """The six features of a feeder in volts and amperes, and zeros for the inputs that none takes."""
    found = np.zeros((len(x), 9), np.float32)
    found[:, :6] = device.preparation.raw(x)
    return found


@pytest.mark.parametrize("name", ALONE)
def test_alone_it_is_scikit_learns_on_all_raw_training_samples(name):
    models = given().run(find(name)).models
    for device in fleet().devices:
        test = fleet().test[device.name].x
        estimator = ESTIMATORS[name.split("_")[0]](random_state(5, name, device.name))
        expected = estimator.fit(raw(device, device.train.x), device.train.y).predict_proba(raw(device, test))
        assert models[device.name].probabilities(test).tolist() == expected[:, 1].tolist()
        assert models[device.name].threshold.threshold == 0.5


@pytest.mark.parametrize("name", POOLED)
def test_pooled_it_is_scikit_learns_on_the_raw_samples_of_all(name):
    models = given().run(find(name)).models
    x = np.concatenate([raw(device, device.train.x) for device in fleet().devices])
    y = np.concatenate([device.train.y for device in fleet().devices])
    trained = ESTIMATORS[name.split("_")[0]](random_state(5, name)).fit(x, y)
    for device in fleet().devices:
        test = fleet().test[device.name].x
        expected = trained.predict_proba(raw(device, test))[:, 1]
        assert models[device.name].probabilities(test).tolist() == expected.tolist()


@pytest.mark.parametrize("name", POOLED)
def test_samples_travel_to_the_server_and_the_trees_back(name):
    cell_run = given()
    model = cell_run.run(find(name)).models[fleet().devices[0].name].probabilities.args[0]
    rows = sum(len(device.train) for device in fleet().devices)
    assert model.numbers > 100
    assert cell_run.spent.bytes == 4 * (rows * (6 + 1) + 3 * model.numbers)


@pytest.mark.parametrize("name", ALONE + POOLED)
@pytest.mark.parametrize("only", [0, 1])
def test_a_device_of_one_class_says_that_class(name, only):
    device = labelled([only] * 30, [only] * 3)
    scores = given(device).run(find(name)).models[device.name].probabilities(device.train.x)
    assert scores.tolist() == [float(only)] * 33


@pytest.mark.parametrize("name", ALONE + POOLED)
def test_a_class_that_was_never_seen_has_no_probability(name):
    device = labelled([0, 1, 3] * 30, [0] * 6)
    scores = given(device, learner=Kinds).run(find(name)).models[device.name].probabilities(device.train.x)
    assert scores.shape == (96, 4)
    assert not scores[:, 2].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-12)
    assert (scores[:, [0, 1, 3]].max(axis=0) > 0).all()


@pytest.mark.parametrize("name", ALONE)
def test_of_many_samples_one_alone_of_a_class_stops_nothing(name):
    # Beyond 10,000 scikit-learn's boosting sets a tenth apart that has every class.
    device = fleet().devices[0]
    x = np.resize(device.train.x, (10_050, 9))
    y = np.arange(10_050) % 2
    y[17] = 2
    many = replace(device, own=Part(Samples(x[:-50], y[:-50].astype(np.float32)), Samples(x[-50:], y[-50:])))
    scores = given(many, learner=Kinds).run(find(name)).models[many.name].probabilities(x[:40])
    assert np.isfinite(scores).all()

"""The final evaluation: what results.json says about a device, worked out by hand or a second way."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)
from two_classes import fault_probabilities

from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network, logits
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.deploy import Deployed
from fedmetaalign.phases.evaluate import evaluate, one_rule
from fedmetaalign.recipe import parse
from fedmetaalign.run_folder import RunFolder
from fedmetaalign.tinyml import runtimes
from fedmetaalign.tinyml.bundle import read


@pytest.fixture(scope="module")
def fleet(finished):
    return build(finished.recipe)


@pytest.fixture(scope="module")
def network(finished):
    return Network(finished.recipe.model.inputs, finished.recipe.model.hidden)


def by_scikit_learn(y, score, threshold):
    alarms = score > threshold
    return {
        "accuracy": accuracy_score(y, alarms),
        "f1": f1_score(y, alarms),
        "precision": precision_score(y, alarms) if alarms.any() else None,
        "recall": recall_score(y, alarms),
        "balanced_accuracy": balanced_accuracy_score(y, alarms),
        "mcc": matthews_corrcoef(y, alarms),
        "pr_auc": average_precision_score(y, score),
        "brier": brier_score_loss(y, score),
        "threshold": threshold,
    }


@pytest.fixture
def state(finished, network, tmp_path):
    """The global weights that the run ended with, of a copy: restoring cuts off the records of phase 3."""
    shutil.copytree(finished.folder, tmp_path / "run")
    with RunFolder.reopen(tmp_path / "run", finished.recipe) as folder:
        return folder.restore(network.parameters)


def test_the_global_models_are_judged_at_one_half_on_the_test_set(finished, fleet, network, state):
    for name, device in finished.results["devices"].items():
        test = fleet.test[name]
        for stage in ("foundation", "serial", "parallel"):
            found = fault_probabilities(network, state.stages[stage], test.x)
            assert device["stages"][stage] == pytest.approx(by_scikit_learn(test.y, found, 0.5))


def test_the_deployed_model_is_judged_by_its_own_runtime_and_threshold(finished, fleet):
    for name, device in finished.results["devices"].items():
        bundle, test = read(finished.folder / "devices" / name), fleet.test[name]
        found = bundle.scores(bundle.preparation.raw(test.x))
        assert device["stages"]["deployed"] == pytest.approx(by_scikit_learn(test.y, found, bundle.threshold))


def test_the_random_start_is_no_stage(finished, state):
    start = learner_of(finished.recipe).initial()
    assert not np.array_equal(start, state.stages["foundation"])


def test_the_majority_is_that_of_the_training_labels_on_the_test_labels(finished, fleet):
    for device in fleet.devices:
        faults = device.train.y.mean() > 0.5
        expected = float(np.mean(fleet.test[device.name].y == faults))
        assert finished.results["devices"][device.name]["majority"] == expected


def test_the_rule_is_learnt_in_raw_units(device_table, tmp_path, small):
    table = device_table(samples=300)
    for row in table.rows:
        row[3] = str(int(float(row[2]) > 71.25))
    table.write(tmp_path / "pump.csv")
    columns = {"label": "fault", "features": ["speed", "load", "heat"]}
    fleet = build(parse({"fleet": {"table": str(tmp_path / "pump.csv"), **columns}}, "here"))
    found = one_rule(fleet.devices[0], fleet.test[fleet.devices[0].name], BINARY)
    feature, sign, threshold = found.rule.split()
    assert (feature, sign) == ("heat", ">")
    assert float(threshold) == pytest.approx(71.25, abs=0.2)
    assert found.accuracy > 0.97


@pytest.fixture
def three(finished, fleet, monkeypatch):
    """A device of three classes, its test samples, its own model, and what is deployed, which says the same.

    It is tested on class 1, a fault, of which it has no training sample.
    """
    target = Target(("ok", "short", "idle"), normal=(0, 2))
    device, test = fleet.devices[0], fleet.test[fleet.devices[0].name]
    parts = (device.own.support, device.own.query)
    own = Part(*(Samples(part.x, 2 * (np.arange(len(part)) % 3 > 0)) for part in parts))
    device, test = replace(device, own=own), Samples(test.x, np.arange(len(test)) % 2)
    network = Network(device.train.x.shape[1], (4,), outputs=3)
    weights = np.random.default_rng(1).normal(size=network.parameters).astype(np.float32)
    found = target.probabilities(logits(network, weights, test.x))
    monkeypatch.setattr(runtimes, "scores", lambda model, x, runtime: found)
    learner = NetworkLearner(network, 0.1, 0, target)
    client = Client(finished.recipe, device, learner)
    own = Personal(partial(learner.probabilities, weights), Choice(0.3, None, "few"), weights)
    return client, test, own, found


def test_a_device_of_several_classes_is_judged_by_class(three):
    client, test, own, found = three
    deployed = Deployed(b"model", [], own.threshold, [], 1)
    stages = {"serial": own.weights}
    told = evaluate(client, test, stages, own, deployed, own, "0" * 64).to_dict()
    called = np.where(found[:, 1] > 0.3, 1, np.where(found[:, 2] > found[:, 0], 2, 0))
    for metrics in (told["stages"]["personalized"], told["stages"]["deployed"], told["alone"]):
        assert metrics["confusion"] == confusion_matrix(test.y, called, labels=range(3)).tolist()
        assert metrics["accuracy"] == np.mean((called == 1) == (test.y == 1))
        assert metrics["threshold"] == 0.3
    assert told["stages"]["serial"]["threshold"] == 0.5
    assert (told["classes"], told["normal_classes"]) == (["ok", "short", "idle"], ["ok", "idle"])
    assert told["unseen_kinds"] == ["short"]
    # Two thirds of the training samples are idle, and no test sample is; none is a fault, and half the test is.
    assert (told["majority_class"], told["majority"]) == (0.0, np.mean(test.y == 0))
    assert told["one_rule"] == {"accuracy": np.mean(test.y == 0), "rule": "majority class"}

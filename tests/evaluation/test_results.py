"""The final evaluation: what results.json says about a device, worked out by hand or a second way."""

import shutil
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from fedmetaalign.evaluation.results import baselines, summary
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import fed_meta_align
from fedmetaalign.model.mlp import Network, scores
from fedmetaalign.recipe import parse
from fedmetaalign.run_folder import RunFolder
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
            found = scores(network, state.stages[stage], test.x)
            assert device["stages"][stage] == pytest.approx(by_scikit_learn(test.y, found, 0.5))


def test_the_deployed_model_is_judged_by_its_own_runtime_and_threshold(finished, fleet):
    for name, device in finished.results["devices"].items():
        bundle, test = read(finished.folder / "devices" / name), fleet.test[name]
        found = bundle.scores(bundle.preparation.raw(test.x))
        assert device["stages"]["deployed"] == pytest.approx(by_scikit_learn(test.y, found, bundle.threshold))


def test_the_random_start_is_no_stage(finished, state):
    start = fed_meta_align.start(finished.recipe).weights
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
    found = baselines(fleet.devices[0], fleet.test[fleet.devices[0].name])["one_rule"]
    feature, sign, threshold = found["rule"].split()
    assert (feature, sign) == ("heat", ">")
    assert float(threshold) == pytest.approx(71.25, abs=0.2)
    assert found["accuracy"] > 0.97


class Row(NamedTuple):
    """A device's accuracy deployed and alone, and its F1."""

    deployed: float
    alone: float
    f1: float | None


def device(row):
    return {
        "stages": {
            "parallel": {"accuracy": 0.5, "f1": 0.5, "threshold": 0.5},
            "deployed": {"accuracy": row.deployed, "f1": row.f1, "threshold": 0.3},
        },
        "alone": {"accuracy": row.alone, "f1": 0.5, "threshold": 0.4},
        "majority": 0.6,
        "one_rule": {"accuracy": 0.7},
    }


def test_the_fleet_is_the_mean_of_its_devices():
    rows = {"a": Row(0.9, 0.8, 0.5), "b": Row(0.7, 0.8, None), "c": Row(0.8, 0.8, 0.7)}
    found = summary({name: device(row) for name, row in rows.items()})
    assert found["devices"] == 3
    assert found["stages"]["deployed"]["accuracy"] == pytest.approx(0.8)
    assert found["stages"]["deployed"]["f1"] == pytest.approx(0.6)  # of the two that have one
    assert "threshold" not in found["stages"]["deployed"]
    assert found["majority"] == pytest.approx(0.6)
    assert found["worst"] == {"device": "b", "accuracy": 0.7}


def test_a_metric_that_no_device_has_is_none():
    found = summary({"a": device(Row(0.9, 0.8, None)), "b": device(Row(0.7, 0.8, None))})
    assert found["stages"]["deployed"]["f1"] is None


def test_the_gain_over_being_alone_is_told_with_the_share_that_loses():
    accuracies = {"a": (0.9, 0.8), "b": (0.7, 0.75), "c": (0.8, 0.8), "d": (0.95, 0.8)}
    found = summary({name: device(Row(*both, f1=1.0)) for name, both in accuracies.items()})
    assert found["gain_over_alone"] == pytest.approx((0.1 - 0.05 + 0 + 0.15) / 4)
    assert found["worse_off"] == 0.25


def test_without_that_comparison_nothing_is_said_of_it():
    devices = {"a": device(Row(0.9, 0.8, 1.0))}
    del devices["a"]["alone"]
    assert not {"alone", "gain_over_alone", "worse_off"} & set(summary(devices))

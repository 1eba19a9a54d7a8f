"""The one type of a device's result: each metric goes from `measure` over the wire to fleet and page."""

import json
import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from fedmetaalign.engine.flower import outcome
from fedmetaalign.engine.messages import Finish, Finished
from fedmetaalign.evaluation.metrics import measure
from fedmetaalign.evaluation.result import Epoch, Metrics, OneRule, Result, harmless
from fedmetaalign.evaluation.summary import summary
from fedmetaalign.report.reading import read_run

MEASURED = measure(np.array([0, 1, 0, 1], np.int8), np.array([0.1, 0.9, 0.6, 0.4]), 0.5)


@pytest.fixture(scope="module")
def entry(finished):
    """A device's entry in results.json, and its name."""
    return next(iter(finished.results["devices"].items()))


def test_a_result_is_written_as_it_was_read(finished):
    for told in finished.results["devices"].values():
        assert json.dumps(Result(**told).to_dict()) == json.dumps(told)


def test_what_is_measured_is_what_a_result_holds():
    assert list(MEASURED.to_dict()) == list(Metrics.model_fields)


@pytest.mark.parametrize("metric", Metrics.model_fields)
def test_every_metric_passes_the_wire_and_reaches_the_fleet_and_the_report(metric, finished, entry, tmp_path):
    name, told = entry
    told = json.loads(json.dumps(told))
    told["stages"]["deployed"] = {**MEASURED.to_dict(), metric: 0.1234}
    epochs = range(1, finished.recipe.personalize.epochs + 1)
    records = tuple(Epoch(phase=3, round=epoch, device=name, support_loss=0.5) for epoch in epochs)
    weights = dict.fromkeys(set(told["stages"]) - {"personalized", "deployed"}, np.zeros(1, np.float32))
    sent = outcome.write(Finished(Result(**told), records))
    arrived = outcome.read(sent, name, Finish(np.zeros(1), 1, weights, 1), finished.recipe).result

    fleet = summary({name: arrived})
    if metric in Metrics.averaged():
        assert fleet["stages"]["deployed"][metric] == 0.1234
    shutil.copytree(finished.folder, tmp_path / "run")
    results = {"devices": {name: arrived.to_dict()}, "fleet": fleet}
    (tmp_path / "run" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (device,) = read_run(tmp_path / "run").devices
    assert device.final[metric] == 0.1234


def test_a_reader_takes_what_is_sound_and_leaves_the_rest():
    told = {**MEASURED.to_dict(), "mcc": float("nan"), "f1": None, "accuracy": True, "of_a_later_version": 1}
    del told["brier"]
    whole = MEASURED.to_dict()
    kept = ("precision", "recall", "balanced_accuracy", "pr_auc", "threshold")
    assert Metrics.usable(told) == {"f1": None, **{key: whole[key] for key in kept}}
    for nothing in (None, 3, "x", [], {}):
        assert Metrics.usable(nothing) == {}
    assert Metrics.read(told) is None
    assert Metrics.read({**whole, "of_a_later_version": 1}) == MEASURED


@pytest.mark.parametrize("key", ["accuracy", "brier"])
def test_a_device_without_test_samples_has_no_result(entry, key):
    told = json.loads(json.dumps(entry[1]))
    told["alone"][key] = None
    with pytest.raises(ValidationError, match=f"alone.{key} is missing"):
        Result(**told)


def test_a_result_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        MEASURED.accuracy = 1.0


def test_a_features_name_may_be_anything():
    rule = harmless("volt\nage\ud800 > 3" + "x" * 2000)
    assert rule.startswith("volt age  > 3x") and OneRule(accuracy=0.5, rule=rule).rule == rule

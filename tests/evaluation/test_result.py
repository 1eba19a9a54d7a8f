"""The one type of a device's result: each metric goes from `measure` over the wire to fleet and page."""

import json
import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from fedmetaalign.engine.flower import result_message
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.evaluation.metrics import measure, measure_classes
from fedmetaalign.evaluation.reported import harmless
from fedmetaalign.evaluation.result import CLASSES_ONLY, Epoch, Metrics, OneRule, Result, names_of
from fedmetaalign.evaluation.summary import summary
from fedmetaalign.federation.messages import Finish, Finished
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.report.reading import read_run

MEASURED = measure(np.array([0, 1, 0, 1], np.int8), np.array([0.1, 0.9, 0.6, 0.4]), 0.5)


TARGET = Target(("ok", "short", "open"))
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.7, 0.2, 0.1]])
BY_CLASS = measure_classes(TARGET, np.array([0, 1, 1, 2]), 1 - PROBABILITIES[:, 0], PROBABILITIES, 0.5)


def of_classes(told):
    """A device's entry of three classes, made of one of two: four test samples, and no "open" in training."""
    told = json.loads(json.dumps(told))
    told["stages"] = {stage: BY_CLASS.to_dict() for stage in told["stages"]}
    told |= {"alone": BY_CLASS.to_dict(), "samples": {"train": 9, "test": 4}}
    names = names_of(TARGET.classes)
    return told | {
        **{"classes": names, "normal_classes": names[:1], "unseen_kinds": ["open"], "majority_class": 0.25}
    }


@pytest.fixture(scope="module")
def entry(finished):
    """A device's entry in results.json, and its name."""
    return next(iter(finished.results["devices"].items()))


def test_a_result_is_written_as_it_was_read(finished):
    for told in finished.results["devices"].values():
        assert json.dumps(Result(**told).to_dict()) == json.dumps(told)


def test_what_is_measured_is_what_a_result_holds():
    assert list(BY_CLASS.to_dict()) == list(Metrics.model_fields)
    assert list(MEASURED.to_dict()) == [name for name in Metrics.model_fields if name not in CLASSES_ONLY]


def over_the_wire(name, told, recipe, target):
    """What the server has of a result after a device has sent it."""
    epochs = range(1, recipe.personalize.epochs + 1)
    records = tuple(Epoch(phase=3, round=epoch, device=name, support_loss=0.5) for epoch in epochs)
    weights = dict.fromkeys(set(told["stages"]) - {"personalized", "deployed"}, np.zeros(1, np.float32))
    sent = result_message.write(Finished(Result(**told), records))
    return result_message.read(sent, name, Finish(np.zeros(1), 1, 1, weights), recipe, target).result


@pytest.mark.parametrize("metric", Metrics.model_fields)
def test_every_metric_passes_the_wire_and_reaches_the_fleet_and_the_report(metric, finished, entry, tmp_path):
    name, told = entry
    told = of_classes(told) if metric in CLASSES_ONLY else json.loads(json.dumps(told))
    marked = {"recall_by_class": [0.25, None, 0.75], "confusion": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}
    value = marked.get(metric, 0.1234)
    told["stages"]["deployed"][metric] = value
    arrived = over_the_wire(name, told, finished.recipe, TARGET if metric in CLASSES_ONLY else BINARY)

    fleet = summary({name: arrived})
    if metric in arrived.stages["deployed"].averaged:
        assert fleet["stages"]["deployed"][metric] == 0.1234
    shutil.copytree(finished.folder, tmp_path / "run")
    results = {"devices": {name: arrived.to_dict()}, "fleet": fleet}
    (tmp_path / "run" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (device,) = read_run(tmp_path / "run").devices
    assert device.final[metric] == value


def test_a_result_of_several_classes_arrives_as_it_was_sent(finished, entry):
    told = of_classes(entry[1])
    arrived = over_the_wire(entry[0], told, finished.recipe, TARGET)
    assert json.dumps(arrived.to_dict()) == json.dumps(told)


def test_the_classes_are_those_of_the_fleet(finished, entry):
    name, told = entry
    for wrong, target in ((of_classes(told), BINARY), (told, TARGET), (of_classes(told), Target("abc"))):
        with pytest.raises(WireError, match="its classes are not the fleet's"):
            over_the_wire(name, wrong, finished.recipe, target)


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        (("classes",), ["ok", "short"], "at least 3"),
        (("classes",), ["ok", "short", "open", "other"], "is not of 4 classes"),
        (("classes",), ["ok", "short", "short"], "not among the classes, or two of these are the same"),
        (("classes",), ["ok", "short", "\x1b[2J"], "control character"),
        (("classes",), ..., "is not of 2 classes"),
        (("unseen_kinds",), ["other"], "unseen_kinds are not among the classes"),
        (("unseen_kinds",), ..., "belong to classes"),
        (("majority_class",), ..., "belong to classes"),
        (("stages", "deployed", "confusion"), [[1, 0, 0], [0, 1, 1]], "stages.deployed is not of 3 classes"),
        (("stages", "deployed", "confusion"), [[1, 0], [0, 1], [1, 1]], "stages.deployed is not of 3 classes"),
        (("stages", "deployed", "confusion", 0, 0), 2, "or not of the test samples"),
        (("stages", "deployed", "confusion", 0, 0), -1, "greater than or equal to 0"),
        (("stages", "deployed", "recall_by_class"), [1.0], "stages.deployed is not of 3 classes"),
        (("stages", "deployed", "macro_f1"), ..., "stages.deployed is not of 3 classes"),
        (("alone", "class_accuracy"), ..., "alone is not of 3 classes"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused(entry, path, value, wrong):
    told = of_classes(entry[1])
    inner = told
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(ValidationError) as refused:
        Result(**told)
    assert wrong in str(refused.value)


def test_two_classes_have_nothing_by_class(entry):
    for key in ("normal_classes", "unseen_kinds", "majority_class"):
        with pytest.raises(ValidationError, match="belong to classes"):
            Result(**entry[1], **{key: of_classes(entry[1])[key]})


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

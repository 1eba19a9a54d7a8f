"""The fleet's part of results.json, worked out by hand."""

from typing import NamedTuple

import pytest

from fedmetaalign.evaluation.result import CLASSES_ONLY, Metrics, Result
from fedmetaalign.evaluation.summary import summary

BINARY = [name for name in Metrics.model_fields if name not in CLASSES_ONLY]


class Row(NamedTuple):
    """A device's accuracy deployed and alone, and its F1."""

    deployed: float
    alone: float | None
    f1: float | None


def metrics(accuracy, f1, threshold):
    others = dict.fromkeys(set(BINARY) - {"accuracy", "f1", "threshold"}, 0.25)
    return {**others, "accuracy": accuracy, "f1": f1, "threshold": threshold}


def device(row):
    return Result.model_validate(
        {
            "stages": {"parallel": metrics(0.5, 0.5, 0.5), "deployed": metrics(row.deployed, row.f1, 0.3)},
            "threshold": 0.3,
            "threshold_note": None,
            "majority": 0.6,
            "one_rule": {"accuracy": 0.7, "rule": "Ia > 3.2"},
            "samples": {"train": 8, "test": 2},
            "model_bytes": 100,
            "bundle": "0" * 64,
            **({} if row.alone is None else {"alone": metrics(row.alone, 0.5, 0.4)}),
        }
    )


def test_the_fleet_is_the_mean_of_its_devices():
    rows = {"a": Row(0.9, 0.8, 0.5), "b": Row(0.7, 0.8, None), "c": Row(0.8, 0.8, 0.7)}
    found = summary({name: device(row) for name, row in rows.items()})
    assert found["devices"] == 3
    assert found["stages"]["deployed"]["accuracy"] == pytest.approx(0.8)
    assert found["stages"]["deployed"]["f1"] == pytest.approx(0.6)  # of the two that have one
    assert "threshold" not in found["stages"]["deployed"]
    assert found["majority"] == pytest.approx(0.6)
    assert found["one_rule"] == pytest.approx(0.7)
    assert found["worst"] == {"device": "b", "accuracy": 0.7}


def test_a_metric_that_no_device_has_is_none():
    found = summary({"a": device(Row(0.9, 0.8, None)), "b": device(Row(0.7, 0.8, None))})
    assert found["stages"]["deployed"]["f1"] is None


def test_the_gain_over_being_alone_is_reported_with_the_share_that_loses():
    accuracies = {"a": (0.9, 0.8), "b": (0.7, 0.75), "c": (0.8, 0.8), "d": (0.95, 0.8)}
    found = summary({name: device(Row(*both, f1=1.0)) for name, both in accuracies.items()})
    assert found["gain_over_alone"] == pytest.approx((0.1 - 0.05 + 0 + 0.15) / 4)
    assert found["worse_off"] == 0.25


def test_without_that_comparison_nothing_is_said_of_it():
    found = summary({"a": device(Row(0.9, None, 1.0))})
    assert not {"alone", "gain_over_alone", "worse_off"} & set(found)


def of_classes(confusion, macro_f1, majority_class):
    """A device of three classes that has been judged so, at every stage."""
    rows = [row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)]
    by_class = {"class_accuracy": 0.5, "macro_f1": macro_f1, "recall_by_class": rows, "confusion": confusion}
    told = device(Row(0.9, 0.8, 0.5)).to_dict()
    told["stages"] = {stage: metrics(0.9, 0.5, 0.3) | by_class for stage in told["stages"]}
    told |= {"alone": metrics(0.8, 0.5, 0.3) | by_class}
    told |= {"samples": {"test": sum(map(sum, confusion))}, "classes": ["ok", "short", "open"]}
    told |= {"normal_classes": ["ok"], "unseen_kinds": [], "majority_class": majority_class}
    return Result.model_validate(told)


def test_counts_of_classes_are_added_up_and_their_recalls_are_those_of_the_sums():
    devices = {
        "a": of_classes([[8, 1, 1], [0, 3, 1], [0, 0, 0]], 0.25, 0.75),
        "b": of_classes([[5, 0, 0], [1, 1, 0], [0, 0, 0]], 0.75, 0.25),
    }
    fleet = summary(devices)
    for found in (*fleet["stages"].values(), fleet["alone"]):
        assert found["confusion"] == [[13, 1, 1], [1, 4, 1], [0, 0, 0]]
        assert found["recall_by_class"] == pytest.approx([13 / 15, 4 / 6, None])
        assert (found["macro_f1"], found["class_accuracy"]) == (0.5, 0.5)
    assert fleet["classes"] == ["ok", "short", "open"] and fleet["majority_class"] == 0.5


def test_the_fleet_has_nothing_by_class_of_two_classes():
    fleet = summary({"a": device(Row(0.9, 0.8, None))})
    assert list(fleet["stages"]["deployed"]) == [name for name in BINARY if name != "threshold"]
    assert not {"classes", "majority_class"} & set(fleet)

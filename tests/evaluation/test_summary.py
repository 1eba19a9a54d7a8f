"""The fleet's part of results.json, worked out by hand."""

from typing import NamedTuple

import pytest

from fedmetaalign.evaluation.result import Metrics, Result
from fedmetaalign.evaluation.summary import summary


class Row(NamedTuple):
    """A device's accuracy deployed and alone, and its F1."""

    deployed: float
    alone: float | None
    f1: float | None


def metrics(accuracy, f1, threshold):
    others = dict.fromkeys(set(Metrics.model_fields) - {"accuracy", "f1", "threshold"}, 0.25)
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


def test_the_gain_over_being_alone_is_told_with_the_share_that_loses():
    accuracies = {"a": (0.9, 0.8), "b": (0.7, 0.75), "c": (0.8, 0.8), "d": (0.95, 0.8)}
    found = summary({name: device(Row(*both, f1=1.0)) for name, both in accuracies.items()})
    assert found["gain_over_alone"] == pytest.approx((0.1 - 0.05 + 0 + 0.15) / 4)
    assert found["worse_off"] == 0.25


def test_without_that_comparison_nothing_is_said_of_it():
    found = summary({"a": device(Row(0.9, None, 1.0))})
    assert not {"alone", "gain_over_alone", "worse_off"} & set(found)

from pathlib import Path
from typing import Any

from run_folder import device, fleet_names, metrics, write_run

from fedmetaalign.report.findings import findings, headline, verdict
from fedmetaalign.report.reading import Run, read_run


def plain(accuracy: float, majority: float = 0.7, rule: float = 0.8) -> dict[str, Any]:
    """A device with the same accuracy before and after quantisation, and 100 test samples."""
    return {
        "stages": {"personalized": metrics(accuracy), "deployed": metrics(accuracy)},
        "threshold": 0.5,
        "threshold_note": None,
        "majority": majority,
        "one_rule": {"accuracy": rule, "rule": "Ia > 3.2"},
        "samples": {"test": 100},
        "model_bytes": 48_000,
    }


def run_of(folder: Path, devices: dict[str, Any], fleet: dict[str, Any] | None = None) -> Run:
    return read_run(write_run(folder, list(devices), {"devices": devices, "fleet": fleet or {}}, entries=[]))


def told(run: Run) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        finding.tag: tuple((name, text.replace("\u202f", " ")) for name, text in finding.devices)
        for finding in findings(run)
    }


def test_the_headline_gives_the_means_of_the_devices(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": plain(0.9), "b": plain(0.96, majority=0.6, rule=0.9)})
    assert headline(run).replace("\u202f", " ") == (
        "2 devices: mean test accuracy 93.0 % deployed; "
        "majority class 65.0 %, best single-threshold rule 85.0 %."
    )
    assert verdict(run) == "All 2 devices beat every baseline of their own."
    assert told(run) == {}


def test_the_fleets_own_means_win(tmp_path: Path) -> None:
    fleet = {"stages": {"deployed": {"accuracy": 0.5}}, "majority": 0.25, "one_rule": {"accuracy": 0.75}}
    run = run_of(tmp_path, {"a": plain(0.9)}, fleet)
    assert headline(run).replace("\u202f", " ") == (
        "1 device: test accuracy 50.0 % deployed; majority class 25.0 %, best single-threshold rule 75.0 %."
    )


def test_losers_are_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": plain(0.9), "b": plain(0.77), "c": plain(0.8), "d": plain(0.6)})
    assert verdict(run) == (
        "On average the trained models are no better than the best of these baselines. "
        "1 of 4 devices beats every baseline of its own. "
        "2 devices are below their own one-rule baseline: b and d. "
        "1 device is only level with its own one-rule baseline: c. "
        "1 device is below its own majority-class baseline: d."
    )
    found = told(run)
    assert list(found) == ["not better than one rule", "not better than majority"]
    assert found["not better than one rule"] == (
        ("b", "77.0 % against 80.0 % (Ia > 3.2): 3 of 100 test samples fewer right"),
        ("c", "80.0 % against 80.0 % (Ia > 3.2): the same number of samples right"),
        ("d", "60.0 % against 80.0 % (Ia > 3.2): 20 of 100 test samples fewer right"),
    )
    assert found["not better than majority"] == (
        ("d", "60.0 % against 70.0 % (always the majority class): 10 of 100 test samples fewer right"),
    )


def test_many_losers_are_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: plain(0.75) for name in fleet_names(8)})
    assert "feeder-01, feeder-02, feeder-03, feeder-04 and 4 more." in verdict(run)


def test_without_baselines_nothing_is_claimed(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": {"stages": {"deployed": metrics(0.99)}}})
    assert headline(run).replace("\u202f", " ") == (
        "1 device: test accuracy 99.0 % deployed; no baseline was measured."
    )
    assert verdict(run) == "Without baselines this run cannot say whether a trained model was needed."


def test_a_drop_of_exactly_one_point_is_not_told(tmp_path: Path) -> None:
    one, two = plain(0.9), plain(0.9)
    one["stages"]["deployed"] = metrics(0.89)
    two["stages"]["deployed"] = metrics(0.88)
    assert told(run_of(tmp_path, {"one": one, "two": two})) == {
        "quantisation drop": (("two", "90.0 % before, 88.0 % after: 2.0 points lost"),)
    }


def test_a_threshold_that_fell_back(tmp_path: Path) -> None:
    entry = plain(0.9) | {"threshold_note": "9 samples are too few."}
    assert told(run_of(tmp_path, {"a": entry})) == {
        "threshold fallback": (("a", "threshold 0.500: 9 samples are too few."),)
    }


def test_a_class_missing_in_the_test_set(tmp_path: Path) -> None:
    no_fault, no_normal = plain(0.9), plain(0.9)
    no_fault["stages"]["deployed"] |= {"recall": None, "balanced_accuracy": None}
    no_normal["stages"]["deployed"] |= {"balanced_accuracy": None}
    assert told(run_of(tmp_path, {"a": no_fault, "b": no_normal})) == {
        "class missing": (
            ("a", "no fault among its test samples"),
            ("b", "no normal sample among its test samples"),
        )
    }


def test_a_model_that_always_says_the_same(tmp_path: Path) -> None:
    always, never, fair = plain(0.9), plain(0.9), plain(0.9)
    always["stages"]["deployed"] |= {"recall": 1.0, "balanced_accuracy": 0.5}
    never["stages"]["deployed"] |= {"recall": 0.0, "balanced_accuracy": 0.5}
    fair["stages"]["deployed"] |= {"recall": 0.5, "balanced_accuracy": 0.5}
    assert told(run_of(tmp_path, {"a": always, "b": never, "c": fair})) == {
        "one answer": (("a", "always fault"), ("b", "always normal"))
    }


def test_a_device_without_its_deployed_model(tmp_path: Path) -> None:
    entry = plain(0.9)
    del entry["stages"]["deployed"]
    assert told(run_of(tmp_path, {"a": entry, "b": plain(0.9)})) == {
        "not deployed": (("a", "last stage: personalized"),)
    }


def test_the_made_up_fleet_has_one_loser(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: device(i) for i, name in enumerate(fleet_names(12))})
    assert [name for name, _ in told(run)["not better than one rule"]] == ["feeder-03"]

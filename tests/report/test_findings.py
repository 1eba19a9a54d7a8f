import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from run_folder import device, fleet_names, metrics, write_run

from fedmetaalign.report.findings import findings, headline, summary, verdict
from fedmetaalign.report.reading import Run, read_run

UNKNOWN = "This run did not train its devices alone: what the federation gained them is not known."


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


def beside(accuracy: float, alone: float, samples: int = 100) -> dict[str, Any]:
    """A device that beats its baselines, with another accuracy where it is trained alone."""
    return plain(accuracy, 0.3, 0.4) | {"alone": metrics(alone), "samples": {"test": samples}}


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
    assert verdict(run) == (UNKNOWN, "Both devices beat the baselines that need no neural network.")
    assert told(run) == {}


def test_the_fleets_own_means_win(tmp_path: Path) -> None:
    fleet = {"stages": {"deployed": {"accuracy": 0.5}}, "majority": 0.25, "one_rule": {"accuracy": 0.75}}
    run = run_of(tmp_path, {"a": plain(0.9)}, fleet)
    assert headline(run).replace("\u202f", " ") == (
        "1 device: test accuracy 50.0 % deployed; majority class 25.0 %, best single-threshold rule 75.0 %."
    )


def test_losers_are_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": plain(0.9), "b": plain(0.77), "c": plain(0.8), "d": plain(0.6)})
    assert verdict(run)[1] == (
        "3 of 4 devices are no better than a baseline that needs no neural network: b, c and d; "
        "nor are the devices on average."
    )
    found = told(run)
    assert list(found) == ["not better than one rule", "not better than majority"]
    assert found["not better than one rule"] == (
        ("b", "77.0 % against 80.0 % (Ia > 3.2): 3 of 100 test samples fewer right, may be chance"),
        ("c", "80.0 % against 80.0 % (Ia > 3.2): the same number of samples right"),
        ("d", "60.0 % against 80.0 % (Ia > 3.2): 20 of 100 test samples fewer right, more than chance"),
    )
    assert found["not better than majority"] == (
        (
            "d",
            "60.0 % against 70.0 % (always the majority class): "
            "10 of 100 test samples fewer right, may be chance",
        ),
    )


def test_many_losers_are_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: plain(0.75) for name in fleet_names(8)} | {"good": plain(0.99)})
    assert verdict(run)[1] == (
        "8 of 9 devices are no better than a baseline that needs no neural network: "
        "feeder-01, feeder-02, feeder-03, feeder-04 and 4 more; nor are the devices on average."
    )


def test_without_baselines_nothing_is_claimed(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": {"stages": {"deployed": metrics(0.99)}}})
    assert headline(run).replace("\u202f", " ") == (
        "1 device: test accuracy 99.0 % deployed; no baseline was measured."
    )
    assert verdict(run) == (
        UNKNOWN,
        "Without baselines this run cannot say whether a neural network was needed.",
    )


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


def test_the_made_up_fleet_has_one_loser_of_each_kind(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: device(i) for i, name in enumerate(fleet_names(12))})
    assert [name for name, _ in told(run)["not better than one rule"]] == ["feeder-03"]
    assert [name for name, _ in told(run)["worse than alone"]] == ["feeder-06"]


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        # 6 and 26 errors in 100: at most 32 samples on which one is right, 1.96 sqrt(32) + 1 = 12.1 by chance.
        ((0.94, 0.74), "gained 20.0 points over training alone"),
        ((0.74, 0.94), "lost 20.0 points against training alone"),
        ((0.94, 0.90), "gained 4.0 points over training alone, which may be chance"),
        ((0.90, 0.94), "lost 4.0 points against training alone, which may be chance"),
        ((0.94, 0.94), "gained nothing over training alone"),
    ],
)
def test_the_headline_says_what_the_federation_gained(
    tmp_path: Path, accuracies: tuple[float, float], says: str
) -> None:
    run = run_of(tmp_path, {"a": beside(*accuracies)})
    assert headline(run).replace("\u202f", " ") == (
        f"1 device: the federation {says} "
        f"(test accuracy {100 * accuracies[0]:.1f} % deployed, {100 * accuracies[1]:.1f} % alone)."
    )
    assert verdict(run) == ("It beats the baselines that need no neural network.",)


def test_what_one_device_gains_does_not_hide_what_others_lose(tmp_path: Path) -> None:
    devices = {
        "up": beside(0.95, 0.65),
        "little": beside(0.91, 0.9),
        "same": beside(0.9, 0.9),
        "down": beside(0.7, 0.9),
        "slightly": beside(0.88, 0.9),
    }
    run = run_of(tmp_path, devices)
    assert headline(run).replace("\u202f", " ") == (
        "5 devices: the federation gained 1.8 points on average over training alone, which may be chance "
        "(mean test accuracy 86.8 % deployed, 85.0 % alone)."
    )
    assert verdict(run)[0] == (
        "2 of 5 devices are better off than alone (1 by more than chance), "
        "2 are worse off (1 by more than chance): down and slightly."
    )
    assert told(run) == {
        "worse than alone": (
            ("down", "70.0 % against 90.0 % (alone): 20 of 100 test samples fewer right, more than chance"),
            ("slightly", "88.0 % against 90.0 % (alone): 2 of 100 test samples fewer right, may be chance"),
        )
    }


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([(0.9, 0.6), (0.9, 0.5)], "Both devices are better off than alone by more than chance."),
        ([(0.6, 0.9), (0.5, 0.9)], "Both devices are worse off than alone by more than chance."),
        (
            [(0.91, 0.9), (0.9, 0.9), (0.9, 0.9)],
            "1 of 3 devices is better off than alone (may be chance), none is worse off.",
        ),
        (
            [(0.89, 0.9), (0.88, 0.9), (0.9, 0.9)],
            "2 of 3 devices are worse off than alone (each may be chance): d0 and d1.",
        ),
        ([(0.9, 0.9), (0.8, 0.8)], "None of 2 devices is better or worse off than alone."),
    ],
)
def test_who_is_better_and_who_is_worse_off(
    tmp_path: Path, pairs: list[tuple[float, float]], says: str
) -> None:
    run = run_of(tmp_path, {f"d{i}": beside(*pair) for i, pair in enumerate(pairs)})
    assert verdict(run)[0] == says


def test_of_chance_nothing_is_said_where_the_number_of_test_samples_is_not_known(tmp_path: Path) -> None:
    devices = {name: beside(0.88, 0.9) for name in "ab"}
    for device_ in devices.values():
        del device_["samples"]
    run = run_of(tmp_path, devices)
    assert not any("chance" in text for text in (headline(run), *verdict(run)))
    assert told(run)["worse than alone"] == (
        ("a", "88.0 % against 90.0 % (alone)"),
        ("b", "88.0 % against 90.0 % (alone)"),
    )


def test_devices_that_did_not_train_alone_are_not_counted_among_those_that_did(tmp_path: Path) -> None:
    devices = {"a": beside(0.9, 0.6), "b": beside(0.9, 0.5), "c": plain(0.9)}
    assert verdict(run_of(tmp_path, devices))[0].startswith("Both devices are better off")


def test_the_runs_own_gain_wins(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": beside(0.9, 0.6)}, {"gain_over_alone": -0.25, "alone": {"accuracy": 0.5}})
    assert "lost 25.0 points" in headline(run)
    assert headline(run).replace("\u202f", " ").endswith("90.0 % deployed, 50.0 % alone).")


def test_a_terminal_is_told_in_four_short_lines(tmp_path: Path) -> None:
    devices = {name: beside(0.7, 0.9) | {"threshold_note": "too few"} for name in fleet_names(40)}
    devices |= {"good": beside(0.95, 0.9), "poor": plain(0.31, 0.3, 0.4)}
    devices["poor"]["stages"]["deployed"]["recall"] = None
    devices["poor"]["stages"]["deployed"]["balanced_accuracy"] = None
    lines = summary(run_of(tmp_path, devices))
    assert len(lines) == 4
    assert all(len(line) < 200 and "\n" not in line and "\u202f" not in line for line in lines)
    assert lines[0].startswith(
        "42 devices: the federation lost 19.4 points on average against training alone ("
    )
    assert lines[1].endswith("feeder-01, feeder-02, feeder-03, feeder-04 and 36 more.")
    assert lines[3] == (
        "Also needs attention: threshold not optimised (40 devices); a class is missing in the test set (poor)."
    )


def test_the_words_need_no_drawing_and_no_training_library() -> None:
    heavy = ("matplotlib", "jax", "polars", "sklearn")
    script = (
        f"import fedmetaalign.report.findings, sys; print(*[name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "\n"

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run_folder import device, fleet_names, metrics, write_run

from fedmetaalign.report.decision import headline, summary
from fedmetaalign.report.findings import findings, verdict
from fedmetaalign.report.finished import Run
from fedmetaalign.report.fleet_table import standing
from fedmetaalign.report.reading import read_run


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


def altered(before: float, **after: float | None) -> dict[str, Any]:
    """A device whose deployed model has other metrics than its personalised one."""
    entry = plain(before)
    entry["stages"]["deployed"] |= after
    return entry


UNFINISHED = plain(0.9)
UNFINISHED["stages"] = {"personalized": metrics(0.9)}

RUNS: dict[str, dict[str, Any]] = {
    "the means of two devices": {"a": plain(0.9), "b": plain(0.96, majority=0.6, rule=0.9)},
    "no baselines": {"a": {"stages": {"deployed": metrics(0.99)}}},
    "three of four lose against a baseline": {
        "a": plain(0.9),
        "b": plain(0.77),
        "c": plain(0.8),
        "d": plain(0.6),
    },
    "many lose": {name: plain(0.75) for name in fleet_names(8)} | {"good": plain(0.99)},
    # One of 100 samples wrong more or less may be chance, 20 of them are not.
    "what one device gains does not hide what others lose": {
        "up": beside(0.95, 0.65),
        "little": beside(0.91, 0.9),
        "same": beside(0.9, 0.9),
        "down": beside(0.7, 0.9),
        "slightly": beside(0.88, 0.9),
    },
    "both better": {"a": beside(0.9, 0.6), "b": beside(0.9, 0.5)},
    "both worse": {"a": beside(0.6, 0.9), "b": beside(0.5, 0.9)},
    "one better": {"a": beside(0.91, 0.9), "b": beside(0.9, 0.9), "c": beside(0.9, 0.9)},
    "two worse": {"a": beside(0.89, 0.9), "b": beside(0.88, 0.9), "c": beside(0.9, 0.9)},
    "none better or worse": {"a": beside(0.9, 0.9), "b": beside(0.8, 0.8)},
    "a threshold that fell back": {"a": plain(0.9) | {"threshold_note": "9 samples are too few."}},
    "a class is missing in the test set": {
        "a": altered(0.9, recall=None, balanced_accuracy=None),
        "b": altered(0.9, balanced_accuracy=None),
    },
    "models that always say the same, and one that does not": {
        "a": altered(0.9, recall=1.0, balanced_accuracy=0.5),
        "b": altered(0.9, recall=0.0, balanced_accuracy=0.5),
        "c": altered(0.9, recall=0.5, balanced_accuracy=0.5),
    },
    "one of two loses more than a point to quantisation": {
        "one": altered(0.9, accuracy=0.89),
        "two": altered(0.9, accuracy=0.88),
    },
    "a device without its deployed model": {"a": UNFINISHED, "b": plain(0.9)},
}


def test_what_is_said_of_runs(tmp_path: Path, snapshot: Callable[[str, str], None]) -> None:
    parts, advice = [], {}
    for i, (name, devices) in enumerate(RUNS.items()):
        run = run_of(tmp_path / str(i), devices)
        warnings = [f"[{tag}] {device}: {text}" for tag, found in told(run).items() for device, text in found]
        advice |= {each.tag: f"[{each.tag}] {each.title}. {each.advice}" for each in findings(run)}
        parts.append("\n".join([f"## {name}", headline(run), *verdict(run), *warnings]))
    parts.append("\n".join(["## what each warning means", *advice.values()]))
    snapshot("findings.txt", "\n\n".join(parts).replace("\u202f", " "))


def test_the_made_up_fleet_has_one_loser_of_each_kind(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: device(i) for i, name in enumerate(fleet_names(12))})
    assert [name for name, _ in told(run)["not better than one rule"]] == ["feeder-03"]
    assert [name for name, _ in told(run)["worse than alone"]] == ["feeder-06"]


def test_of_chance_nothing_is_said_where_the_number_of_test_samples_is_not_known(tmp_path: Path) -> None:
    devices = {name: beside(0.88, 0.9) for name in "ab"}
    for device_ in devices.values():
        del device_["samples"]
    run = run_of(tmp_path, devices)
    assert not any("chance" in text for text in (headline(run), *verdict(run)))
    assert [standing(each) for each in run.devices] == [-3, -3]
    assert told(run)["worse than alone"] == (
        ("a", "88.0 % against 90.0 % (alone)"),
        ("b", "88.0 % against 90.0 % (alone)"),
    )


def test_devices_that_did_not_train_alone_are_not_counted_among_those_that_did(tmp_path: Path) -> None:
    devices = {"a": beside(0.9, 0.6), "b": beside(0.9, 0.5), "c": plain(0.9)}
    assert verdict(run_of(tmp_path, devices))[0].startswith("Both devices are better off")


def test_a_terminal_gets_four_short_lines(tmp_path: Path) -> None:
    devices = {name: beside(0.7, 0.9) | {"threshold_note": "too few"} for name in fleet_names(40)}
    devices |= {"good": beside(0.95, 0.9), "poor": plain(0.31, 0.3, 0.4)}
    devices["poor"]["stages"]["deployed"]["recall"] = None
    devices["poor"]["stages"]["deployed"]["balanced_accuracy"] = None
    lines = summary(run_of(tmp_path, devices))
    assert len(lines) == 4
    assert all(len(line) < 200 and "\n" not in line and "\u202f" not in line for line in lines)
    assert lines[0].startswith(
        "Do not deploy these models: on 4,100 held-out samples they are right 70.6 % of the time, 19.4 points"
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

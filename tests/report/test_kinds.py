"""The page says which class is taken for which, and nothing of the kind where there are two."""

from pathlib import Path
from typing import Any

import pytest
from pages import Outline, data_of, details_of, page_of
from run_folder import CLASSES, fleet_names, of_classes, results, write_run

from fedmetaalign.report.finished import Run
from fedmetaalign.report.kinds import confusion, faults_found, fleet_confusion
from fedmetaalign.report.reading import read_run

ONE = [[6, 1, 1], [0, 3, 1], [0, 0, 0]]
OTHER = [[5, 0, 0], [1, 1, 0], [2, 0, 1]]


def entries() -> dict[str, Any]:
    devices = results(fleet_names(2))["devices"]
    first, second = devices.values()
    return {
        "devices": {
            "feeder-01": of_classes(first, ONE, []),
            "feeder-02": of_classes(second, OTHER, ["open"]),
        }
    }


def run_of(folder: Path, found: dict[str, Any]) -> Run:
    return read_run(write_run(folder, [*found["devices"]], found, entries=[]))


def page_with(folder: Path, found: dict[str, Any]) -> str:
    return page_of(write_run(folder, [*found["devices"]], found, entries=[]))


def test_the_page_of_two_classes_has_none(tmp_path: Path) -> None:
    page = page_with(tmp_path, results(fleet_names(2)))
    assert data_of(page)["confusion"] == [] and "confusion" not in details_of(page, "feeder-01")


def test_each_device_and_the_fleet_have_their_counts(tmp_path: Path) -> None:
    page = page_with(tmp_path, entries())
    assert data_of(page)["confusion"] == [
        ["ok", ["normal"], [11, 1, 1], 0.8462],
        ["short", [], [1, 4, 1], 0.6667],
        ["open", ["never trained on: 1 device"], [2, 0, 1], 0.3333],
    ]
    first = details_of(page, "feeder-01")
    assert first["confusion"][2] == ["open", [], [0, 0, 0], None]
    assert dict(zip(first["metrics"], first["stages"]["deployed"], strict=True))["class_accuracy"] == 0.75
    assert details_of(page, "feeder-02")["confusion"][2][1] == ["never trained on"]


def test_one_device_is_its_own_fleet(tmp_path: Path) -> None:
    found = entries()
    del found["devices"]["feeder-02"]
    page = page_with(tmp_path, found)
    assert data_of(page)["confusion"] == [] and details_of(page, "feeder-01")["confusion"][0][2] == [6, 1, 1]


def test_a_kind_that_was_never_trained_on_needs_attention(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, fleet_names(2), entries(), entries=[]))
    assert details_of(page, "feeder-02")["findings"][0][1] == "open"
    assert "Tested on kinds of fault never trained on: 1 device" in Outline(page).text


def test_names_of_classes_are_escaped(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>"
    found = entries()
    for device in found["devices"].values():
        device |= {"classes": ["ok", text, "open"], "unseen_kinds": [text]}
    page = page_of(write_run(tmp_path, fleet_names(2), found, entries=[]))
    assert Outline(page).tags.count("script") == 2 and text in Outline(page).text
    assert data_of(page)["confusion"][1][0] == text


@pytest.mark.parametrize(
    "odd",
    [None, "x", [], [[1, 2], [3, 4]], [[1, 2, 3]] * 2, [[1, 2, 3], [1, 2], [1, 2, 3]], [[1.5, 0, 0]] * 3],
)
def test_counts_that_are_none_are_left_out(tmp_path: Path, odd: object) -> None:
    found = entries()
    found["devices"]["feeder-01"]["stages"]["deployed"]["confusion"] = odd
    run = run_of(tmp_path, found)
    assert confusion(run.devices[0]) is None and confusion(run.devices[1]) is not None
    assert fleet_confusion(run) is None
    page = page_with(tmp_path / "page", found)
    assert "confusion" not in details_of(page, "feeder-01") and "confusion" in details_of(page, "feeder-02")


def test_devices_of_other_classes_are_not_added_up(tmp_path: Path) -> None:
    found = entries()
    found["devices"]["feeder-02"]["classes"] = [*reversed(CLASSES)]
    assert fleet_confusion(run_of(tmp_path, found)) is None


def of_counts(folder: Path, found: int, lost: int, alarms: int, quiet: int) -> Run:
    """A run of one device whose metrics are those of so many faults and normal samples."""
    samples, faults = found + lost + alarms + quiet, found + lost
    entry = results(fleet_names(1))["devices"]["feeder-01"]
    entry["samples"] = {"test": samples}
    entry["majority"] = max(faults, samples - faults) / samples
    entry["stages"]["deployed"] |= {
        "accuracy": (found + quiet) / samples,
        "recall": found / faults if faults else None,
        "precision": found / (found + alarms) if found + alarms else None,
    }
    return run_of(folder, {"devices": {"feeder-01": entry}, "fleet": {}})


@pytest.mark.parametrize(
    "counts", [(78, 29, 16, 197), (30, 3, 0, 7), (0, 4, 0, 96), (5, 1, 90, 4), (1, 0, 0, 0)]
)
def test_faults_found_and_false_alarms_follow_from_the_metrics(tmp_path: Path, counts: tuple[int, ...]) -> None:
    assert faults_found(of_counts(tmp_path, *counts).devices[0]) == counts


def test_metrics_that_leave_open_which_class_is_the_larger_say_nothing(tmp_path: Path) -> None:
    assert faults_found(of_counts(tmp_path, 30, 0, 0, 70).devices[0]) is None

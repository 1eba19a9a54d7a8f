"""The page says which class is taken for which, and nothing of the kind where there are two."""

import re
from pathlib import Path
from typing import Any

import pytest
from pages import Outline, page_of, tables
from run_folder import CLASSES, fleet_names, of_classes, results, write_run

from fedmetaalign.report.finished import Run
from fedmetaalign.report.kinds import confusion, fleet_confusion
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


def section_of(folder: Path, found: dict[str, Any]) -> str:
    page = page_of(write_run(folder, [*found["devices"]], found, entries=[]))
    section = re.search(r"<section><h2>Which kind</h2>(.*?)</section>", page, flags=re.DOTALL)
    return section[1] if section else ""


def test_the_page_of_two_classes_has_no_such_section(tmp_path: Path) -> None:
    assert section_of(tmp_path, results(fleet_names(2))) == ""


def test_each_device_and_the_fleet_have_their_counts(tmp_path: Path) -> None:
    means, fleet, first, second = tables(section_of(tmp_path, entries()))
    assert means == [
        ["feeder-01", "75.0 %", "50.0 %", "0.625", "\u2013"],
        ["feeder-02", "70.0 %", "50.0 %", "0.625", "open"],
    ]
    assert fleet == [
        ["ok normal ", "11", "1", "1", "13", "84.6 %"],
        ["short", "1", "4", "1", "6", "66.7 %"],
        ["open never trained on: 1 device ", "2", "0", "1", "3", "33.3 %"],
    ]
    assert first[2] == ["open", "0", "0", "0", "0", "\u2013"]
    assert [row[0] for row in second] == ["ok normal ", "short", "open never trained on "]


def test_one_device_is_its_own_fleet(tmp_path: Path) -> None:
    found = entries()
    del found["devices"]["feeder-02"]
    section = section_of(tmp_path, found)
    assert [len(table) for table in tables(section)] == [1, 3]
    assert "<details open>" in section


def test_a_kind_that_was_never_trained_on_needs_attention(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, fleet_names(2), entries(), entries=[]))
    assert "<li><b>feeder-02</b>: open</li>" in page
    assert "Tested on kinds of fault never trained on: 1 device" in page


def test_names_of_classes_are_escaped(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>"
    found = entries()
    for device in found["devices"].values():
        device |= {"classes": ["ok", text, "open"], "unseen_kinds": [text]}
    page = page_of(write_run(tmp_path, fleet_names(2), found, entries=[]))
    assert "script" not in Outline(page).tags and "&lt;script&gt;" in page


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
    assert [len(table) for table in tables(section_of(tmp_path / "page", found))] == [1, 3]


def test_devices_of_other_classes_are_not_added_up(tmp_path: Path) -> None:
    found = entries()
    found["devices"]["feeder-02"]["classes"] = [*reversed(CLASSES)]
    assert fleet_confusion(run_of(tmp_path, found)) is None

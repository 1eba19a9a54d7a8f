"""The page says what a limit of size cost, and nothing of the kind where there is none."""

import re
from pathlib import Path
from typing import Any

import pytest
from pages import Outline, page_of, tables
from run_folder import CANDIDATES, RECIPE, fleet_names, results, write_run

SMALLER = [
    CANDIDATES[0] | {"bytes": 51_008, "difference": 0.0071, "accuracy": 0.97},
    CANDIDATES[2]
    | {"way": "pruned to 32 units, low rank", "bytes": 9_600, "difference": 0.0156, "accuracy": 0.96},
]


def section_of(folder: Path, lists: list[Any], recipe: str = "max_bytes = 10000") -> str:
    names = fleet_names(len(lists))
    result = results(names)
    for name, candidates in zip(names, lists, strict=True):
        if candidates is not None:
            result["devices"][name]["ladder"] = candidates
    text = RECIPE.format(name="demo", count=len(names)) + f"[deploy]\n{recipe}\n"
    page = page_of(write_run(folder, names, result, entries=[], recipe=text))
    found = re.search(r"<section><h2>What the size costs</h2>(.*?)</section>", page, flags=re.DOTALL)
    return found[1] if found else ""


def test_one_device_has_its_candidates_in_order(tmp_path: Path) -> None:
    section = section_of(tmp_path, [CANDIDATES])
    assert tables(section) == [
        [
            ["Whole, 8-bit weights", "50 992", "0.007", "95.0 %", "too large"],
            ["Low rank, 8-bit weights", "9 776", "0.185", "90.0 %", ""],
            ["Pruned to 64 units, low rank, 8-bit weights", "9 740", "0.014", "\u2013", "chosen"],
        ]
    ]
    assert "at most 10\u202f000 bytes" in section
    assert "<details open>" in section


def test_a_fleet_has_its_means_first(tmp_path: Path) -> None:
    fleet, *devices = tables(section_of(tmp_path, [CANDIDATES, SMALLER]))
    assert fleet == [
        ["Whole, 8-bit weights", "51 000", "0.007", "96.0 %", "0 of 2 devices"],
        ["Low rank, 8-bit weights", "9 776", "0.185", "90.0 %", "0 of 2 devices"],
        ["Pruned, low rank, 8-bit weights", "9 670", "0.015", "96.0 %", "2 of 2 devices"],
    ]
    assert [len(device) for device in devices] == [3, 2]


def test_those_of_large_fleets_are_folded(tmp_path: Path) -> None:
    assert "<details open>" not in section_of(tmp_path, [CANDIDATES] * 4)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"way": "low rank"},
        CANDIDATES[1] | {"bits": "x"},
        CANDIDATES[1] | {"bytes": None},
        CANDIDATES[1] | {"difference": float("inf")},
        CANDIDATES[1] | {"way": "\x1b[2J"},
        "nonsense",
        3,
    ],
)
def test_a_candidate_that_is_none_is_left_out_and_the_others_stay(tmp_path: Path, odd: object) -> None:
    section = section_of(tmp_path, [[CANDIDATES[0], odd, CANDIDATES[2] | {"of_a_later_version": 1}]])
    assert [row[1] for row in tables(section)[0]] == ["50 992", "9 740"]


def test_a_candidates_words_are_escaped(tmp_path: Path) -> None:
    section = section_of(tmp_path, [[CANDIDATES[0] | {"way": "<script>alert(1)</script>"}]])
    assert "script" not in Outline(section).tags and "&lt;script&gt;" in section


@pytest.mark.parametrize("candidates", ["x", {}, 3, None, [{}], ["nonsense"]])
def test_without_any_there_is_no_such_section(tmp_path: Path, candidates: object) -> None:
    assert section_of(tmp_path, [candidates]) == ""


def test_a_recipe_that_lost_its_size_still_has_a_page(tmp_path: Path) -> None:
    assert tables(section_of(tmp_path, [CANDIDATES], recipe=""))[0][0][-1] == ""

"""The page says what a limit of size cost, and nothing of the kind where there is none."""

from pathlib import Path
from typing import Any

import pytest
from pages import Outline, data_of, details_of, page_of
from run_folder import CANDIDATES, RECIPE, fleet_names, results, write_run

SMALLER = [
    CANDIDATES[0] | {"bytes": 51_008, "difference": 0.0071, "accuracy": 0.97},
    CANDIDATES[2]
    | {"way": "pruned to 32 units, low rank", "bytes": 9_600, "difference": 0.0156, "accuracy": 0.96},
]


def page_with(folder: Path, lists: list[Any], recipe: str = "max_bytes = 10000") -> str:
    names = fleet_names(len(lists))
    result = results(names)
    for name, candidates in zip(names, lists, strict=True):
        if candidates is not None:
            result["devices"][name]["ladder"] = candidates
    text = RECIPE.format(name="demo", count=len(names)) + f"[deploy]\n{recipe}\n"
    return page_of(write_run(folder, names, result, entries=[], recipe=text))


def test_one_device_has_its_candidates_in_order(tmp_path: Path) -> None:
    page = page_with(tmp_path, [CANDIDATES])
    assert details_of(page, "feeder-01")["ladder"] == [
        ["Whole, 8-bit weights", 50992, 0.0069, 0.95, False],
        ["Low rank, 8-bit weights", 9776, 0.1848, 0.9, False],
        ["Pruned to 64 units, low rank, 8-bit weights", 9740, 0.0136, None, True],
    ]
    assert data_of(page)["settings"]["max_bytes"] == 10_000


def test_a_fleet_has_its_means(tmp_path: Path) -> None:
    assert data_of(page_with(tmp_path, [CANDIDATES, SMALLER]))["ladder"] == [
        ["Whole, 8-bit weights", 51_000, pytest.approx(0.007), 0.96, 0],
        ["Low rank, 8-bit weights", 9776, 0.1848, 0.9, 0],
        ["Pruned, low rank, 8-bit weights", 9670, pytest.approx(0.0146), 0.96, 2],
    ]


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
    page = page_with(tmp_path, [[CANDIDATES[0], odd, CANDIDATES[2] | {"of_a_later_version": 1}]])
    assert [row[1] for row in details_of(page, "feeder-01")["ladder"]] == [50992, 9740]


def test_a_candidates_words_are_escaped(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>"
    page = page_with(tmp_path, [[CANDIDATES[0] | {"way": text}]])
    assert Outline(page).tags.count("script") == 2
    assert details_of(page, "feeder-01")["ladder"][0][0] == f"{text}, 8-bit weights"


@pytest.mark.parametrize("candidates", ["x", {}, 3, None, [{}], ["nonsense"]])
def test_without_any_there_is_none(tmp_path: Path, candidates: object) -> None:
    page = page_with(tmp_path, [candidates])
    assert data_of(page)["ladder"] == [] and "ladder" not in details_of(page, "feeder-01")


def test_a_recipe_that_lost_its_size_still_has_a_page(tmp_path: Path) -> None:
    assert data_of(page_with(tmp_path, [CANDIDATES], recipe=""))["settings"] == {"max_bytes": None}

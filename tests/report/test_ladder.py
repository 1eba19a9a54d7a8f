"""The page says what a limit of size cost, and nothing of the kind where there is none."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from run_folder import RECIPE, fleet_names, results, write_run

from fedmetaalign.report import write_report

TITLE = "What the size costs"


def rung(
    way: str, bits: int, size: int, difference: float, accuracy: float | None, shipped: bool
) -> dict[str, Any]:
    return {
        "way": way,
        "bits": bits,
        "bytes": size,
        "difference": difference,
        "accuracy": accuracy,
        "shipped": shipped,
    }


LADDER = [
    rung("whole", 8, 50_992, 0.0069, 0.95, False),
    rung("low rank", 8, 9_776, 0.1848, 0.9, False),
    rung("pruned to 64 units, low rank", 8, 9_740, 0.0136, None, True),
]
SMALLER = [
    rung("whole", 8, 51_008, 0.0071, 0.97, False),
    rung("pruned to 32 units, low rank", 8, 9_600, 0.0156, 0.96, True),
]


def section_of(folder, ladders: list[Any], recipe: str = "max_bytes = 10000") -> str:
    names = fleet_names(len(ladders))
    result = results(names)
    for name, ladder in zip(names, ladders, strict=True):
        if ladder is not None:
            result["devices"][name]["ladder"] = ladder
    text = RECIPE.format(name="demo", count=len(names)) + f"[deploy]\n{recipe}\n"
    page = write_report(write_run(folder, names, result, entries=[], recipe=text)).read_text(encoding="utf-8")
    found = re.search(rf"<section><h2>{TITLE}</h2>(.*?)</section>", page, flags=re.DOTALL)
    return found[1] if found else ""


def tables(section: str) -> list[list[list[str]]]:
    """The texts of the body cells of every table."""
    found = []
    for body in re.findall(r"<tbody>(.*?)</tbody>", section, flags=re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
        found.append([[cell.replace("\u202f", " ") for cell in row] for row in cells])
    return found


def test_a_run_without_a_size_has_no_ladder(tmp_path):
    assert section_of(tmp_path, [None, None]) == ""


def test_one_device_has_its_rungs_in_order(tmp_path):
    section = section_of(tmp_path, [LADDER])
    assert tables(section) == [
        [
            ["Whole, 8-bit weights", "50 992", "0.007", "95.0 %", "too large"],
            ["Low rank, 8-bit weights", "9 776", "0.185", "90.0 %", ""],
            ["Pruned to 64 units, low rank, 8-bit weights", "9 740", "0.014", "\u2013", "chosen"],
        ]
    ]
    assert "at most 10\u202f000 bytes" in section
    assert "<details open>" in section


def test_a_fleet_has_its_means_first(tmp_path):
    section = section_of(tmp_path, [LADDER, SMALLER])
    fleet, *devices = tables(section)
    assert fleet == [
        ["Whole, 8-bit weights", "51 000", "0.007", "96.0 %", "0 of 2 devices"],
        ["Low rank, 8-bit weights", "9 776", "0.185", "90.0 %", "0 of 2 devices"],
        ["Pruned, low rank, 8-bit weights", "9 670", "0.015", "96.0 %", "2 of 2 devices"],
    ]
    assert [len(device) for device in devices] == [3, 2]


def test_large_fleets_ladders_are_folded(tmp_path):
    assert "<details open>" not in section_of(tmp_path, [LADDER] * 4)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"way": "low rank"},
        {**LADDER[1], "bits": "x"},
        {**LADDER[1], "bytes": None},
        {**LADDER[1], "difference": float("inf")},
        {**LADDER[1], "way": "\x1b[2J"},
        "nonsense",
        3,
    ],
)
def test_a_candidate_that_is_none_is_left_out_and_the_others_stay(tmp_path, odd):
    section = section_of(tmp_path, [[LADDER[0], odd, {**LADDER[2], "of_a_later_version": 1}]])
    assert [row[1] for row in tables(section)[0]] == ["50 992", "9 740"]


def test_a_candidates_words_are_escaped(tmp_path):
    script = "<script>alert(1)</script>"
    section = section_of(tmp_path, [[{**LADDER[0], "way": script}]])
    assert "script" not in Tags(section).seen and "&lt;script&gt;" in section


@pytest.mark.parametrize("ladder", ["x", {}, 3, None, [{}], ["nonsense"]])
def test_what_is_no_ladder_is_ignored(tmp_path, ladder):
    assert section_of(tmp_path, [ladder]) == ""


def test_a_recipe_that_lost_its_size_still_has_a_page(tmp_path):
    section = section_of(tmp_path, [LADDER], recipe="")
    assert tables(section)[0][0][-1] == ""

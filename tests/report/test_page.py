import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from pages import Outline, page_of, tables, without_drawings
from run_folder import BUNDLE, CANDIDATES, RECIPE, fleet_names, results, rounds, write_run

from fedmetaalign.errors import RunError
from fedmetaalign.report import write_report

Snapshot = Callable[[str, str], None]

HOSTILE = '<script>alert("x")</script> & $1 \N{SNOWMAN}'
GAINS, FLEET, DETAIL = range(3)
"""The tables of the page, where the devices trained alone."""


@pytest.fixture(scope="module", params=[1, 2, 12, 40])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    folder = write_run(tmp_path_factory.mktemp("run"), fleet_names(request.param))
    return request.param, page_of(folder)


def test_the_page_of_a_fleet(tmp_path: Path, snapshot: Snapshot) -> None:
    """One device loses against its rule and one against itself alone; all that a page may have is there."""
    names = fleet_names(6)
    result = results(names)
    result["devices"]["feeder-01"] |= {"ladder": CANDIDATES, "threshold_note": "9 samples are too few."}
    result["devices"]["feeder-02"] |= {"ladder": CANDIDATES[:1]}
    recipe = RECIPE.format(name="demo", count=6) + "[deploy]\nmax_bytes = 10000\n"
    page = page_of(write_run(tmp_path, names, result, recipe=recipe, bundle=BUNDLE))
    snapshot("page.html", without_drawings(page))


def test_the_page_of_one_device_that_did_not_train_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    result = results(fleet_names(1))
    del result["devices"]["feeder-01"]["alone"]
    page = page_of(write_run(tmp_path, fleet_names(1), result, entries=[]))
    snapshot("page-one.html", without_drawings(page))
    assert ">alone</text>" not in page


def test_the_page_of_a_run_with_next_to_nothing(tmp_path: Path, snapshot: Snapshot) -> None:
    result = {"devices": {"pump": {"stages": {}}, "motor": {}}}
    folder = write_run(tmp_path, ["pump", "motor"], result, entries=[], recipe="name = 'bare'")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    snapshot("page-bare.html", without_drawings(page_of(folder)))


def test_every_device_has_its_row_and_its_numbers(built: tuple[int, str]) -> None:
    count, page = built
    fleet, detail = tables(page)[FLEET], tables(page)[DETAIL]
    # Device 0: level 0.905, so 0.905 - 0.29, - 0.12, - 0.03, + 0.015 and + 0.012 by the formulas of the folder.
    assert fleet[0][:7] == ["feeder-01", "320 / 80", "73.0 %", "83.5 %", "87.7 %", "61.5 %", "78.5 %"]
    assert fleet[0][7:] == ["87.5 %", "92.0 %", "91.7 %", "0.897", "0.500", "51.2 KiB"]
    assert fleet[-1][0].split()[0] == f"feeder-{count:02d}"
    assert detail[0][:2] == ["feeder-01", "91.7 % (83.6 to 96.0)"]
    assert [len(table) for table in tables(page)] == [count] * 3


def test_every_device_stands_beside_what_it_reaches_alone(built: tuple[int, str]) -> None:
    count, page = built
    rows = tables(page)[GAINS]
    first = next(row for row in rows if row[0] == "feeder-01")
    # 8.3 and 12.3 % of 80 samples wrong: (1.96 sqrt(80 * 0.206) + 1) / 80 = 11.2 %.
    assert first[:6] == ["feeder-01", "91.7 %", "87.7 %", "+4.0", "± 11.2", "+3 of 80"]
    assert first[6:] == ["0.897", "0.857", "0.927", "0.887", "better, may be chance"]
    gains = [float(row[3].replace("\u2212", "-")) for row in rows]
    assert gains == sorted(gains)
    if count >= 12:
        assert rows[0][0] == "feeder-06"
        assert (rows[0][3], rows[0][5], rows[0][-1]) == ("\u22122.5", "\u22122 of 80", "worse, may be chance")
    assert ("Worse off than alone: " in page) is (count >= 12)
    assert ("The 12 with the least gain of 40." in page) is (count == 40)


def test_samples_are_counted_once_where_phases_share_them(tmp_path: Path) -> None:
    result = results(fleet_names(1))
    result["devices"]["feeder-01"]["samples"] = {"test": 80, "serial": 64, "parallel": 160, "personalize": 96}
    page = page_of(write_run(tmp_path, fleet_names(1), result, entries=[]))
    assert tables(page)[FLEET][0][1] == "320 / 80"


def test_the_page_is_well_formed_and_stands_alone(built: tuple[int, str]) -> None:
    _, page = built
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids)) > 0
    assert {reference[:1] for reference in outline.references} <= {"#"}
    assert {reference[1:] for reference in outline.references} <= set(outline.ids)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    assert {name[1:] for name in re.findall(r"url\(([^)]*)\)", page)} <= set(outline.ids)
    assert not {"script", "link", "iframe", "img", "object", "embed"} & set(outline.tags)
    assert "@import" not in page
    assert not re.search(r"https?:", page)


def test_figures_take_their_colours_from_the_page(built: tuple[int, str]) -> None:
    _, page = built
    style, body = page.split("</style>")
    drawn = set(re.findall(r"var\((--[a-z0-9-]+)\)", body))
    assert {"--ink", "--muted", "--grid"} <= drawn
    assert drawn <= set(re.findall(r"(--[a-z0-9-]+):", style))
    assert not re.search(r"#000[12]0\d", body)


def test_the_same_folder_gives_the_same_bytes_whatever_matplotlibs_settings(tmp_path: Path) -> None:
    entries = [entry for entry in rounds(fleet_names(3)) if entry["phase"] < 2]
    first = page_of(write_run(tmp_path / "a", fleet_names(3), entries=entries))
    assert page_of(write_run(tmp_path / "b", fleet_names(3), entries=entries)) == first
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "mine"}):
        assert page_of(tmp_path / "a") == first
        assert matplotlib.rcParams["font.size"] == 20


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    names = [HOSTILE, 'fill: #000101 id="x" url(#y)', "насос-電機 $\\frac$"]
    result = results(names)
    device = result["devices"][HOSTILE]
    device["threshold_note"] = 'too <few> & "bad"'
    device["one_rule"] = {"accuracy": 0.99, "rule": "Ia < 3 & <b>Ib</b>"}
    device["ladder"] = [{"way": "<i>"}]
    result["devices"]["{{ run }}"] = device
    recipe = "name = '<i>me</i>'\n# </pre><script>alert(1)</script> ${title}\n"
    bundle = {"<b>": "<u>", "items": {"<b>": ["<u>", {"<b>": "<u>"}], "keys": {"<b>": "<u>"}}}
    page = page_of(write_run(tmp_path, ["x", *names], result, recipe=recipe))
    outline = Outline(page)
    assert not {"script", "i ", "u"} & set(outline.tags)
    for text in (*names, "{{ run }}", 'too <few> & "bad"', "Ia < 3 & <b>Ib</b>", "<i>me</i>", "${title}"):
        assert text in outline.text, text
    one = write_run(
        tmp_path / "one", ["x"], bundle=bundle | {"sha256": {"<u>": "<u>"}, "bytes": {"<u>": "<u>"}}
    )
    outline = Outline(page_of(one))
    assert "u" not in outline.tags
    assert outline.text.count("<u>") == 7


def test_a_stage_that_was_left_out_has_no_column(tmp_path: Path) -> None:
    result = results(fleet_names(3))
    for device in result["devices"].values():
        del device["stages"]["foundation"]
        device["stages"]["serial"] = None
    page = page_of(write_run(tmp_path, fleet_names(3), result, entries=[]))
    head = re.findall(r'<th scope="col">(.*?)</th>', page)
    assert "Parallel" in head
    assert not {"Foundation", "Serial"} & set(head)
    assert ">Foundation</text>" not in page


def test_numbers_that_are_none_of_use_become_dashes(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    device = result["devices"]["feeder-01"]
    device["stages"]["deployed"].update(precision=None, mcc=float("nan"))
    device.update(majority=None, one_rule=None, model_bytes=None, threshold=None)
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[]))
    assert tables(page)[FLEET][0][2:4] == ["\u2013", "\u2013"]
    assert tables(page)[DETAIL][0][2] == "\u2013"
    assert "nan" not in Outline(page).text


def test_a_threshold_is_said_to_be_chosen_as_the_recipe_chose_it(tmp_path: Path) -> None:
    recipe = "[personalize]\nthreshold = 0.4\n"
    page = page_of(write_run(tmp_path, fleet_names(1), entries=[], recipe=recipe))
    assert tables(page)[DETAIL][0][9] == "recipe: 0.4"


def test_how_sure_a_threshold_is(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    sure = {"low": 0.33, "high": 0.52, "f1": 0.875, "f1_low": 0.8, "f1_high": 0.925}
    result["devices"]["feeder-01"] |= {"threshold": 0.41, "threshold_interval": sure}
    recipe = "[personalize]\nbeta = 2.0\n"
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[], recipe=recipe))
    first, second = tables(page)[DETAIL]
    assert first[8:10] == ["0.410 [0.330, 0.520]", "greatest F2: 0.875 [0.800, 0.925] on its samples"]
    assert second[9] == "greatest F2"


def test_the_floor_is_drawn_only_where_it_counts(tmp_path: Path) -> None:
    recipe = '[parallel]\naggregation = "{}"\nfloor = 0.1\n'
    entries: list[dict[str, Any]] = [
        {"phase": 2, "round": r, "device": name, "alignment": 0.5} for r in (1, 2) for name in fleet_names(2)
    ]
    for name, drawn in (("similarity", True), ("mean", False)):
        page = page_of(write_run(tmp_path / name, fleet_names(2), entries=entries, recipe=recipe.format(name)))
        assert (">floor</text>" in page) is drawn


def test_panels_show_only_what_was_recorded(tmp_path: Path) -> None:
    entries = [entry for entry in rounds(fleet_names(2)) if entry["phase"] == 2 and entry["round"] == 1]
    for entry in entries:
        entry["alignment"] = None
    page = page_of(write_run(tmp_path, fleet_names(2), entries=entries))
    assert re.findall(r'aria-label="([^"]*), by round', page) == [
        "Parallel: query loss",
        "Parallel: weight in the average",
    ]


def test_the_loss_that_was_recorded_in_more_rounds_is_drawn(tmp_path: Path) -> None:
    entries = [
        {
            "phase": 0,
            "round": r,
            "device": "public",
            "support_loss": 1 / r,
            "query_loss": 0.5 if r == 3 else None,
        }
        for r in (1, 2, 3)
    ]
    page = page_of(write_run(tmp_path / "few", fleet_names(1), entries=entries))
    assert ">training loss</text>" in page
    assert ">query loss</text>" not in page
    entries = [entry | {"query_loss": 0.5} for entry in entries]
    page = page_of(write_run(tmp_path / "every", fleet_names(1), entries=entries))
    assert ">query loss</text>" in page


def test_a_bundle_of_another_layout_is_shown_as_it_is(tmp_path: Path) -> None:
    odd = {
        "preparation": {"features": ["Ia"], "mean": [1.0, 2.0]},
        "sha256": {"x": "ef" * 32},
        "parts": [[1, 2], {}],
    }
    text = Outline(page_of(write_run(tmp_path, fleet_names(1), entries=[], bundle=odd))).text
    for piece in ("preparation", "Ia", "1, 2", "ef" * 32, "parts"):
        assert piece in text


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("manifest.json", "the run did not start; run its recipe again"),
        ("rounds.jsonl", "the run did not start to train; run its recipe again"),
        ("results.json", "the run has not finished; finish it with `fedmetaalign run --resume`"),
    ],
)
def test_a_missing_file_is_named_and_what_to_do(tmp_path: Path, name: str, says: str) -> None:
    folder = write_run(tmp_path, fleet_names(1))
    (folder / name).unlink()
    with pytest.raises(RunError) as caught:
        write_report(folder)
    assert str(caught.value) == f"{folder} has no {name}: {says}."
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("recipe.toml", "name = ", "is not TOML"),
        ("manifest.json", "[]", "is not a JSON object"),
        ("results.json", "{", "is not JSON"),
        ("results.json", '{"devices": {}}', "names no devices"),
        ("rounds.jsonl", '{"phase": 0}\n{"phase":', "line 2, is not a JSON object"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    folder = write_run(tmp_path, fleet_names(1))
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=says):
        write_report(folder)


def test_an_old_page_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(1), entries=[])
    before = {path.name for path in folder.iterdir()}
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text(encoding="utf-8") != "old"
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}
    assert (folder / "report.html").stat().st_mode == (folder / "results.json").stat().st_mode


def test_missing_values_are_counted_by_device_and_feature(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(2))
    assert "Missing values" not in page_of(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["gaps"] = {"feeder-01": {"Ia": {"empty": 1100, "'<u>'": 2}, "Ib": {"outside 0 to 16": 3}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert [
        ["feeder-01", "Ia", "1 102", "1,100 empty, 2 &#39;&lt;u&gt;&#39;"],
        ["feeder-01", "Ib", "3", "3 outside 0 to 16"],
    ] in tables(page_of(folder))
    manifest["gaps"] = {"feeder-01": [1]}  # of another program
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "Missing values" not in page_of(folder)

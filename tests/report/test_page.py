import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import Outline, data_of, details_of, page_of, row_of, words_of
from run_folder import BUNDLE, CANDIDATES, RECIPE, fleet_names, results, rounds, write_run

from fedmetaalign.errors import RunError
from fedmetaalign.report import write_report

Snapshot = Callable[[str, str], None]

HOSTILE = '<script>alert("x")</script> & $1 \N{SNOWMAN}'


@pytest.fixture(scope="module", params=[1, 12, 60])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    folder = write_run(tmp_path_factory.mktemp("run"), fleet_names(request.param))
    return request.param, page_of(folder)


def test_the_words_of_a_page(tmp_path: Path, snapshot: Snapshot) -> None:
    """One device loses against its rule and one against itself alone."""
    names = fleet_names(6)
    result = results(names)
    result["devices"]["feeder-01"] |= {"ladder": CANDIDATES, "threshold_note": "9 samples are too few."}
    recipe = RECIPE.format(name="demo", count=6) + "[deploy]\nmax_bytes = 10000\n"
    page = page_of(write_run(tmp_path, names, result, recipe=recipe, bundle=BUNDLE))
    snapshot("page.html", words_of(page))


def test_the_page_of_one_device_that_did_not_train_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    result = results(fleet_names(1))
    del result["devices"]["feeder-01"]["alone"]
    page = page_of(write_run(tmp_path, fleet_names(1), result, entries=[]))
    snapshot("page-one.html", words_of(page))
    assert row_of(page, "feeder-01", "alone", "gain", "standing") == [None] * 3


def test_the_page_of_a_run_with_next_to_nothing(tmp_path: Path, snapshot: Snapshot) -> None:
    result = {"devices": {"pump": {"stages": {}}, "motor": {}}}
    folder = write_run(tmp_path, ["pump", "motor"], result, entries=[], recipe="name = 'bare'")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    page = page_of(folder)
    snapshot("page-bare.html", words_of(page))
    assert data_of(page)["columns"] == {"name": ["pump", "motor"]}


def test_every_device_has_its_row_and_its_numbers(built: tuple[int, str]) -> None:
    count, page = built
    # Device 0: level 0.905, so 0.905 - 0.29, - 0.12, - 0.03, + 0.015 and + 0.012 by the formulas of the folder.
    before = row_of(page, "feeder-01", "train", "test", "majority", "one_rule", "alone")
    assert before == [320, 80, 730, 835, 877]
    stages = ("foundation", "serial", "parallel", "personalized", "deployed")
    after = row_of(page, "feeder-01", *stages, "f1", "threshold", "bytes")
    assert after == [615, 785, 875, 920, 917, 897, 500, 52_480]
    # 8.3 and 12.3 % of 80 samples wrong: (1.96 sqrt(80 * 0.206) + 1) / 80 = 11.2 %.
    assert row_of(page, "feeder-01", "gain", "luck", "standing") == [40, 112, 1]
    assert details_of(page, "feeder-01")["bounds"] == [0.8358, 0.96]
    assert {len(values) for values in data_of(page)["columns"].values()} == {count}


def test_those_that_need_attention_come_first_and_then_those_that_gained_least(built: tuple[int, str]) -> None:
    count, page = built
    data = data_of(page)
    names = data["columns"]["name"]
    if count >= 12:
        assert [tag for tag, _, _ in data["findings"]] == ["worse than alone", "not better than one rule"]
        assert names[0] == "feeder-06" and row_of(page, "feeder-06", "gain", "standing", "marks") == [
            -25,
            -1,
            [0],
        ]
        assert details_of(page, "feeder-06")["findings"][0][1].endswith(
            "2 of 80 test samples fewer right, may be chance"
        )
    gains = [row_of(page, name, "gain")[0] for name in names if row_of(page, name, "marks")[0] is None]
    assert gains == sorted(gains)


def test_a_kind_of_finding_is_one_line_however_many_devices_it_concerns(tmp_path: Path) -> None:
    result = results(fleet_names(300))
    for device in result["devices"].values():
        device["threshold_note"] = "9 samples are too few."
    words = Outline(page_of(write_run(tmp_path, fleet_names(300), result, entries=[]))).text
    assert words.count("9 samples are too few") == 1
    assert "Threshold not optimised: 300 devices" in words and "and 292 more: threshold 0." in words


def test_a_large_fleet_is_sampled_and_the_page_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fleet_names(40)
    folder = write_run(tmp_path, names)
    monkeypatch.setattr("fedmetaalign.report.embedding.LIMIT", 40_000)
    data = data_of(page_of(folder))
    kept = len(data["details"])
    assert len(data["columns"]["name"]) == 40 and 0 < kept < 40
    assert [*data["details"]] == [str(place) for place in range(kept)]
    assert (folder / "report.html").stat().st_size < 40_000 + 80_000
    monkeypatch.setattr("fedmetaalign.report.embedding.ROWS", 3_000)
    cut = data_of(page_of(folder))
    assert (
        cut["devices"] == 40
        and cut["columns"]["name"] == data["columns"]["name"][: len(cut["columns"]["name"])]
    )
    assert 5 < len(cut["columns"]["name"]) < 40
    last = data["columns"]["name"][-1]
    wanted = write_report(folder, [last]).read_text(encoding="utf-8")
    assert data_of(wanted)["columns"]["name"][0] == last and details_of(wanted, last)["stages"]


def test_a_device_that_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(2), entries=[])
    with pytest.raises(RunError, match=r"has no device 'pump'; its names stand in results\.json"):
        write_report(folder, ["pump"])


def test_samples_are_counted_once_where_phases_share_them(tmp_path: Path) -> None:
    result = results(fleet_names(1))
    result["devices"]["feeder-01"]["samples"] = {"test": 80, "serial": 64, "parallel": 160, "personalize": 96}
    page = page_of(write_run(tmp_path, fleet_names(1), result, entries=[]))
    assert row_of(page, "feeder-01", "train", "test") == [320, 80]


def test_the_page_is_well_formed_and_stands_alone(built: tuple[int, str]) -> None:
    _, page = built
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids)) > 0
    assert outline.references == []
    assert outline.tags.count("script") == 2
    assert not {"link", "iframe", "img", "object", "embed"} & set(outline.tags)
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in page
    assert not re.search(r"@import|url\(|https?:(?!//www.w3.org/2000/svg)", page)


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    first = page_of(write_run(tmp_path / "a", fleet_names(3)))
    assert page_of(write_run(tmp_path / "b" / "a", fleet_names(3))) == first


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    names = [HOSTILE, "</script><b>", "насос-電機 $\\frac$"]
    result = results(names)
    device = result["devices"][HOSTILE]
    device["threshold_note"] = 'too <few> & "bad"'
    device["one_rule"] = {"accuracy": 0.99, "rule": "Ia < 3 & <b>Ib</b>"}
    device["ladder"] = [{"way": "<i>"}]
    result["devices"]["{{ run }}"] = device
    recipe = "name = '<i>me</i>'\n# </pre><script>alert(1)</script> ${title}\n"
    page = page_of(write_run(tmp_path, ["x", *names], result, recipe=recipe))
    outline = Outline(page)
    assert outline.tags.count("script") == 2
    assert {tag: outline.tags.count(tag) for tag in ("i", "u", "pre")} == {"i": 0, "u": 0, "pre": 1}
    for text in (HOSTILE, "{{ run }}", 'too <few> & "bad"', "Ia < 3 & <b>Ib</b>", "<i>me</i>", "${title}"):
        assert text in outline.text, text
    assert {*names, "{{ run }}"} == {*data_of(page)["columns"]["name"]}
    assert details_of(page, HOSTILE)["rule"] == "Ia < 3 & <b>Ib</b>"


def test_a_stage_that_was_left_out_has_no_column(tmp_path: Path) -> None:
    result = results(fleet_names(3))
    for device in result["devices"].values():
        del device["stages"]["foundation"]
        device["stages"]["serial"] = None
    data = data_of(page_of(write_run(tmp_path, fleet_names(3), result, entries=[])))
    assert [stage for stage, _ in data["stages"]] == ["parallel", "personalized", "deployed"]
    assert "parallel" in data["columns"] and not {"foundation", "serial"} & set(data["columns"])


def test_numbers_that_are_none_of_use_are_no_numbers(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    device = result["devices"]["feeder-01"]
    device["stages"]["deployed"].update(precision=None, mcc=float("nan"))
    device.update(majority=None, one_rule=None, model_bytes=None, threshold=None)
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[], bundle={"scale": float("inf")}))
    keys = ("majority", "one_rule", "bytes", "threshold", "precision", "mcc")
    assert row_of(page, "feeder-01", *keys) == [None] * 6
    assert details_of(page, "feeder-01")["bundle"] == {"scale": None}


def test_how_sure_a_threshold_is(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    sure = {"low": 0.33, "high": 0.52, "f1": 0.875, "f1_low": 0.8, "f1_high": 0.925}
    result["devices"]["feeder-01"] |= {"threshold": 0.41, "threshold_interval": sure}
    recipe = "[personalize]\nbeta = 2.0\n"
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[], recipe=recipe))
    assert details_of(page, "feeder-01")["sure"] == sure and row_of(page, "feeder-01", "threshold") == [410]
    assert data_of(page)["settings"] == {"beta": 2.0, "max_bytes": None}


def test_the_floor_is_told_only_where_it_counts(tmp_path: Path) -> None:
    recipe = '[parallel]\naggregation = "{}"\nfloor = 0.1\n'
    entries: list[dict[str, Any]] = [
        {"phase": 2, "round": r, "device": name, "alignment": 0.5} for r in (1, 2) for name in fleet_names(2)
    ]
    for name, guide in (("similarity", ["floor", 0.1]), ("mean", None)):
        page = page_of(write_run(tmp_path / name, fleet_names(2), entries=entries, recipe=recipe.format(name)))
        [panel] = data_of(page)["panels"]
        assert panel.get("guide") == guide


def test_a_small_fleet_has_a_line_a_device_and_a_large_one_its_spread(built: tuple[int, str]) -> None:
    count, page = built
    panel = next(each for each in data_of(page)["panels"] if each["title"] == "Parallel: query loss")
    assert panel["rounds"] == [*range(1, 11)]
    if count == 60:
        assert "lines" not in panel
        # In round 1 losses lie between 0.1 + 0.28 exp(-1/2) - 0.015 and 0.1 + 0.28 exp(-1/6) + 0.015.
        assert 0.2548 < panel["spread"][0][0] < panel["mean"][0] < panel["spread"][4][0] < 0.3520
    else:
        assert panel["lines"]["feeder-01"][0] == pytest.approx(0.2550, abs=1e-4)


def test_who_had_most_say_stands_first(built: tuple[int, str]) -> None:
    count, page = built
    maps = data_of(page)["heat"]
    assert [each["key"] for each in maps] == (["weight", "alignment"] if count > 1 else [])
    for each in maps:
        weights = [round(sum(row), 2) for row in maps[0]["rows"]]
        assert weights == sorted(weights, reverse=True) and len(each["names"]) == min(count, 40)


def test_answers_that_could_not_be_used_are_counted_by_their_cause(tmp_path: Path) -> None:
    entries = [
        {"phase": 2, "round": r, "device": name, "rejected": "its delta is not finite"}
        for r, name in ((1, "feeder-01"), (1, "feeder-02"), (2, "feeder-01"))
    ] + [{"phase": 1, "round": 3, "device": "feeder-02", "absent": "no answer within 5 s"}]
    page = page_of(write_run(tmp_path, fleet_names(2), entries=entries))
    assert data_of(page)["missed"] == [
        ["rejected", "its delta is not finite", 3, 2, ["feeder-01", "feeder-02"]],
        ["absent", "no answer within 5 s", 1, 1, ["feeder-02"]],
    ]
    assert details_of(page, "feeder-02")["missed"] == [
        [2, 1, "rejected", "its delta is not finite"],
        [1, 3, "absent", "no answer within 5 s"],
    ]


def test_panels_show_only_what_was_recorded(tmp_path: Path) -> None:
    entries = [entry for entry in rounds(fleet_names(2)) if entry["phase"] == 2 and entry["round"] <= 2]
    for entry in entries:
        entry["alignment"] = None
    data = data_of(page_of(write_run(tmp_path, fleet_names(2), entries=entries)))
    assert [each["title"] for each in data["panels"]] == [
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
    for name, some in (("few", entries), ("every", [entry | {"query_loss": 0.5} for entry in entries])):
        [panel] = data_of(page_of(write_run(tmp_path / name, fleet_names(1), entries=some)))["panels"]
        assert panel["what"] == {"few": "training loss", "every": "query loss"}[name]


def test_a_bundle_has_its_inputs_and_files_as_rows_and_another_layout_stays_as_it_is(tmp_path: Path) -> None:
    told = details_of(page_of(write_run(tmp_path / "known", fleet_names(1), bundle=BUNDLE)), "feeder-01")[
        "bundle"
    ]
    assert told["inputs"] == [
        ["Type", "", 0.5, 1.0, [0, 2], ["L", "M", "H"]],
        ["Ia", "A", -7.25, 1089.8508, [1], None],
    ]
    assert (told["width"], told["zeros"], told["encoded"]) == (4, 1, False)
    assert told["files"] == [["model.tflite", 51392, "ab" * 32], ["golden.csv", 1839, "cd" * 32]]
    odd = {
        "preparation": {"features": ["Ia"], "mean": [1.0, 2.0]},
        "sha256": {"x": "ef" * 32},
        "parts": [[1], {}],
    }
    page = page_of(write_run(tmp_path / "odd", fleet_names(1), entries=[], bundle=odd))
    assert details_of(page, "feeder-01")["bundle"] == odd


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


def test_missing_values_are_counted_by_feature(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(2))
    assert data_of(page_of(folder))["gaps"] == []
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["gaps"] = {
        "feeder-01": {"Ia": {"empty": 1100, "'<u>'": 2}, "Ib": {"outside 0 to 16": 3}},
        "feeder-02": {"Ia": {"empty": 1}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert data_of(page_of(folder))["gaps"] == [
        ["Ia", 2, 1103, "1,101 empty, 2 '<u>'"],
        ["Ib", 1, 3, "3 outside 0 to 16"],
    ]
    manifest["gaps"] = {"feeder-01": [1]}  # of another program
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert data_of(page_of(folder))["gaps"] == []


def test_a_manifest_that_names_thousands_of_files_is_cut(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(1), entries=[])
    manifest = {"data": {f"{i}.csv": "ab" * 32 for i in range(10_000)}, "notices": ["x"] * 41}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    told = data_of(page_of(folder))["manifest"]
    assert len(told["data"]) == 41 and told["data"]["..."] == "9960 more in manifest.json"
    assert told["notices"][-1] == "... 1 more in manifest.json"


def test_a_bundle_that_is_not_the_one_of_the_run_is_told(tmp_path: Path) -> None:
    result = results(fleet_names(1))
    result["devices"]["feeder-01"]["bundle"] = "ab" * 32
    for name, digest, found in (("same", "ab" * 32, None), ("other", "cd" * 32, "cd" * 32)):
        folder = write_run(tmp_path / name, fleet_names(1), result, bundle=BUNDLE | {"digest": digest})
        told = details_of(page_of(folder), "feeder-01")
        assert (told["digest"], told.get("found")) == ("ab" * 32, found)


def test_the_command_line_names_devices(tmp_path: Path, cli: Callable[..., Any]) -> None:
    folder = write_run(tmp_path, fleet_names(3), entries=[])
    done = cli("report", folder, "--device", "feeder-03", "--device", "feeder-02")
    assert (done.status, done.out) == (0, f"{folder / 'report.html'}\n")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert {*data_of(page)["columns"]["name"][:2]} == {"feeder-02", "feeder-03"}
    assert cli("report", folder, "--device", "pump").status == 1

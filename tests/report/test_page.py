import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from run_folder import fleet_names, results, rounds, write_run

from fedmetaalign.errors import RunError
from fedmetaalign.report import write_report

HOSTILE = '<script>alert("x")</script> & $1 \N{SNOWMAN}'
VOID = {"meta", "br", "use", "path"}
GAINS, FLEET, DETAIL = range(3)
"""The tables of the page, where the devices trained alone."""


class Outline(HTMLParser):
    """Reads a page as a browser does: which tags are open, what refers to what, what a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID or tag in {"path"}:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                self.references.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if not self.open or self.open[-1] != "style" else ""


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def cells(page: str, table: int, row: int) -> list[str]:
    """The texts of one body row of one table."""
    body = re.findall(r"<tbody>(.*?)</tbody>", page, flags=re.DOTALL)[table]
    line = re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL)[row]
    found = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, flags=re.DOTALL)
    return [re.sub(r"<[^>]*>", " ", cell).replace("\u202f", " ") for cell in found]


@pytest.fixture(scope="module", params=[1, 2, 12, 40])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    folder = write_run(tmp_path_factory.mktemp("run"), fleet_names(request.param))
    return request.param, page_of(folder)


def test_every_device_has_its_row_and_its_numbers(built: tuple[int, str]) -> None:
    count, page = built
    # Device 0: level 0.905, so 0.905 - 0.29, - 0.12, - 0.03, + 0.015 and + 0.012 by the formulas of the folder.
    assert cells(page, FLEET, row=0) == [
        "feeder-01",
        "320 / 80",
        "73.0 %",
        "83.5 %",
        "87.7 %",
        "61.5 %",
        "78.5 %",
        "87.5 %",
        "92.0 %",
        "91.7 %",
        "0.897",
        "0.500",
        "51.2 KiB",
    ]
    assert cells(page, FLEET, row=count - 1)[0].split()[0] == f"feeder-{count:02d}"
    assert cells(page, DETAIL, row=0)[:2] == ["feeder-01", "91.7 % (83.6 to 96.0)"]
    assert len(re.findall(r'<th scope="row" class="name">', page)) == 3 * count


def test_every_device_stands_beside_what_it_reaches_alone(built: tuple[int, str]) -> None:
    count, page = built
    rows = [cells(page, GAINS, row) for row in range(count)]
    first = next(row for row in rows if row[0] == "feeder-01")
    # 8.3 and 12.3 % of 80 samples wrong: (1.96 sqrt(80 * 0.206) + 1) / 80 = 11.2 %.
    assert first == [
        "feeder-01",
        "91.7 %",
        "87.7 %",
        "+4.0",
        "± 11.2",
        "+3 of 80",
        "0.897",
        "0.857",
        "0.927",
        "0.887",
        "better, may be chance",
    ]
    gains = [float(row[3].replace("\u2212", "-")) for row in rows]
    assert gains == sorted(gains)
    if count >= 12:
        assert rows[0][0] == "feeder-06"
        assert (rows[0][3], rows[0][5], rows[0][-1]) == ("\u22122.5", "\u22122 of 80", "worse, may be chance")


def test_the_page_says_first_what_the_federation_gained(built: tuple[int, str]) -> None:
    count, page = built
    seen = re.search(r'<p class="headline">(.*?)</p>', page)
    assert seen is not None
    assert seen.group(1).startswith(f"{count} device{'s' if count > 1 else ''}: the federation gained ")
    assert ("Worse off than alone: " in page) is (count >= 12)
    assert "What each device gained over training alone" in page
    assert ">alone</text>" in page


def test_without_training_alone_the_page_claims_nothing_of_it(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    for device in result["devices"].values():
        del device["alone"]
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[]))
    outline = Outline(page)
    assert "what the federation gained them is not known" in outline.text
    assert "a recipe whose [evaluation] says alone = true" in outline.text
    assert "What each device gained over its best baseline" in outline.text
    assert "Beside training alone" not in outline.text
    assert ">Alone</th>" not in page
    assert ">alone</text>" not in page
    assert cells(page, 0, 0)[4] == "61.5 %"


def test_samples_are_counted_once_where_phases_share_them(tmp_path: Path) -> None:
    result = results(fleet_names(1))
    page = page_of(write_run(tmp_path / "all", fleet_names(1), result, entries=[]))
    assert cells(page, FLEET, 0)[1] == "320 / 80"
    result["devices"]["feeder-01"]["samples"] = {"test": 80, "serial": 64, "parallel": 160, "personalize": 96}
    page = page_of(write_run(tmp_path / "parts", fleet_names(1), result, entries=[]))
    assert cells(page, FLEET, 0)[1] == "320 / 80"


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


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    entries = [entry for entry in rounds(fleet_names(3)) if entry["phase"] < 2]
    first = write_report(write_run(tmp_path / "a", fleet_names(3), entries=entries)).read_bytes()
    assert write_report(write_run(tmp_path / "b", fleet_names(3), entries=entries)).read_bytes() == first
    assert write_report(tmp_path / "a").read_bytes() == first


def test_the_users_matplotlib_settings_do_not_matter(tmp_path: Path) -> None:
    import matplotlib

    folder = write_run(tmp_path, fleet_names(2), entries=[])
    first = page_of(folder)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "mine"}):
        assert page_of(folder) == first
        assert matplotlib.rcParams["font.size"] == 20


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    names = [HOSTILE, 'fill: #000101 id="x" url(#y)', "насос-電機 $\\frac$"]
    result = results(names)
    device = result["devices"][HOSTILE]
    device["threshold_note"] = 'too <few> & "bad"'
    device["one_rule"] = {"accuracy": 0.99, "rule": "Ia < 3 & <b>Ib</b>"}
    folder = write_run(
        tmp_path, names, result, recipe="name = '<i>me</i>'\n# </pre><script>alert(1)</script> ${title}\n"
    )
    bundle = folder / "devices" / "x" / "bundle.json"
    bundle.parent.mkdir(parents=True)
    bundle.write_text(json.dumps({"<b>": "<u>"}), encoding="utf-8")
    page = page_of(folder)
    outline = Outline(page)
    assert not {"script", "i ", "u"} & set(outline.tags)
    for text in (*names, 'too <few> & "bad"', "Ia < 3 & <b>Ib</b>", "<i>me</i>", "${title}"):
        assert text in outline.text, text


def test_a_stage_that_was_left_out_has_no_column(tmp_path: Path) -> None:
    result = results(fleet_names(3))
    for device in result["devices"].values():
        del device["stages"]["foundation"]
        device["stages"]["serial"] = None
    page = page_of(write_run(tmp_path, fleet_names(3), result, entries=[]))
    head = re.findall(r'<th scope="col">(.*?)</th>', page)
    assert "Parallel" in head
    assert "Foundation" not in head
    assert "Serial" not in head
    assert ">Foundation</text>" not in page


def test_a_run_with_next_to_nothing_still_has_a_page(tmp_path: Path) -> None:
    result = {"devices": {"pump": {"stages": {}}, "motor": {}}}
    folder = write_run(tmp_path, ["pump", "motor"], result, entries=[], recipe="")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    outline = Outline(page_of(folder))
    assert "2 devices: no test accuracy was measured." in outline.text
    assert "svg" not in outline.tags


def test_numbers_that_are_none_of_use_become_dashes(tmp_path: Path) -> None:
    result = results(fleet_names(2))
    device = result["devices"]["feeder-01"]
    device["stages"]["deployed"].update(precision=None, mcc=float("nan"))
    device.update(majority=None, one_rule=None, model_bytes=None, threshold=None)
    page = page_of(write_run(tmp_path, fleet_names(2), result, entries=[]))
    assert cells(page, FLEET, 0)[2:4] == ["–", "–"]  # noqa: RUF001
    assert cells(page, DETAIL, 0)[2] == "–"  # noqa: RUF001
    assert "nan" not in Outline(page).text


def test_a_threshold_is_said_to_be_chosen_as_the_recipe_chose_it(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "f1", fleet_names(1), entries=[]))
    assert cells(page, DETAIL, 0)[9] == "greatest F1"
    recipe = "[personalize]\nthreshold = 0.4\n"
    page = page_of(write_run(tmp_path / "fixed", fleet_names(1), entries=[], recipe=recipe))
    assert cells(page, DETAIL, 0)[9] == "recipe: 0.4"


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


def bundle_page(folder: Path, content: dict[str, Any]) -> str:
    write_run(folder, fleet_names(1), entries=[])
    path = folder / "devices" / "feeder-01" / "bundle.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return page_of(folder)


BUNDLE = {
    "version": 1,
    "preparation": {
        "features": ["Type", "Ia"],
        "units": ["", "A"],
        "categories": {"Type": ["L", "M", "H"]},
        "mean": [0.5, -7.25],
        "scale": [1.0, 1089.8508],
        "columns": [0, 1, 0, -1],
    },
    "threshold_note": None,
    "quantization": {"format": "uint8", "input": {"scale": 0.03125, "zero_point": 125}},
    "bytes": {"model.tflite": 51392, "golden.csv": 1839},
    "sha256": {"model.tflite": "ab" * 32, "golden.csv": "cd" * 32},
    "versions": {"fedmetaalign": "0.1.0", "jax": "0.10.2"},
}


def test_a_bundle_is_shown_as_tables(tmp_path: Path) -> None:
    page = bundle_page(tmp_path, BUNDLE)
    assert cells(page, 3, 0) == ["Type", "\u2013", "0.5", "1", "0, 2", "L, M, H"]
    assert cells(page, 3, 1) == ["Ia", "A", "\u22127.25", "1089.85", "1", "\u2013"]
    assert cells(page, 4, 0) == ["model.tflite", "51 392", "ab" * 32]
    text = Outline(page).text
    assert "Of the network's 4 inputs 1 is always 0." in text
    assert "fedmetaalign 0.1.0 \u00b7 jax 0.10.2" in text
    assert "scale 0.03125 \u00b7 zero_point 125" in text
    assert "preparation" not in text


def test_a_bundle_of_another_layout_is_shown_as_it_is(tmp_path: Path) -> None:
    odd = {
        "preparation": {"features": ["Ia"], "mean": [1.0, 2.0]},
        "sha256": {"x": "ef" * 32},
        "parts": [[1, 2], {}],
    }
    text = Outline(bundle_page(tmp_path, odd)).text
    for piece in ("preparation", "Ia", "1, 2", "ef" * 32, "parts"):
        assert piece in text


@pytest.mark.parametrize("name", ["recipe.toml", "manifest.json", "rounds.jsonl", "results.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path, fleet_names(1))
    (folder / name).unlink()
    with pytest.raises(RunError, match=re.escape(name)) as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


def test_an_unfinished_run_says_how_to_finish(tmp_path: Path) -> None:
    folder = write_run(tmp_path, fleet_names(1))
    (folder / "results.json").unlink()
    with pytest.raises(RunError, match="has not finished; finish it with `fedmetaalign run --resume`"):
        write_report(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        write_report(tmp_path / "nowhere")


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
    before: set[Any] = {path.name for path in folder.iterdir()}
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text(encoding="utf-8") != "old"
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}
    assert (folder / "report.html").stat().st_mode == (folder / "results.json").stat().st_mode

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
    assert cells(page, table=0, row=0) == [
        "feeder-01",
        "320 / 80",
        "73.0 %",
        "83.5 %",
        "61.5 %",
        "78.5 %",
        "87.5 %",
        "92.0 %",
        "91.7 %",
        "0.897",
        "0.500",
        "51.2 KiB",
    ]
    assert cells(page, table=0, row=count - 1)[0].split()[0] == f"feeder-{count:02d}"
    assert cells(page, table=1, row=0)[:2] == ["feeder-01", "91.7 % (83.6 to 96.0)"]
    assert len(re.findall(r'<th scope="row" class="name">', page)) == 2 * count


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
    first = write_report(write_run(tmp_path / "a", fleet_names(3))).read_bytes()
    assert write_report(write_run(tmp_path / "b", fleet_names(3))).read_bytes() == first
    assert write_report(tmp_path / "a").read_bytes() == first


def test_the_users_matplotlib_settings_do_not_matter(tmp_path: Path) -> None:
    import matplotlib

    folder = write_run(tmp_path, fleet_names(2))
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
    page = page_of(write_run(tmp_path, fleet_names(3), result))
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
    page = page_of(write_run(tmp_path, fleet_names(2), result))
    assert cells(page, 0, 0)[2:4] == ["–", "–"]  # noqa: RUF001
    assert cells(page, 1, 0)[2] == "–"  # noqa: RUF001
    assert "nan" not in Outline(page).text


def test_a_threshold_is_said_to_be_chosen_as_the_recipe_chose_it(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "f1", fleet_names(1)))
    assert cells(page, 1, 0)[9] == "greatest F1"
    page = page_of(write_run(tmp_path / "fixed", fleet_names(1), recipe="[personalize]\nthreshold = 0.4\n"))
    assert cells(page, 1, 0)[9] == "recipe: 0.4"


def test_the_floor_is_drawn_only_where_it_counts(tmp_path: Path) -> None:
    recipe = '[parallel]\naggregation = "{}"\nfloor = 0.1\n'
    for name, drawn in (("similarity", True), ("mean", False)):
        page = page_of(write_run(tmp_path / name, fleet_names(2), recipe=recipe.format(name)))
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
    folder = write_run(tmp_path, fleet_names(1))
    before: set[Any] = {path.name for path in folder.iterdir()}
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text(encoding="utf-8") != "old"
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}
    assert (folder / "report.html").stat().st_mode == (folder / "results.json").stat().st_mode

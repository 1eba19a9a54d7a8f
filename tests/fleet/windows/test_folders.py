"""Folders of recordings: what the names of files say, and devices made of several files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from recordings import signal

from fedmetaalign import recipe
from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.build import build, build_shared
from fedmetaalign.fleet.folders import recordings_in
from fedmetaalign.fleet.local_device import read_table
from fedmetaalign.fleet.newcomer import newcomer
from fedmetaalign.fleet.sources import find_devices, raw_tables


def record(path, kind, seed, rows=160, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pl.DataFrame({"accel": signal(kind, rows, random), **more}).write_csv(path)


def rig(folder):
    """Two machines, a folder each, with two recordings of either class: m0/normal_0.csv, ..."""
    for i, machine in enumerate(("m0", "m1")):
        for j, kind in enumerate(("normal", "normal", "rattle", "rattle")):
            record(folder / machine / f"{kind}_{j % 2}.csv", kind, 10 * i + j)
    return folder


def recipe_of(folder, **changes):
    keys = {
        "name": "rig",
        "fleet": {
            "table": "*/*.csv",
            "label": "state",
            "normal": ["normal"],
            "device": "machine",
            "window": {
                "length": 32,
                "channels": ["accel"],
                "front": ["raw"],
                "files": "{machine}/{state}_{run}",
            },
        },
    }
    for key, value in changes.items():
        target = keys["fleet"]["window"] if key in ("files", "by") else keys["fleet"]
        target[key] = value
    keys["fleet"]["table"] = str(folder / keys["fleet"]["table"])
    return recipe.parse(keys, "here")


def test_a_device_is_made_of_the_files_that_name_it(tmp_path):
    tables = raw_tables(recipe_of(rig(tmp_path)))
    assert [table.name for table in tables] == ["m0", "m1"]
    assert [len(table) for table in tables] == [20, 20]
    assert tables[0].classes == ("normal", "rattle")
    names = ["m0/normal_0", "m0/normal_1", "m0/rattle_0", "m0/rattle_1"]
    assert tables[0].windows.recordings.tolist() == np.repeat(names, 5).tolist()
    assert tables[0].y.tolist() == [0] * 10 + [1] * 10
    assert (np.diff(tables[0].windows.spans[:, 0]) > 0).all()  # no two recordings share a sample
    assert len(tables[0].files) == 4


def test_a_fleet_of_such_devices_is_split_by_files_and_tells_them_all(tmp_path):
    fleet = build(recipe_of(rig(tmp_path)))
    assert [len(fleet.test[name]) for name in ("m0", "m1")] == [10, 10]
    assert len(fleet.files) == 8


def test_without_a_device_all_files_are_of_one(tmp_path):
    rig(tmp_path)
    (table,) = raw_tables(recipe_of(tmp_path, table="m1/*.csv", files="{state}_{run}", device=[], name="press"))
    assert (table.name, len(table)) == ("press", 20)


def test_a_short_recording_is_told_and_one_that_is_broken_leaves_its_device_out(tmp_path):
    rig(tmp_path)
    record(tmp_path / "m0" / "normal_9.csv", "normal", 1, rows=20)
    (tmp_path / "m1" / "normal_1.csv").write_text("accel\nx\ny\n", encoding="utf-8")
    found = find_devices(recipe_of(tmp_path))
    (table,) = found.tables
    assert table.windows.notes == ("m0: 1 of 5 recordings are shorter than a window and left out.",)
    assert found.left_out[0].name == "m1"
    assert "normal_1.csv" in found.left_out[0].sentence


def test_the_parts_of_a_name_are_as_short_as_can_be():
    here = Path(__file__)
    (found,) = recordings_in(here.parent / "test_folders.p*", "{a}_{b}")
    assert dict(found.parts) == {"a": "test", "b": "folders"}
    (found,) = recordings_in(here.parent / "test_recordings_ap*.py", "{a}_{b}")
    assert dict(found.parts) == {"a": "test", "b": "recordings_apart"}


@pytest.mark.parametrize("given", ["m1", "m1/*.csv", ["m1/normal_0.csv", "m1/*_1.csv", "m1/rattle_0.csv"]])
def test_a_device_gives_its_recordings_as_a_folder_a_pattern_or_one_by_one(tmp_path, given):
    recipe = recipe_of(rig(tmp_path))
    paths = [tmp_path / each for each in ([given] if isinstance(given, str) else given)]
    member, table = raw_tables(recipe)[1], read_table(recipe, "m1", *paths)
    order = np.lexsort((table.windows.spans[:, 0], table.windows.recordings))
    assert table.x[order].tobytes() == member.x.tobytes() and table.y[order].tobytes() == member.y.tobytes()
    _, shared = build_shared(recipe)
    found = newcomer(recipe, shared, ["m0"], paths, "new", None, 0.0)
    assert (found.rows, found.labelled, dict(found.classes)) == (20, 20, {"normal": 10, "rattle": 10})
    assert {path.name for path in found.files} == {f"{k}_{i}.csv" for k in ("normal", "rattle") for i in (0, 1)}


def test_what_is_no_recording_of_a_device_is_one_sentence(tmp_path):
    recipe = recipe_of(rig(tmp_path))
    (tmp_path / "m1" / "notes.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"notes\.csv is not called like .*: name it so, or let --table leave it"
    ):
        read_table(recipe, "m1", tmp_path / "m1")
    with pytest.raises(DataError, match=r"x\*\.csv stands for no table: check --table"):
        read_table(recipe, "m1", tmp_path / "x*.csv")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"files": "{machine}/{state}-{run}"},
            "is not called like fleet.window.files = '{machine}/{state}-{run}'",
        ),
        ({"device": "site"}, "fleet.device names 'site', and the names of files tell machine, state, run"),
        ({"table": "*/*.parquet"}, "No file matches"),
    ],
)
def test_names_that_do_not_fit_are_one_sentence(tmp_path, changes, says):
    with pytest.raises(DataError) as caught:
        find_devices(recipe_of(rig(tmp_path), **changes))
    assert says in str(caught.value)


def test_a_part_that_is_a_column_too_is_refused(tmp_path):
    record(tmp_path / "m0" / "normal_0.csv", "normal", 0, state=["normal"] * 160)
    (left,) = find_devices(recipe_of(tmp_path)).left_out
    assert "normal_0.csv has a column 'state', and its name tells 'state', too" in left.sentence


@pytest.mark.parametrize("files", ["{a}{b}", "name", "{a}_{a}", "{a"])
def test_a_pattern_that_says_nothing_is_refused(tmp_path, files):
    with pytest.raises(RecipeError, match=r"fleet\.window\.files = "):
        recipe_of(tmp_path, files=files)

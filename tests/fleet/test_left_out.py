"""Devices that cannot be used: left out and named, with all that is wrong in one report."""

import json

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import DataErrors
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.sources import find_devices

FLEET = """[fleet]
table = "*.csv"
label = "fault"
features = ["speed", "load", "heat"]
missing_values = "reject"
"""


@pytest.fixture
def folder(here, device_table, small):
    """A folder of tables: two good ones, and each way of being none."""
    for seed, name in enumerate(("fan", "pump 1")):
        device_table(seed=seed).write(here / f"{name}.csv")
    spoilt = device_table(seed=2)
    for line in range(10, 24, 2):
        spoilt.rows[line - 2][1] = "n/a"
    spoilt.rows[40][2] = ""
    spoilt.rows[3][3] = "broken"
    spoilt.write(here / "mill.csv")
    worn = device_table(seed=3)
    worn.rows = [[*row[:3], "1"] for row in worn.rows]
    worn.write(here / "worn.csv")
    (here / "empty.csv").write_text("")
    (here / "recipe.toml").write_text(FLEET + small, encoding="utf-8")
    return here


def wrong(here):
    """What is wrong with the folder, in the order of its devices."""
    mill = f"{here}/mill.csv, line"
    return [
        f"{here}/empty.csv is empty; give it a header and rows",
        f"{mill} 5, column 'fault' is a label but not 0/1: the column holds '0', '1', 'broken'; say with"
        " `normal` which values mean no fault, or with `positive` which mean fault",
        f"{mill} 10, column 'load' holds 'n/a', which means that there is no value, as on lines 12, 14, 16, 18"
        " and 2 more; fill the cell in or remove the row",
        f"{mill} 42, column 'heat' is empty; fill the cell in or remove the row",
        f"Device worn in {here}/worn.csv has only faults, and standardised by these alone they look as normal"
        ' samples do elsewhere: set fleet.scaling = "fleet", add normal samples, or leave the device out',
    ]


def test_a_run_goes_on_with_the_others_and_names_those_left_out(folder, cli, no_report):
    ended = cli("run", "recipe.toml", "--out", "run", "--json")
    assert ended.status == 0
    results = json.loads(ended.out)
    assert set(results["devices"]) == {"fan", "pump_1"}
    assert {path.name for path in (folder / "run" / "devices").iterdir()} == {"fan", "pump_1"}
    empty, label, number, nothing, one_kind = wrong(folder)
    assert list(results["left_out"]) == ["empty", "mill", "worn"]
    assert [each["sentence"] for each in results["left_out"]["mill"]] == [label, number, nothing]
    assert results["left_out"]["mill"][1] == {
        "sentence": number,
        "kind": "missing",
        "device": "mill",
        "file": f"{folder}/mill.csv",
        "column": "load",
        "lines": [10, 12, 14, 16, 18],
        "count": 7,
    }
    assert ended.err.splitlines()[:4] == [
        f"fedmetaalign: empty is left out: {empty}.",
        f"fedmetaalign: mill is left out: {label} (and 2 more).",
        f"fedmetaalign: worn is left out: {one_kind}.",
        "fedmetaalign: Devices are called as their folders can be: 'pump 1' is 'pump_1'.",
    ]
    manifest = json.loads((folder / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert [f"fedmetaalign: {notice}" for notice in manifest["notices"]] == ended.err.splitlines()


def test_a_strict_fleet_stops_with_all_that_is_wrong(folder, cli):
    ended = cli("run", "recipe.toml", "--set", "fleet.strict=true", "--json")
    lines = ["5 things are wrong with the tables:", *(f"  {sentence}." for sentence in wrong(folder))]
    # Grouped by kind; here each is one of its own.
    assert (ended.status, ended.err) == (1, "fedmetaalign: " + "\n".join(lines) + "\n")
    assert [each["sentence"].rstrip(".") for each in json.loads(ended.out)["errors"]] == wrong(folder)
    assert not (folder / "runs").exists()


def test_a_run_fails_where_nobody_is_left(folder, refused):
    for name in ("fan", "pump 1"):
        (folder / f"{name}.csv").unlink()
    sentences = [each.strip().rstrip(".") for each in refused("run", "recipe.toml").splitlines()]
    assert sentences == ["5 things are wrong with the tables:", *wrong(folder)]


def test_of_a_kind_five_are_told_and_how_many_more(folder, device_table):
    for number in range(8):
        (folder / f"zero-{number}.csv").write_text("speed,load,heat,fault\n")
    with pytest.raises(DataErrors) as caught:
        build(recipes.load(str(folder / "recipe.toml"), ["fleet.strict=true"]))
    lines = str(caught.value).split("\n  ")
    assert lines[0] == "13 things are wrong with the tables:"
    assert lines[-6] == f"{folder}/zero-0.csv has a header but no rows; remove the device or give it data."
    assert lines[-2].startswith(f"{folder}/zero-4.csv") and lines[-1] == "... and 3 more of this kind."
    assert len(caught.value.problems) == 13


def test_devices_that_are_excluded_are_not_even_read(folder):
    recipe = recipes.load(str(folder / "recipe.toml"), ['fleet.exclude=["empty", "pump 1", "?ill", "worn*"]'])
    assert [table.name for table in find_devices(recipe).tables] == ["fan"]
    fleet = build(recipe)
    assert (fleet.left_out, fleet.notices) == ((), ())


def test_nobody_is_excluded_by_a_name_that_no_device_has(folder, refused):
    assert refused("run", "recipe.toml", "--set", 'fleet.exclude=["fan", "vale"]') == (
        "fleet.exclude names 'vale', and no device is called so: the fleet has 'empty', 'fan', 'mill',"
        " 'pump_1', 'worn'."
    )


def test_a_device_that_a_microcontroller_could_not_tell_apart_is_left_out(folder, cli, device_table, no_report):
    drifting = device_table(seed=4)
    for row in drifting.rows:
        row[0] = f"{1e9 + float(row[0]) / 1e3:.6f}"
    drifting.write(folder / "clock.csv")
    ended = cli("run", "recipe.toml", "--out", "run", "--json")
    (problem,) = json.loads(ended.out)["left_out"]["clock"]
    assert problem["sentence"].startswith(
        "Device clock: Feature 'speed' varies by 0.0949 about a mean of 1e+09"
    )


def test_a_fleet_that_cannot_be_judged_is_trained_all_the_same_and_not_compared(here, cli, small, no_report):
    rows = [f"{1500 + 7 * i % 90},{40 + 3 * i % 11},{70 + i % 5},{int(i == 5)}" for i in range(60)]
    (here / "pump.csv").write_text("speed,load,heat,fault\n" + "\n".join(rows) + "\n")
    (here / "recipe.toml").write_text(FLEET + small, encoding="utf-8")
    ended = cli("run", "recipe.toml", "--out", "run", "--json")
    assert (ended.status, json.loads(ended.out)["devices"]["pump"]["known"]) == (0, "normal")
    assert (here / "run" / "devices" / "pump" / "bundle.json").exists()
    sentence = (
        "No device has a fault in its test set, and nothing says how well faults are found: give one of them"
        " more faults, or change [splits]."
    )
    assert f"fedmetaalign: {sentence}" in ended.err.splitlines()
    assert cli("run", "recipe.toml", "--out", "other").status == 0  # the table and the sentences go through
    ended = cli("compare", "recipe.toml", "--out", "compared")
    assert (ended.status, ended.err) == (1, f"fedmetaalign: {sentence}\n")

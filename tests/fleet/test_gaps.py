"""What becomes of missing and damaged values, from a file to a device, under each rule."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.build import build, build_shared
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.local_device import build_device, hello, read_table
from fedmetaalign.fleet.missing.gaps import filled, notices
from fedmetaalign.fleet.newcomer import newcomer
from fedmetaalign.fleet.table_file import save_table
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import parse

FLOW = ["1.5", "", "No Data", "3.5", "[-11059] No Good Data For Calculation", "17", "2,5", "-999", "9.5", "4.5"]
FILE = "flow,heat,fault\n" + "".join(f'"{cell}",{i},{i % 2}\n' for i, cell in enumerate(FLOW))
HOLES = [1, 2, 4, 5, 6, 7]
RANGE = {"flow": (0.0, 16.0)}
COUNTS = {
    "empty": 1,
    "'No Data'": 1,
    "'[-11059] No Good Data For Calculation'": 1,
    "'2,5'": 1,
    "'-999'": 1,
    "outside 0 to 16": 1,
}


def table_of(path, rule, text=FILE, **more):
    path.joinpath("pump.csv").write_text(text, encoding="utf-8")
    missing = Missing(rule, ("-999",), RANGE)
    return read(path / "pump.csv", Columns("fault", ("flow", "heat"), missing=missing, **more), "pump")


def test_each_gap_is_counted_with_what_the_cell_says(tmp_path):
    table = table_of(tmp_path, "median")
    assert table.gaps == {"flow": COUNTS}
    assert np.flatnonzero(np.isnan(table.x[:, 0])).tolist() == HOLES
    assert not np.isnan(table.x[:, 1]).any()
    [said] = notices([table])
    assert said == (
        "Missing values, median: filled 6 cells of 'flow' (1 empty, 1 'No Data', 1 '[-11059] No Good Data For"
        " Calculation', 1 '2,5', 1 '-999', 1 other) on pump."
    )


def test_the_median_is_that_of_the_training_samples(tmp_path):
    table = filled(table_of(tmp_path, "median"), np.array([0, 1, 2, 3, 8]))
    assert table.fill == (3.5, 2.0)  # of 1.5, 3.5, 9.5; and of 0, 1, 2, 3, 8
    assert table.x[:, 0].tolist() == [1.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 9.5, 4.5]


def test_the_last_good_value_stands_until_there_is_another(tmp_path):
    text = FILE.replace('"1.5"', '""', 1)  # nothing before row 3
    table = filled(table_of(tmp_path, "last", text), np.array([3, 8]))
    assert table.x[:, 0].tolist() == [6.5, 6.5, 6.5, 3.5, 3.5, 3.5, 3.5, 3.5, 9.5, 4.5]


def test_rows_go(tmp_path):
    table = table_of(tmp_path, "drop")
    assert table.x.tolist() == [[1.5, 0], [3.5, 3], [9.5, 8], [4.5, 9]]
    assert table.y.tolist() == [0, 1, 0, 1]
    assert table.dropped.tolist() == HOLES
    [said] = notices([table])
    assert said.startswith(
        "Missing values, drop: left out 6 of 10 rows of pump, for 6 cells of 'flow' (1 empty,"
    )


def test_an_input_says_where_training_samples_lack_a_value(tmp_path):
    table = filled(table_of(tmp_path, "flag"), np.array([0, 1, 3, 8]))
    assert table.features == ("flow", "heat", "flow is missing")
    assert (table.units, table.flags) == (("", "", ""), (0,))
    assert np.flatnonzero(table.x[:, 2]).tolist() == HOLES
    # No training sample lacks a value: no input.
    assert filled(table_of(tmp_path, "flag"), np.array([0, 3])).features == ("flow", "heat")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "is empty; fill the cell in or remove the row"),
        ("N/A", "holds 'N/A', which means that there is no value; fill the cell in or remove the row"),
        ("-999", "holds '-999', which means that there is no value; fill the cell in or remove the row"),
        ("17", "holds 17, which is outside 0 to 16; correct the cell or the range"),
        ("1e400", "holds '1e400', which is not a finite number; correct it or remove the row"),
    ],
)
def test_nothing_is_missing_under_reject(tmp_path, cell, said):
    text = f"flow,heat,fault\n1,1,0\n{cell},2,1\n"
    with pytest.raises(DataError) as error:
        table_of(tmp_path, "reject", text)
    assert str(error.value) == f"{tmp_path}/pump.csv, line 3, column 'flow' {said}"
    with pytest.raises(DataError, match=r"^2 things are wrong with the tables:") as error:
        table_of(tmp_path, "reject", text + f"{cell},,0\n")
    assert [(p.column, p.lines) for p in error.value.problems] == [("flow", (3, 4)), ("heat", (4,))]


def test_a_column_of_words_is_no_sensor_with_damaged_values(tmp_path):
    text = "flow,heat,fault\nopen,1,0\nshut,2,1\n3,3,1\n"
    said = (
        r"line 2, column 'flow' holds 'open', and 2 of its 3 values are no numbers, as on line 3; correct it, l"
    )
    with pytest.raises(DataError, match=said):
        table_of(tmp_path, "median", text)


def test_a_sensor_that_never_gave_a_value_is_none_of_the_devices(tmp_path):
    text = "flow,heat,fault\n,1,0\nNA,2,1\n-999,3,1\n"
    table = table_of(tmp_path, "median", text, units={"flow": "l", "heat": "K"})
    assert (table.features, table.units, table.x.tolist()) == (("heat",), ("K",), [[1], [2], [3]])
    assert [*notices([table])] == [
        "Missing values, median: filled 3 cells of 'flow' (1 empty, 1 'NA', 1 '-999') on pump; it never gave"
        " 'flow', and lacks that."
    ]


def test_each_device_of_one_file_has_its_own_gaps(tmp_path):
    (tmp_path / "t.csv").write_text("site,a,fault\nx,1,0\ny,,1\nx,2,1\ny,4,0\nx,NA,1\n", encoding="utf-8")
    columns = Columns("fault", ("a",), missing=Missing("last"))
    x, y = (each.read() for each in cut(tmp_path / "t.csv", columns, ("site",)))
    assert (x.gaps, y.gaps) == ({"a": {"'NA'": 1}}, {"a": {"empty": 1}})
    assert x.x.tolist() == [[1], [2], [2]]
    assert np.isnan(y.x[0, 0]) and y.x[1, 0] == 4  # nothing of another device stands there


def test_a_text_that_is_missing_is_one_of_its_texts(tmp_path):
    text = "flow,heat,fault\n1,low,0\n2,high,1\n3,,0\n4,?,1\n5,low,0\n6,high,0\n"
    table = table_of(tmp_path, "median", text, categories={"heat": ("low", "high")})
    assert table.gaps == {"heat": {"empty": 1, "'?'": 1}}
    assert filled(table, np.arange(6)).x[:, 1].tolist() == [0, 1, 0, 0, 0, 1]  # never 0.5


@pytest.fixture
def plan(folder_of_pumps):
    def make(rule, **more):
        fleet = {"table": str(folder_of_pumps / "*.csv"), "label": "fault", "features": ["flow", "heat"]}
        if rule:
            fleet["missing_values"] = rule
        return parse({"fleet": fleet | more, "foundation": {"enabled": False}}, "here")

    return make


@pytest.fixture
def folder_of_pumps(tmp_path):
    random = np.random.default_rng(0)
    for name in ("pump-1", "pump-2"):
        y = random.integers(0, 2, 120)
        x = random.normal(size=(120, 2)) + y[:, None]
        rows = "".join(f"{a!r},{b!r},{label}\n" for (a, b), label in zip(x.tolist(), y, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"flow,heat,fault\n{rows}", encoding="utf-8")
    return tmp_path


def all_inputs(fleet):
    return [np.concatenate([d.inputs, fleet.test[d.name].x]).tobytes() for d in fleet.devices]


@pytest.mark.parametrize("scaling", ["device", "fleet"])
@pytest.mark.parametrize("encoding", ["linear", "quantiles"])
def test_a_table_without_gaps_is_the_same_under_every_rule(plan, scaling, encoding):
    more = {"scaling": scaling, "encoding": encoding}
    expected = all_inputs(build(plan("reject", **more)))
    for rule in (None, "drop", "median", "last", "flag"):
        fleet = build(plan(rule, **more))
        assert all_inputs(fleet) == expected
        assert not fleet.gaps and not fleet.notices


def spoil(folder):
    """Leaves every tenth cell of pump-2's flow empty."""
    lines = (folder / "pump-2.csv").read_text(encoding="utf-8").splitlines()
    spoilt = [("," + line.split(",", 1)[1]) if i % 10 == 1 else line for i, line in enumerate(lines)]
    (folder / "pump-2.csv").write_text("\n".join(spoilt), encoding="utf-8")


@pytest.mark.parametrize("rule", ["drop", "median", "last", "flag"])
@pytest.mark.parametrize("encoding", ["linear", "quantiles"])
def test_a_fleet_with_gaps_has_inputs_that_are_numbers(plan, folder_of_pumps, rule, encoding):
    spoil(folder_of_pumps)
    fleet = build(plan(rule, scaling="fleet", encoding=encoding))
    for device in fleet.devices:
        assert np.isfinite(device.inputs).all() and np.isfinite(device.examples).all()
        assert np.isfinite(fleet.test[device.name].x).all()
        assert device.examples.shape[1] == 2
    one, two = (device.preparation for device in fleet.devices)
    held = [len(device.inputs) + len(fleet.test[device.name].x) for device in fleet.devices]
    assert held == [120, 108 if rule == "drop" else 120]
    assert two.features == ("flow", "heat", *["flow is missing"] * (rule == "flag"))
    assert fleet.gaps == {"pump-2": {"flow": {"empty": 12}}}
    assert sum(f"Missing values, {rule}: " in said for said in fleet.notices) == 1
    if rule == "flag" and encoding == "linear":
        [place] = [i for i, column in enumerate(two.columns) if column == 2]
        said = np.concatenate([fleet.devices[1].inputs, fleet.test["pump-2"].x])[:, place]
        assert sorted(said.tolist()) == [0.0] * 108 + [1.0] * 12  # neither centred nor divided
        assert one.columns[place] == -1  # the place is nobody else's
    assert (two.missing.rule, len(two.fill)) == (rule, 0 if rule == "drop" else 2)


@pytest.mark.parametrize("rule", ["drop", "median", "last", "flag"])
def test_a_device_that_reads_its_own_table_is_the_same(plan, folder_of_pumps, rule):
    spoil(folder_of_pumps)
    recipe = plan(rule, scaling="fleet")
    fleet, shared = build_shared(recipe)
    for expected in fleet.devices:
        table = read_table(recipe, expected.name, folder_of_pumps / f"{expected.name}.csv")
        save_table(table, folder_of_pumps / "own.safetensors")
        again = read_table(recipe, expected.name, folder_of_pumps / "own.safetensors")
        assert again.gaps == table.gaps == fleet.gaps.get(expected.name, {})
        place = shared.place(hello(recipe, again), recipe.model)
        device, test = build_device(recipe, again, place)
        assert device.preparation == expected.preparation
        assert device.inputs.tobytes() == expected.inputs.tobytes()
        assert test.x.tobytes() == fleet.test[expected.name].x.tobytes()


def test_a_newcomer_says_what_is_missing_where_its_fleet_does(plan, folder_of_pumps):
    spoil(folder_of_pumps)
    recipe = plan("flag", scaling="fleet")
    _, shared = build_shared(recipe)
    (folder_of_pumps / "new.csv").write_text(
        "flow,heat,fault\n" + "1,,0\n0.5,1.5,\n,2,1\n2,0,\n" * 5, encoding="utf-8"
    )
    found = newcomer(recipe, shared, ["pump-1", "pump-2"], [folder_of_pumps / "new.csv"], "new", None, 0.0)
    preparation = found.device.preparation
    assert preparation.features == ("flow", "heat", "flow is missing")  # nobody knows of "heat is missing"
    [place] = [i for i, column in enumerate(preparation.columns) if column == 2]
    assert found.calibration.inputs[:, place].tolist() == [0.0, 0.0, 1.0, 0.0] * 5
    assert found.notices == (
        "Missing values, flag: filled 5 cells of 'flow' (5 empty) and 5 cells of 'heat' (5 empty) on new.",
    )


def test_as_many_inputs_as_features_leaves_room_for_what_is_missing():
    names = [f"f{i}" for i in range(7)]
    fleet = {"table": "t.csv", "label": "fault", "features": names}
    plain, flagged = (
        parse({"fleet": fleet | more, "model": {"inputs": "features"}}, "here").model.inputs
        for more in ({}, {"missing_values": "flag"})
    )
    assert (plain, flagged) == (9, 14)

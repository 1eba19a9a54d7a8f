"""Rows that nobody has labelled, and devices that have no fault: what a table makes of them, and a split."""

import numpy as np
import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.division.splits import split, split_newcomer
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, share
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.recipe import Splits, parse

RECIPE = parse({"fleet": {"simulator": "feeder"}}, "test")


def written(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


def normal(rows, **more):
    return Table("pump", ("x",), np.arange(rows, dtype=float)[:, None], np.zeros(rows, np.int8), ("",), **more)


def test_rows_without_a_label_are_apart_and_the_others_are_as_if_they_were_not_there(tmp_path):
    path = written(tmp_path, "a,fault\n1,\n2,1\n3,  \n4,0\n")
    table = read(path, Columns("fault", ("a",)), "d")
    assert table.x.tolist() == [[2], [4]] and table.y.tolist() == [1, 0]
    assert table.unlabelled.tolist() == [[1], [3]] and table.known == "faults"
    assert table.measured(np.array([1])).tolist() == [[4], [1], [3]]


def test_their_cells_are_read_as_others_are(tmp_path):
    path = written(tmp_path, "a,fault\n1,0\nx,\n")
    with pytest.raises(DataError, match=r"line 3, column 'a' holds 'x', which is not a number"):
        read(path, Columns("fault", ("a",)), "d")


def test_of_several_labels_all_are_empty_or_none(tmp_path):
    columns = Columns(("g", "c"), ("a",))
    table = read(written(tmp_path, "a,g,c\n1,0,0\n2,,\n3,0,1\n"), columns, "d")
    assert (table.y.tolist(), table.unlabelled.tolist()) == ([0, 1], [[2]])
    assert table.kinds.tolist() == ["00", "01"]
    with pytest.raises(DataError, match="line 3, column 'c' is empty"):
        read(written(tmp_path, "a,g,c\n1,0,0\n2,1,\n"), columns, "d")


def test_no_class_is_invented_for_them(tmp_path):
    path = written(tmp_path, "a,g,c\n1,,\n2,low,open\n3,high,shut\n")
    table = read(path, Columns(("g", "c"), ("a",), normal=("low-open",), kinds=True), "d")
    assert set(table.classes) == {"high-shut", "low-open"}
    assert [table.classes[i] for i in table.y] == ["low-open", "high-shut"]


@pytest.mark.parametrize(
    ("columns", "classes"),
    [
        (Columns("fault", ("a",)), ("normal", "fault")),
        (Columns("fault", ("a",), positive=("bad",)), ("normal", "fault")),
        (Columns("fault", ("a",), normal=("ok",)), ()),
    ],
)
def test_a_table_without_any_label(tmp_path, columns, classes):
    table = read(written(tmp_path, "a,fault\n1,\n2,\n"), columns, "d")
    assert (table.known, len(table), table.unlabelled.tolist()) == ("nothing", 0, [[1], [2]])
    assert table.classes == classes and table.x.shape == (0, 1)


def test_parquet_has_nulls(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1.0, 2.0, 3.0], "fault": [None, 1, 0]}).write_parquet(path)
    table = read(path, Columns("fault", ("a",)), "d")
    assert (table.y.tolist(), table.unlabelled.tolist()) == ([1, 0], [[1]])


def test_each_device_of_a_table_that_is_cut_has_its_own(tmp_path):
    path = written(tmp_path, "a,fault,site\n1,0,x\n2,,x\n3,,y\n4,,y\n5,1,z\n6,0,z\n")
    found = {each.name: each.read() for each in cut(path, Columns("fault", ("a",)), ("site",))}
    assert {name: table.known for name, table in found.items()} == {
        "x": "normal",
        "y": "nothing",
        "z": "faults",
    }
    assert [found[name].unlabelled for name in "z"] == [None]
    assert (found["x"].unlabelled.tolist(), found["y"].unlabelled.tolist()) == ([[2]], [[3], [4]])


def test_a_file_of_ours_keeps_them(tmp_path):
    table = normal(3, unlabelled=np.array([[0.1], [1e300]]))
    save_table(table, tmp_path / "t.safetensors")
    found = load_table(tmp_path / "t.safetensors", "pump")
    assert found.unlabelled.tobytes() == table.unlabelled.tobytes() and found.known == "normal"
    save_table(normal(3, unlabelled=np.ones((2, 2))), tmp_path / "t.safetensors")
    with pytest.raises(DataError, match="its samples without a label do not fit its features"):
        load_table(tmp_path / "t.safetensors", "pump")


@pytest.mark.parametrize("reuse", [False, True])
def test_without_faults_all_of_phase_3s_share_is_there_for_the_threshold(reuse):
    rows = split(normal(1000), Splits(reuse=reuse), 0)
    # Of 800 training rows 20, 50 and 30 %: 128 + 32, 320 + 80, and 240 that would be 192 + 48 with faults.
    assert [len(rows.test), len(rows.serial_support), len(rows.parallel_support)] == [200, 128, 320]
    assert len(rows.personalize_query) == 240
    assert len(rows.personalize_support) == (560 if reuse else 0)
    assert not set(rows.personalize_query) & set(rows.own_support) and len(rows.own_support) == 560


def test_a_newcomer_without_faults_has_as_many_samples_as_one_with(tmp_path):
    rows = split_newcomer(normal(100), Splits(), 30, 0)
    assert (len(rows.train), len(rows.personalize_query), len(rows.test)) == (30, 6, 20)


def test_a_fleet_says_whom_it_is_made_of_and_needs_a_fault():
    fleet = {
        "a": Hello(("x",), ("",), known="normal"),
        "b": Hello(("x",), ("",), unlabelled=1200),
        "c": Hello(("x",), ("",), known="nothing", unlabelled=5),
    }
    assert share(fleet, RECIPE).notices == (
        "Devices with normal samples alone, which keep the fleet's model as it is and choose its threshold by"
        " false alarms: a.",
        "Standardised by normal samples alone, they see faults elsewhere than the others do, and may find none:"
        ' set fleet.scaling = "fleet".',
        "Devices without a label, which receive the fleet's model and cannot be judged: c.",
        "Samples without a label, which are not trained on and only say what is usual: 1,200 of b.",
    )
    pooling = parse({"fleet": {"simulator": "feeder", "scaling": "fleet"}}, "test")
    assert not any("Standardised" in sentence for sentence in share(fleet, pooling).notices)
    del fleet["b"]
    with pytest.raises(DataError, match="No device has a fault"):
        share(fleet, RECIPE)

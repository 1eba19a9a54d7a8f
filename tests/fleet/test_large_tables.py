"""Tables of millions of rows, shown with small bounds: nothing that is read, cut or said depends on them."""

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.division.thinning import notice, thinned
from fedmetaalign.fleet.files import columns, glanced, load
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sources import find_devices
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Splits, parse

COLUMNS = Columns("state", ("a", "b"), normal=("ok",), missing=Missing("median"))


@pytest.fixture
def table(tmp_path):
    """Writes 300 samples of three pumps in two halls as CSV, some cells of which hold no number."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "pump": [f"p{i % 3}" for i in range(300)],
            "hall": ["x-1" if i % 2 else "x" for i in range(300)],
            "a [V]": [str(value) for value in random.normal(size=300)],
            "state": ["leak" if i % 5 == 0 else "ok" for i in range(300)],
            "b": ["" if i % 50 == 7 else "bad" if i % 70 == 9 else str(i / 8) for i in range(300)],
        }
    )

    def written(name="t.csv", **more):
        path = tmp_path / name
        changed = frame.with_columns(**more)
        changed.write_csv(path) if path.suffix == ".csv" else changed.write_parquet(path)
        return path

    return written


@pytest.fixture(params=[1, 7, 1000])
def few_at_once(request, monkeypatch):
    monkeypatch.setattr("fedmetaalign.fleet.files.loading.MOST_HELD", 0)
    monkeypatch.setattr("fedmetaalign.fleet.files.loading.MOST_CELLS_AT_ONCE", 16 * request.param)


def facts(table):
    found = {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(table).items()
    }
    return str(found), table.x.flags.c_contiguous


@pytest.fixture
def whole(table):
    """What a table is where nothing bounds it."""
    path = table()
    devices = cut(path, COLUMNS, ("pump", "hall"), "n")
    return path, facts(read(path, COLUMNS, "t")), [(each.called, facts(each.read())) for each in devices]


def test_columns_that_are_read_by_pieces_are_the_same(whole, few_at_once):
    path, as_one, devices = whole
    assert facts(read(path, COLUMNS, "t")) == as_one
    found = cut(path, COLUMNS, ("pump", "hall"), "n")
    assert [(each.called, facts(each.read())) for each in found] == devices
    assert [name for name, _ in devices] == ["n-p0-x", "n-p0-x-1", "n-p1-x", "n-p1-x-1", "n-p2-x", "n-p2-x-1"]


def test_what_is_wrong_with_them_is_told_at_once(table, few_at_once):
    """A piece in which most values are no numbers is no column of text; a column is."""
    path = table("half.csv", b=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("off")).otherwise(pl.lit("1")))
    assert np.isnan(read(path, COLUMNS, "t").x).sum() == 20
    path = table("text.parquet", b=pl.lit("off"))
    with pytest.raises(
        DataError, match="row 1, column 'b' holds 'off', and 300 of its 300 values are no numbers"
    ):
        read(path, COLUMNS, "t")


def test_a_device_whose_rows_are_wrong_is_one_of_several(table, few_at_once):
    path = table(state=pl.when(pl.col("pump") == "p1").then(pl.lit("nan")).otherwise("state"))
    found = cut(path, COLUMNS, ("pump",))
    assert len(found[0].read()) == len(found[2].read()) == 100
    with pytest.raises(DataError, match="holds 'nan', which is no class"):
        found[1].read()


def test_a_glance_is_of_runs_from_all_over_a_file(table):
    path = table()
    assert glanced(path).frame.equals(load(path).frame)
    found = glanced(path, most=60)
    assert found.frame["b"][3] == load(path).frame["b"][15]
    assert found.rows.tolist() == [row for row in range(300) if row // 3 % 5 == 0]
    assert found.line(3) == 17
    assert columns(path) == ["pump", "hall", "a [V]", "state", "b"]


def made(rows, **more):
    y = (np.arange(rows) % 10 == 0).astype(np.int8)
    return Table("pump", ("t",), np.arange(rows, dtype=float)[:, None], y, ("",), **more)


def test_so_many_samples_are_drawn_of_each_class_its_share():
    table = made(5000, unlabelled=np.arange(900.0)[:, None])
    found = thinned(table, Splits(most=500), 0)
    assert (len(found), found.y.sum(), len(found.unlabelled)) == (500, 50, 500)
    assert (np.diff(found.x[:, 0]) > 0).all()
    assert (found.y == (found.x[:, 0] % 10 == 0)).all()
    assert 2000 < found.x.mean() < 3000
    assert thinned(table, Splits(most=5000), 0) is table
    other = thinned(made(5000, unlabelled=np.zeros((3, 1))), Splits(most=500), 0)
    assert other.x.tolist() == found.x.tolist()
    assert thinned(table, Splits(most=500), 1).x.tolist() != found.x.tolist()


def test_blocks_stay_whole_and_rare_faults_stay():
    found = thinned(made(5000), Splits(most=500, kind="blocks", block=20), 0).x[:, 0].astype(int)
    assert len(found) == 500
    assert {*np.unique(found // 20, return_counts=True)[1]} == {20}
    rare = Table("pump", ("t",), np.zeros((90_000, 1)), (np.arange(90_000) == 7).astype(np.int8), ("",))
    assert thinned(rare, Splits(most=100), 0).y.sum() == 1


def test_a_fleet_says_that_it_does_not_use_all(table):
    source = {
        "table": str(table()),
        "label": "state",
        "features": ["a", "b"],
        "normal": ["ok"],
        "device": "pump",
    }
    found = find_devices(parse({"fleet": source, "splits": {"most": 100}}, "here"))
    assert [len(each) for each in found.tables] == [100, 100, 100]
    assert not any("splits.most" in sentence for sentence in found.notices)
    found = find_devices(parse({"fleet": source | {"device": "hall"}, "splits": {"most": 100}}, "here"))
    assert [len(each) for each in found.tables] == [100, 100]
    assert notice({"x": 150, "x-1": 150}, 100) in found.notices
    assert notice({"x": 150}, 100) == (
        "x has 150 samples: 100 are used, drawn from each class by its share (splits.most)."
    )

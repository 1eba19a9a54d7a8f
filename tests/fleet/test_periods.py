"""Split by time: the test set is the latest part, and training comes in blocks of neighbours."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.division.splits import Rows, split, split_few, split_newcomer
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.fleet.times.periods import notices
from fedmetaalign.recipe import Recipe, Splits, parse

TIME = Splits(kind="time")


def table(y, times=None, name="pump"):
    y = np.asarray(y, np.int8)
    times = Times(np.arange(len(y)) if times is None else np.asarray(times))
    return Table(name, ("x",), np.arange(len(y), dtype=float)[:, None], y, ("",), times=times)


def parts(rows):
    return [getattr(rows, field.name) for field in fields(Rows)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=60, max_size=400).filter(lambda y: 0 in y[:40]), st.integers(0, 3))
def test_the_test_set_is_later_than_all_else_and_every_part_has_rows(y, seed):
    rows = split(table(y), TIME, seed)
    assert sorted(np.concatenate(parts(rows)).tolist()) == list(range(len(y)))
    assert rows.test.tolist() == list(range(round(0.8 * len(y)), len(y)))
    support = rows.personalize_support
    some = (
        [part for part in parts(rows) if part is not support] if not any(y[: len(rows.train)]) else parts(rows)
    )
    assert all(len(part) for part in some)


def test_training_comes_in_blocks_and_faults_are_in_every_part():
    y = np.zeros(5000, int)
    for start in range(0, 5000, 250):
        y[start : start + 25] = 1  # spells of faults
    rows = split(table(y), TIME, seed=0)
    part_of = np.full(4000, -1)
    for number, part in enumerate(parts(rows)[1:]):
        part_of[part] = number
        assert 0.03 < y[part].mean() < 0.25
    assert np.count_nonzero(np.diff(part_of)) < 120  # dealt row by row it would change 3,000 times


def test_rows_of_one_time_are_on_one_side():
    rows = split(table([0, 1] * 50, np.arange(100) // 15), TIME, seed=0)
    assert rows.test.tolist() == list(range(75, 100))
    with pytest.raises(DataError, match="all of its 40 rows are of one time"):
        split(table([0, 1] * 20, np.zeros(40, int)), TIME, seed=0)


def test_what_the_later_part_lacks_is_told():
    calm, late = table([0, 1] * 40 + [0] * 20, name="calm"), table([0] * 80 + [1] * 20, name="late")
    divided = [(each, (rows := split(each, TIME, 0)).test, rows.train) for each in (calm, late)]
    told = list(notices(divided, TIME))
    assert told == [
        "Devices whose later part, on which they are tested, has no fault: calm.",
        "Devices all of whose faults are in the later part, and cannot be learnt: late.",
    ]


def test_an_unseen_device_and_one_that_joins_are_tested_on_their_later_part():
    device = table([0, 1] * 100)
    rows = split_newcomer(device, TIME, 30, seed=0)
    assert rows.test.tolist() == list(range(160, 200))
    assert len(rows.train) == 30
    rows = split_few(device, np.arange(0, 200, 2), TIME, 0.25, seed=0)
    assert rows.test.tolist() == list(range(150, 200, 2))


def recipe(folder, **more):
    fleet = {"table": str(folder / "*.csv"), "label": "fault", "features": ["x"], **more}
    return parse({"fleet": fleet}, "here")


def test_a_time_column_makes_time_the_split_unless_another_is_named(tmp_path):
    assert recipe(tmp_path).splits.kind == "rows"
    assert recipe(tmp_path, time="at").splits.kind == "time"
    devices = [{"table": "a.csv", "label": "fault", "features": ["x"], "time": ["day", "hour"]}]
    assert parse({"fleet": {"devices": devices}}, "here").splits.kind == "time"
    fleet = {"table": "a.csv", "label": "fault", "features": ["x"], "time": "at"}
    assert Recipe.model_validate({"fleet": fleet, "splits": {"kind": "rows"}}).splits.kind == "rows"
    with pytest.raises(RecipeError, match="needs the column that tells the time"):
        parse({"fleet": {"simulator": "feeder"}, "splits": {"kind": "time"}}, "here")


def test_a_fleet_is_built_in_order_and_keeps_its_times(tmp_path):
    random = np.random.default_rng(0)
    for name in "ab":
        lines = [f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i},{int(i % 5 == 0)}" for i in range(240)]
        lines = random.permutation(lines).tolist() if name == "a" else lines
        (tmp_path / f"{name}.csv").write_text("\n".join(["at,x,fault", *lines]) + "\n")
    fleet = build(recipe(tmp_path, time="at"))
    a, b = fleet.devices
    assert (fleet.test["a"].x == fleet.test["b"].x).all()
    assert a.period.test.tolist() == b.period.test.tolist() == sorted(a.period.test)
    assert a.period.train.max() < a.period.test.min()
    assert len(a.period.train) == len(a.train) == 192
    assert "a: 1" in fleet.notices[-1]
    assert "b: " not in fleet.notices[-1]


def test_a_device_keeps_its_times_in_its_own_file(tmp_path):
    device = table([0, 1] * 20, np.arange(40) * 7)
    save_table(device, tmp_path / "pump.safetensors")
    again = load_table(tmp_path / "pump.safetensors", "pump")
    assert again.times.values.tolist() == device.times.values.tolist()
    assert again.times.dated

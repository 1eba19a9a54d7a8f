"""Windows of recordings among the test set and the phases: no sample is on both sides."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.recordings import apart, notices
from fedmetaalign.fleet.division.splits import Rows, split, split_few, split_newcomer
from fedmetaalign.fleet.missing.gaps import Gaps
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.usable import check_learnt
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.target import Target
from fedmetaalign.recipe import Splits, Window

QUERIES = [field.name for field in fields(Rows) if field.name.endswith("query")]


def recorded(kinds, rows=40, *, length=8, stride=4, parted=False, unit=None):
    """A device with a recording of each of some classes (0 is normal), perhaps with a unit for each."""
    y = np.repeat(np.array(kinds, np.int8), rows)
    names = np.repeat([f"r{i}" for i in range(len(kinds))], rows)
    classes = ("ok", "leak", "worn")[: max(kinds) + 1]
    table = Table(
        "pump",
        ("flow",),
        np.arange(len(y), dtype=float)[:, None],
        y,
        ("",),
        recordings=names,
        groups=None if unit is None else np.repeat(np.array(unit, str), rows),
        classes=classes,
        normal=("ok",),
    )
    cut = Window(length=length, stride=stride, front=("raw",), split_recordings=parted)
    return windowed(table, cut)


def of(table, rows):
    return set(table.windows.recordings[rows].tolist())


def samples(table, rows):
    """The samples that some windows hold."""
    return {sample for start, end in table.windows.spans[rows] for sample in range(start, end)}


def test_a_recording_is_in_the_test_set_as_a_whole_or_not_at_all():
    table = recorded([0, 0, 0, 1, 1, 1])
    rows = split(table, Splits(), seed=0)
    tested = of(table, rows.test)
    assert len(tested) == 2  # one of each class
    assert not tested & of(table, rows.train)
    assert set(table.y[rows.test]) == {0, 1}
    assert len(rows.test) == 18


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=2, max_size=12).filter(lambda kinds: {0, 1} <= {*kinds}),
    st.sampled_from([(8, 8), (8, 4), (8, 3), (8, 12)]),
    st.sampled_from(["rows", "blocks", "units"]),
    st.integers(0, 3),
)
def test_no_sample_is_on_both_sides(kinds, cut, kind, seed):
    length, stride = cut
    table = recorded(kinds, 60, length=length, stride=stride, parted=True)
    try:
        rows = split(table, Splits(kind=kind, block=3), seed)
    except DataError as error:
        assert kind == "blocks" or "too few" in str(error)
        return
    assert not samples(table, rows.test) & samples(table, rows.train)
    for query in QUERIES:
        support = getattr(rows, query.replace("query", "support"))
        both = samples(table, support) & samples(table, getattr(rows, query))
        assert not both or len(support) < 12  # of few windows none is given up


def test_a_class_with_one_recording_is_refused_with_the_reason():
    with pytest.raises(DataError) as caught:
        split(recorded([0, 1, 1]), Splits(), seed=0)
    assert str(caught.value) == (
        "Device pump has no normal recording left for its test set (all its normal windows are of recording"
        " 'r0'), and a recording is not cut between training and test, since its windows are nearly the same"
        " and a model that has seen one knows the others (99 % comes about that way): record more, or set"
        " fleet.window.split_recordings = true to test on the later part of each."
    )


@pytest.mark.parametrize("kind", ["rows", "units", "time"])
def test_a_single_recording_is_refused_unless_it_may_be_cut(kind):
    y = np.repeat([0, 1, 0, 1], 40).astype(np.int8)
    table = Table("pump", ("flow",), np.arange(160.0)[:, None], y, ("",))
    cut = Window(length=8, stride=4, front=("raw",))
    if kind != "time":
        with pytest.raises(DataError, match=r"has a single recording, 'pump', and a recording is not cut"):
            split(windowed(table, cut), Splits(kind=kind), seed=0)
    parted = windowed(table, cut.model_copy(update={"split_recordings": True}))
    rows = split(parted, Splits(kind=kind), seed=0)
    assert not samples(parted, rows.test) & samples(parted, rows.train)
    assert [*notices([(parted, rows.test, rows.train)])]


def test_blocks_of_windows_are_refused_where_recordings_are_whole():
    with pytest.raises(DataError, match=r'splits\.kind = "blocks" cuts recordings, and a recording is not cut'):
        split(recorded([0, 0, 1, 1]), Splits(kind="blocks"), seed=0)


def test_the_later_part_of_each_recording_is_tested_where_it_may_be_cut():
    table = recorded([0, 1], 44, parted=True)  # ten windows of each
    rows = split(table, Splits(), seed=0)
    assert table.windows.spans[rows.test, 0].tolist() == [32, 36, 76, 80]
    assert table.windows.spans[rows.train, 0].max() == 68  # the one at 72 is across the border, and no one's
    assert [*notices([(table, rows.test, rows.train)])] == [
        "Windows across a border of the split, which no side of it has: 4 of 20 of pump."
    ]


def test_the_latest_recordings_are_tested_by_time():
    table = recorded([0, 1, 0, 1, 0, 1])
    clock = np.asarray(table.windows.spans[:, 1] * 1000, np.int64)
    rows = split(replace(table, times=Times(clock)), Splits(kind="time", test=0.3), seed=0)
    assert of(table, rows.test) == {"r4", "r5"}


def test_two_windows_are_split_by_time_without_more_ado():
    table = recorded([0, 1], 8, parted=True)
    clock = np.asarray(table.windows.spans[:, 1] * 1000, np.int64)
    with pytest.raises(DataError, match="has too few windows: of its 2, none is left"):
        split(replace(table, times=Times(clock)), Splits(kind="time"), seed=0)


def test_units_hold_recordings_as_a_whole():
    table = recorded([0, 0, 1, 1, 0, 1], unit=["a", "a", "b", "b", "c", "d"])
    rows = split(table, Splits(kind="units", unit="lot"), seed=1)
    for unit in "abcd":
        held = set(np.flatnonzero(table.groups == unit))
        assert held <= set(rows.test) or not held & set(rows.test)


@pytest.mark.filterwarnings("error")
def test_whatever_recordings_are_like_there_are_windows_apart_or_a_sentence():
    outcomes = set()
    for seed in range(300):
        random = np.random.default_rng(seed)
        rows, channels = int(random.choice([0, 1, 5, 40, 200])), int(random.integers(1, 4))
        step = int(random.choice([0, 1, 1000]))
        times = np.arange(rows) * step + (
            random.integers(0, step // 20 + 1, rows) if random.random() < 0.5 else 0
        )
        gaps = (random.random((rows, channels)) < random.choice([0, 0, 0.01, 1])).astype(np.int16)
        table = Table(
            "p",
            tuple("abc"[:channels]),
            random.normal(size=(rows, channels)) * random.choice([1, 1e30, 1e300]),
            np.sort(random.integers(0, 2, rows)).astype(np.int8),
            ("",) * channels,
            recordings=np.sort(random.integers(0, int(random.integers(1, 8)), rows)).astype(str),
            times=Times(times.astype(np.int64)) if random.random() < 0.5 else None,
        )
        cut = Window(
            length=int(random.choice([2, 8])),
            stride=int(random.choice([1, 2, 50])),
            label=str(random.choice(["any", "last", "majority", "all"])),
            front=(str(random.choice(["raw", "statistics"])),),
            split_recordings=bool(random.random() < 0.5),
        )
        rule = Missing(str(random.choice(["reject", "drop", "median", "last"])))
        try:
            found = windowed(table, cut, Gaps(gaps, ("", "empty")), rule, random.random(rows) < 0.05)
            outcomes.add("windows")
            kind = str(random.choice(["rows", "units", "blocks", "time"]))
            divided = split(found, Splits(kind=kind, block=3), seed)
        except DataError as error:
            assert "p" in str(error)
            outcomes.add("sentence")
            continue
        outcomes.add("split")
        assert not samples(found, divided.test) & samples(found, divided.train)
    assert outcomes == {"windows", "split", "sentence"}


# The units of the test set named


def sized(**more):
    return recorded([0, 0, 1, 1, 2, 2], unit=[7, 21, 7, 21, 7, 21], **more)


def named(*units):
    return Splits(kind="units", unit="size", test_units=units)


def test_the_units_that_are_named_are_the_test_set():
    table = sized()
    rows = split(table, named(21), seed=0)
    assert of(table, rows.test) == {"r1", "r3", "r5"}
    assert of(table, rows.train) == {"r0", "r2", "r4"}
    for same in ("21.0", "2?", "*1"):
        assert set(split(table, named(same), seed=5).test) == set(rows.test)


def test_units_that_no_device_has_are_refused_with_those_it_has():
    with pytest.raises(DataError) as caught:
        split(sized(), named(14), seed=0)
    assert str(caught.value) == (
        "Device pump: splits.test_units = 14 are values of 'size', and it has none of them: its units are 21,"
        " 7."
    )
    with pytest.raises(DataError, match="and it has no other: its units are 21, 7"):
        split(sized(), named(7, 21), seed=0)


def test_a_class_that_no_test_unit_has_is_cut_only_if_it_may_be():
    kinds, unit = [0, 1, 1], [0, 7, 21]
    with pytest.raises(DataError, match=r"has no normal unit left for its test set .* of unit '0'"):
        split(recorded(kinds, unit=unit), named(21), seed=0)
    table = recorded(kinds, unit=unit, parted=True)
    rows = split(table, named(21), seed=0)
    assert of(table, rows.test) == {"r0", "r2"}
    assert of(table, rows.train) == {"r0", "r1"}
    assert not samples(table, rows.test) & samples(table, rows.train)


def test_test_units_are_for_rows_that_are_no_windows_too():
    y = np.array([0, 1] * 40, np.int8)
    table = Table("p", ("x",), np.zeros((80, 1)), y, ("",), groups=np.repeat(["a", "b", "c", "d"], 20))
    assert set(split(table, named("b"), seed=0).test) == set(range(20, 40))


# The phases


def test_every_part_of_the_phases_has_every_class_of_few_recordings():
    table = recorded([0, 0, 1, 1, 2, 2], 400)
    rows = split(table, Splits(), seed=0)
    for part in (field.name for field in fields(Rows)):
        assert set(table.y[getattr(rows, part)]) == {0, 1, 2}, part


def test_many_recordings_are_dealt_to_the_phases_as_a_whole():
    table = recorded([0, 1] * 40)
    rows = split(table, Splits(), seed=0)
    assert not of(table, rows.personalize_query) & of(table, rows.own_support)
    assert len(of(table, rows.test)) == 16


def test_a_device_that_joins_holds_out_whole_recordings():
    table = recorded([0, 0, 0, 1, 1, 1])
    rows = split_few(table, np.arange(len(table)), Splits(), 0.3, seed=0)
    assert len(of(table, rows.test)) == 2
    assert not of(table, rows.test) & of(table, rows.train)


def test_a_device_that_is_held_out_draws_few_windows_and_validates_on_some():
    table = recorded([0, 0, 1, 1, 1, 1], 120)
    rows = split_newcomer(table, Splits(), 8, seed=0)
    assert len(rows.personalize_support) + len(rows.personalize_query) == 8
    assert len(rows.personalize_query) >= 1
    assert not of(table, rows.test) & of(table, rows.train)


def test_windows_that_only_touch_are_apart():
    table = recorded([0, 1], 20, length=8, stride=4)
    assert table.windows.spans[:4, 0].tolist() == [0, 4, 8, 12]
    assert apart(table.windows, np.array([0, 1, 2, 3]), np.array([3])).tolist() == [0, 1]
    assert apart(table.windows, np.array([2, 3]), np.array([0])).tolist() == [2, 3]


def test_a_class_that_all_test_units_take_is_refused():
    table = recorded([0, 0, 1, 1, 2], unit=[7, 21, 7, 21, 21])
    rows = split(table, named(21), seed=0)
    with pytest.raises(DataError) as caught:
        check_learnt([(table, rows.test, rows.train)], Target(("ok", "leak", "worn"), (0,)), "21")
    assert str(caught.value) == (
        "splits.test_units = 21 takes every sample of class 'worn' for the test set, and none is left to learn"
        " it by: name fewer units."
    )
    other = recorded([0, 2, 1], unit=[7, 7, 7])
    check_learnt(
        [(table, rows.test, rows.train), (other, rows.test[:0], np.arange(len(other)))],
        Target(("ok", "leak", "worn"), (0,)),
        "21",
    )

"""A device's rows among the test set and the phases: nothing lost, nothing twice, no group cut."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.dealing import _in_turn
from fedmetaalign.fleet.division.splits import Rows, shares, split, split_newcomer
from fedmetaalign.fleet.schema import Table
from fedmetaalign.recipe import Splits

PARTS = [field.name for field in fields(Rows)]


def table(y, name="pump", **more):
    y = np.asarray(y, np.int8)
    return Table(name, ("x",), np.arange(len(y), dtype=float)[:, None], y, ("",), **more)


def parts(rows):
    return {name: getattr(rows, name) for name in PARTS}


def assert_a_partition(rows, total):
    everything = np.concatenate(list(parts(rows).values()))
    assert sorted(everything.tolist()) == list(range(total))
    for part in parts(rows).values():
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert rows.train.tolist() == sorted(set(range(total)) - set(rows.test.tolist()))


# Enough of either class that no part is left empty: the smallest, serial's query set, takes 3.2 % of the rows.
labels = st.tuples(st.integers(35, 150), st.integers(35, 150), st.randoms(use_true_random=False)).map(
    lambda t: t[2].sample([0] * t[0] + [1] * t[1], t[0] + t[1])
)


def test_a_thousand_rows_are_dealt_by_the_papers_shares():
    # 20 % for the test; of the other 80 %: 20, 50 and 30 % for the phases, a fifth of each as query set.
    rows = split(table([0, 1] * 500), Splits(), seed=0)
    assert {name: len(part) for name, part in parts(rows).items()} == {
        "test": 200,
        "serial_support": 128,
        "serial_query": 32,
        "parallel_support": 320,
        "parallel_query": 80,
        "personalize_support": 192,
        "personalize_query": 48,
    }


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 5))
def test_rows_are_divided_and_every_class_by_the_shares(y, seed):
    rows = split(table(y), Splits(), seed)
    assert_a_partition(rows, len(y))
    for name, share in shares(Splits()).items():
        for label in (0, 1):
            dealt = sum(y[i] == label for i in getattr(rows, name))
            assert abs(dealt - share * y.count(label)) < 1


@settings(max_examples=40, deadline=None)
@given(labels, st.integers(2, 4), st.integers(0, 5))
def test_blocks_of_neighbours_stay_together(y, block, seed):
    y = sorted(y)  # recorded one class after the other
    y = y * block
    splits = Splits(kind="blocks", block=block)
    rows = split(table(y), splits, seed)
    assert_a_partition(rows, len(y))
    part_of = {row: name for name, part in parts(rows).items() for row in part.tolist()}
    for start in range(0, len(y), block):
        assert len({part_of[row] for row in range(start, min(start + block, len(y)))}) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(150, 250), st.randoms(use_true_random=False), st.integers(0, 5))
def test_units_are_never_cut_and_shares_hold_within_the_largest(units, random, seed):
    sizes = [random.randint(1, 6) for _ in range(units)]
    label = [i % 2 for i in range(units)]
    row_unit = [unit for unit, size in enumerate(sizes) for _ in range(size)]
    random.shuffle(row_unit)  # a unit's rows are not neighbours
    y = [label[unit] for unit in row_unit]
    groups = np.array([f"unit {unit}" for unit in row_unit])
    rows = split(table(y, groups=groups), Splits(kind="units", unit="u"), seed)
    assert_a_partition(rows, len(y))
    homes = {name: set(groups[part]) for name, part in parts(rows).items()}
    assert sum(map(len, homes.values())) == units
    for name, share in shares(Splits()).items():
        for value in (0, 1):
            dealt = sum(y[i] == value for i in getattr(rows, name))
            largest = max(size for size, kind in zip(sizes, label, strict=True) if kind == value)
            assert abs(dealt - share * y.count(value)) < largest


def test_reuse_gives_phase_three_all_training_rows_but_its_validation():
    y = [0, 1] * 100
    plain, reused = (split(table(y), Splits(reuse=reuse), 0) for reuse in (False, True))
    for name in PARTS:
        if name != "personalize_support":
            assert getattr(plain, name).tolist() == getattr(reused, name).tolist()
    expected = set(range(200)) - set(plain.test.tolist()) - set(plain.personalize_query.tolist())
    assert reused.personalize_support.tolist() == sorted(expected)
    assert reused.train.tolist() == plain.train.tolist()


@settings(max_examples=30, deadline=None)
@given(labels, st.randoms(use_true_random=False), st.booleans())
def test_reserved_rows_are_the_test_set_exactly(y, random, reuse):
    reserved = np.zeros(len(y), bool)
    reserved[[y.index(0), y.index(1), *random.sample(range(len(y)), 5)]] = True
    rows = split(table(y, reserved=reserved), Splits(reuse=reuse), 0)
    assert rows.test.tolist() == np.flatnonzero(reserved).tolist()
    assert not set(rows.test.tolist()) & set(rows.train.tolist())
    assert len(rows.train) == (~reserved).sum()
    # The phases share the rest as they share any training rows: the tour's support set takes 16 %.
    assert len(rows.serial_support) == pytest.approx(0.16 * (~reserved).sum(), abs=2)


NO_TOUR = Splits(serial=0, parallel=0.7, personalize=0.3)


@pytest.mark.parametrize("reuse", [False, True])
def test_without_phase_1_the_others_share_its_rows(reuse):
    rows = split(table([0, 1] * 500), NO_TOUR.model_copy(update={"reuse": reuse}), seed=0)
    assert {name: len(part) for name, part in parts(rows).items()} == {
        "test": 200,
        "serial_support": 0,
        "serial_query": 0,
        "parallel_support": 448,
        "parallel_query": 112,
        "personalize_support": 752 if reuse else 192,
        "personalize_query": 48,
    }
    assert len(rows.own_support) == 752
    assert all(part.dtype == np.int64 for part in parts(rows).values())


@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_how_the_phases_share_does_not_change_the_test_set(kind):
    given = table([0, 1, 1] * 100)
    held = [
        split(given, Splits(kind=kind, serial=a, parallel=b, personalize=c, query=q), 0).test.tolist()
        for a, b, c, q in [(0.2, 0.5, 0.3, 0.2), (0.4, 0.3, 0.3, 0.3), (0, 0.5, 0.5, 0.2)]
    ]
    assert held[0] == held[1] == held[2]


def test_the_seed_and_the_name_decide():
    y = [0, 1] * 100

    def test_rows(name, seed):
        return split(table(y, name), Splits(), seed).test.tolist()

    assert test_rows("pump", 0) == test_rows("pump", 0)
    assert test_rows("pump", 0) != test_rows("pump", 1)
    assert test_rows("pump", 0) != test_rows("fan", 0)


def test_what_the_features_are_decides_nothing():
    y = [0, 1] * 100
    other = Table("pump", ("x",), np.random.default_rng(0).normal(size=(200, 1)), table(y).y, ("",))
    assert split(table(y), Splits(), 0).test.tolist() == split(other, Splits(), 0).test.tolist()


def test_rows_that_were_recorded_in_order_are_mixed():
    rows = split(table([0] * 100 + [1] * 100), Splits(), 0)
    # 20 of the first hundred are drawn: they are spread, not a run of neighbours.
    drawn = rows.test[rows.test < 100]
    assert len(drawn) == 20
    assert np.diff(drawn).max() > 1
    assert drawn.min() < 25
    assert drawn.max() > 75


class TestImpossible:
    @staticmethod
    def sentence(given, splits=None):
        with pytest.raises(DataError) as caught:
            split(given, splits or Splits(), 0)
        message = str(caught.value)
        assert "pump" in message
        assert "\n" not in message
        return message

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (table([1] * 199 + [0]), "only faults in its test set"),
            (
                table([0] * 200 + [1] * 20, reserved=(np.arange(220) < 20) | (np.arange(220) >= 200)),
                "only normal samples in its training set",
            ),
        ],
    )
    def test_a_set_of_one_class(self, given, says):
        assert says in self.sentence(given)

    def test_a_single_fault_is_trained_on(self):
        # It goes to the part with the largest share, parallel's support set.
        rows = split(table([0] * 199 + [1]), Splits(), 0)
        assert 199 in rows.parallel_support and len(rows.test) == 40

    def test_too_few_blocks(self):
        assert self.sentence(table([0, 1] * 10), Splits(kind="blocks", block=20)) == (
            "Device pump has too few blocks: of its 1, none is left for the test part; give it more, or change"
            " [splits]."
        )

    def test_units_that_the_source_does_not_tell(self):
        assert "splits.unit" in self.sentence(table([0, 1] * 100), Splits(kind="units", unit="u"))


class TestSmall:
    """A device with too few samples for parts of their own has the same ones in all phases."""

    def test_ten_rows(self):
        rows = split(table([0, 1] * 5), Splits(), 0)
        y = np.array([0, 1] * 5)
        assert y[rows.test].tolist() == [0, 1]
        assert (sorted(y[rows.serial_query]), sorted(y[rows.serial_support])) == ([0, 1], [0, 0, 0, 1, 1, 1])
        for phase in ("parallel", "personalize"):
            assert getattr(rows, f"{phase}_support").tolist() == rows.serial_support.tolist()
            assert getattr(rows, f"{phase}_query").tolist() == rows.serial_query.tolist()
        assert sorted([*rows.test, *rows.serial_query, *rows.serial_support]) == list(range(10))
        assert rows.own_support.tolist() == rows.serial_support.tolist()

    @pytest.mark.parametrize("faults", [0, 1, 2, 3])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_few_faults_are_trained_on_first(self, faults, seed):
        y = np.array([1] * faults + [0] * (10 - faults))
        rows = split(table(y), Splits(), seed)
        assert min(len(rows.test), len(rows.parallel_support), len(rows.personalize_query)) >= 1
        assert y[rows.test].sum() == (faults == 3)
        assert y[rows.parallel_support].sum() == min(faults, 2)

    def test_a_phase_without_a_share_has_none(self):
        rows = split(table([0, 1] * 5), NO_TOUR, 0)
        assert (len(rows.serial_support), len(rows.parallel_support), len(rows.parallel_query)) == (0, 6, 2)

    @pytest.mark.parametrize("units", [2, 3, 4, 6])
    def test_few_units_are_on_one_side_of_the_test(self, units):
        groups = np.arange(units * 20) // 20
        y = np.array([0, 0, 0, 1] * 5 * units)
        rows = split(table(y, groups=groups.astype(str)), Splits(kind="units", unit="u"), 0)
        assert not set(groups[rows.test]) & set(groups[rows.train])
        assert y[rows.test].any() and y[rows.parallel_support].any() and y[rows.personalize_query].any()
        if units > 2:
            assert not set(groups[rows.parallel_support]) & set(groups[rows.parallel_query])
        else:  # of the one that is left there is nothing else to evaluate on
            assert not set(rows.parallel_support) & set(rows.parallel_query)

    def test_faults_that_stand_in_few_blocks_are_trained_and_tested_on(self):
        # In each of four blocks of twenty-five a single row of ten is a fault: by most of its rows, none is.
        y = np.zeros(250, int)
        y[[5, 75, 145, 215]] = 1
        for seed in range(20):
            rows = split(table(y), Splits(kind="blocks", block=10), seed)
            assert 1 <= y[rows.test].sum() <= 3


@pytest.mark.parametrize("kind", ["blocks", "units"])
@pytest.mark.parametrize("seed", range(4))
def test_every_part_has_faults_where_there_are_groups_enough(kind, seed):
    """Of sixty blocks of ten rows every fourth has two faults: each counts as normal when it is dealt."""
    y = np.zeros(600, int)
    y[[10 * block + row for block in range(0, 60, 4) for row in (3, 4)]] = 1
    units = np.array([f"u{i // 10:02d}" for i in range(600)])
    rows = split(table(y, groups=units), Splits(kind=kind, block=10), seed)
    assert_a_partition(rows, 600)
    assert all(0 < y[part].sum() < len(part) for part in parts(rows).values())
    assert all(len(part) % 10 == 0 for part in parts(rows).values())


def test_fewer_groups_with_faults_than_parts_stay_where_they_were_dealt():
    y = np.zeros(600, int)
    y[[33, 34, 333, 334]] = 1
    rows = split(table(y), Splits(kind="blocks", block=10), 0)
    assert_a_partition(rows, 600)
    assert sum(bool(y[part].any()) for part in parts(rows).values()) <= 2


def test_kinds_have_their_share_of_every_part():
    # One fault of five is of a rare kind: by class alone it is a matter of luck whether the test set has any.
    kinds = np.array((["ok"] * 80 + ["leak"] * 16 + ["jam"] * 4) * 5)
    y = (kinds != "ok").astype(int)
    for seed in range(5):
        rows = split(table(y, kinds=kinds), Splits(stratify="kind"), seed)
        assert [int((kinds[rows.test] == kind).sum()) for kind in ("ok", "leak", "jam")] == [80, 16, 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=7), st.integers(0, 300))
def test_single_rows_are_dealt_as_groups_are(shares, rows):
    share = np.array(shares) / sum(shares)
    lacking, found = share * rows, []
    for _ in range(rows):
        found.append(int(np.argmax(lacking)))
        lacking[found[-1]] -= 1
    assert _in_turn(share, np.ones(rows, int)).tolist() == found


class TestNewcomer:
    def test_a_draw_is_stratified_and_all_phase_threes(self):
        # A third of the rows are faults: of 30, 10 are, and a fifth of either class is for validation.
        y = [1, 0, 0] * 66 + [0, 0]
        rows = split_newcomer(table(y), Splits(test=0.25), 30, 0)
        y = np.array(y)
        assert (len(rows.personalize_support), len(rows.personalize_query)) == (24, 6)
        assert (y[rows.personalize_support].sum(), y[rows.personalize_query].sum()) == (8, 2)
        for phase in ("serial", "parallel"):
            for half in ("support", "query"):
                part = getattr(rows, f"{phase}_{half}")
                assert (len(part), part.dtype) == (0, np.int64)
        assert rows.own_support.tolist() == rows.personalize_support.tolist()
        assert len(rows.train) == 30

    @settings(max_examples=40, deadline=None)
    @given(labels, st.integers(0, 5), st.sampled_from(["rows", "blocks"]))
    def test_it_is_tested_as_a_member_is_and_trains_on_rows_of_a_members(self, y, seed, kind):
        splits = Splits(kind=kind, block=2)
        given_table = table(np.repeat(y, 2))
        member = split(given_table, splits, seed)
        rows = split_newcomer(given_table, splits, 20, seed)
        assert rows.test.tolist() == member.test.tolist()
        assert set(rows.train) <= set(member.train)
        assert len(rows.train) == 20
        assert not set(rows.personalize_support) & set(rows.personalize_query)

    def test_a_larger_draw_holds_a_smaller_one(self):
        given = table([0, 0, 1, 0, 1] * 60)
        draws = [set(split_newcomer(given, Splits(), samples, 3).train) for samples in (10, 11, 30, 100)]
        assert all(a < b for a, b in pairwise(draws))

    def test_a_rare_class_is_drawn_once_at_least(self):
        y = np.array([1] * 5 + [0] * 295)
        for label in (y, 1 - y):
            rows = split_newcomer(table(label), Splits(), 10, 0)
            assert set(label[rows.train]) == {0, 1}

    def test_it_may_draw_all_that_it_has(self):
        given = table([0, 1] * 20, reserved=np.arange(40) < 10)
        rows = split_newcomer(given, Splits(), 30, 0)
        assert rows.train.tolist() == list(range(10, 40))
        assert rows.test.tolist() == list(range(10))

    def test_it_needs_no_rows_for_the_phases_that_it_skips(self):
        small = table([0, 1] * 5)
        assert len(split(small, Splits(), 0).serial_query) == 2  # as all phases', see `TestSmall`
        assert len(split_newcomer(small, Splits(query=0.5), 4, 0).train) == 4

    @pytest.mark.parametrize(
        ("given", "samples", "says"),
        [
            (
                table([0, 1] * 20),
                33,
                "^Device pump has 32 training samples, and fleet.unseen.samples asks for 33: lower that or",
            ),
            (table([0, 1] * 20), 2, r"^Device pump: 2 training samples are too few .*fleet\.unseen\.samples"),
            (
                table([0] * 30 + [1] * 10, reserved=np.arange(40) >= 29),
                10,
                "pump has only normal samples in its training set",
            ),
        ],
    )
    def test_what_it_cannot_draw_is_refused(self, given, samples, says):
        with pytest.raises(DataError, match=says):
            split_newcomer(given, Splits(), samples, 0)

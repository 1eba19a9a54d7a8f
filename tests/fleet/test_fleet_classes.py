"""Labels that say which fault: from cells to classes, and from the classes of devices to those of a fleet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.division.partition import dirichlet
from fedmetaalign.fleet.division.splits import split, split_newcomer
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Shared, load_shared, save_shared, union
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.fleet.tables import Columns, read, unseen
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.recipe import Partition, Splits, load, parse

STATES = Columns("state", ("a",), normal=("ok",))


@pytest.fixture
def write(tmp_path):
    """Writes the cells of the label's columns beside a feature, and returns the path."""

    def to_file(header, *rows, name="t.csv"):
        lines = [f"a,{header}", *(f"{i},{row}" for i, row in enumerate(rows))]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return to_file


def error(path, columns, **more):
    with pytest.raises(DataError) as caught:
        read(path, columns, "d", **more)
    return str(caught.value).replace(f"{path.parent}/", "")


class TestOneColumn:
    def test_each_value_is_a_class_sorted_by_name(self, write):
        table = read(write("state", "worn", "ok", "jam", "ok"), STATES, "d")
        assert (table.classes, table.normal) == (("jam", "ok", "worn"), ("ok",))
        assert table.y.dtype == np.int8 and table.y.tolist() == [2, 1, 0, 1]
        assert table.faults.tolist() == [1, 0, 1, 0]
        assert table.strata.tolist() == [2, 0, 1, 0]  # normal, jam, worn

    def test_numbers_are_sorted_as_such_and_compared_as_such(self, write):
        table = read(write("state", "10", "2.0", "0", "-1"), Columns("state", ("a",), normal=("0.0",)), "d")
        assert (table.classes, table.normal) == (("-1", "0", "2", "10"), ("0",))
        assert table.y.tolist() == [3, 2, 1, 0]

    def test_classes_fixes_the_order_and_names_kinds_that_are_not_there(self, write):
        columns = Columns("state", ("a",), normal=("ok", "idle"), classes=("worn", "ok", "jam", "idle", 2.0))
        table = read(write("state", "ok", "worn"), columns, "d")
        assert (table.classes, table.normal) == (("worn", "ok", "jam", "idle", "2"), ("ok", "idle"))
        assert table.y.tolist() == [1, 0]

    def test_a_file_may_lack_what_the_fleet_has(self, write):
        table = read(write("state", "worn", "jam"), STATES, "d")
        assert (table.classes, table.normal, table.faults.tolist()) == (("jam", "worn"), (), [1, 1])

    def test_two_values_are_fault_and_no_fault_as_with_positive(self, write, tmp_path):
        cells = ["ok", "bad"] * 40
        source = {"table": str(write("state", *cells)), "label": "state", "features": ["a"]}
        normal = build(parse({"fleet": {**source, "normal": ["ok"]}}, "here"))
        positive = build(parse({"fleet": {**source, "positive": ["bad"]}}, "here"))
        assert (normal.target, positive.target) == (Target(("ok", "bad")), BINARY)
        for one, other in zip(normal.devices[0].own.support, positive.devices[0].own.support, strict=True):
            assert one.tobytes() == other.tobytes() and one.dtype == np.float32
        assert normal.test["t"].y.tobytes() == positive.test["t"].y.tobytes()

    def test_a_normal_value_that_no_file_has(self, write):
        columns = Columns("state", ("a",), normal=("ok", "idle"))
        paths = [write("state", "ok", "worn"), write("state", "jam", name="u.csv")]
        assert unseen(columns, paths) == ("idle",)
        assert unseen(columns, [*paths, write("state", "idle", name="v.csv")]) == ()

    def test_a_cell_that_is_no_class(self, write):
        assert error(write("state", "ok", "NaN"), STATES) == (
            "t.csv, column 'state' is a label and holds 'nan', which is no class; correct it or remove the row"
        )


class TestSeveralColumns:
    BITS = Columns(("g", "c"), ("a",), kinds=True)

    def test_combinations_of_bits_are_the_classes(self, write):
        table = read(write("g,c", "1,0", "0,0", "1,1.0", "0,0"), self.BITS, "d")
        assert (table.classes, table.normal) == (("00", "10", "11"), ("00",))
        assert table.y.tolist() == [1, 0, 2, 0]
        assert table.kinds.tolist() == ["10", "00", "11", "00"]

    def test_combinations_of_texts_are_named_by_them(self, write):
        columns = Columns(("g", "c"), ("a",), kinds=True, normal=("low-off", "low-on"))
        path = write("g,c", "low,on", "high,on", "low,off")
        table = read(path, columns, "d")
        assert (table.classes, table.normal) == (("high-on", "low-off", "low-on"), ("low-off", "low-on"))
        assert unseen(columns, [path]) == ()
        assert unseen(Columns(("g", "c"), ("a",), kinds=True, normal=("low",)), [path]) == ("low",)

    def test_positive_means_what_it_says_for_each_column(self, write):
        # 1 is a fault in "g", and in "c" the state of a machine that runs.
        columns = Columns(("g", "c"), ("a",), positive={"g": (1,), "c": (3,)})
        table = read(write("g,c", "0,1", "1,1", "0,3"), columns, "d")
        assert (table.y.tolist(), table.classes) == ([0, 1, 1], BINARY.classes)
        assert table.kinds.tolist() == ["00", "10", "01"]
        assert unseen(columns, [write("g,c", "1,0", name="u.csv")]) == ("3",)


class TestUnion:
    @staticmethod
    def of(*devices, first=()):
        return union({f"d{i}": Hello(("a",), ("",), None, *each) for i, each in enumerate(devices)}, first)

    def test_every_device_knows_all_sorted(self):
        devices = (("ok", "worn"), ("ok",)), (("jam",), ()), (("10", "9", "ok"), ("ok",))
        assert self.of(*devices) == Target(("9", "10", "jam", "ok", "worn"), (3,))
        assert self.of(*devices, first=["ok", "none"]).classes == ("ok", "none", "9", "10", "jam", "worn")

    def test_of_two_the_normal_one_comes_first(self):
        assert self.of((("ok",), ("ok",)), (("bad",), ())) == Target(("ok", "bad"))
        assert self.of((("bad", "ok"), ("ok",)), first=["bad", "ok"]) == Target(("ok", "bad"))

    def test_a_plain_fault_is_one_kind_among_others(self):
        found = self.of((BINARY.classes, ("normal",)), (("normal", "A-G"), ("normal",)))
        assert found == Target(("A-G", "fault", "normal"), (2,))

    def test_what_does_not_go_together(self):
        with pytest.raises(DataError, match=r"^Class 'open' means no fault on d0, and a fault on d1: call one"):
            self.of((("open", "x"), ("open",)), (("open", "ok"), ("ok",)))
        with pytest.raises(
            DataError, match=r"^The label of the fleet is a label with 80 values, .* identifier"
        ):
            self.of(*((tuple(f"{d}-{i}" for i in range(40)), ("0-0",)) for d in "01"))

    def test_it_is_kept_to_the_letter(self, tmp_path):
        shared = Shared(target=Target(("jäm", "ok", "worn"), (1,)))
        save_shared(shared, tmp_path / "fleet.json")
        assert load_shared(tmp_path / "fleet.json") == shared


def table(y, **more):
    y = np.asarray(y, np.int8)
    x = np.arange(len(y), dtype=float)[:, None]
    return Table("pump", ("x",), x, y, ("",), classes=("jam", "ok", "worn"), normal=("ok",), **more)


class TestTables:
    def test_labels_are_indices_of_the_fleet_s_classes(self):
        found = table([0, 1, 2, 1]).labels(Target(("ok", "leak", "worn", "jam")))
        assert found.dtype == np.float32 and found.tolist() == [3, 0, 2, 0]
        assert table([0, 1, 2, 1]).labels(Target(("ok", "bad"))).tolist() == [1, 0, 1, 0]

    def test_a_class_that_the_fleet_lacks(self):
        fleet = Target(("jam", "leak", "ok"), (2,))
        assert table([0, 1, 1]).labels(fleet).tolist() == [0, 2, 2]  # "worn" does not occur
        with pytest.raises(
            DataError, match=r"^pump has samples of class 'worn', which no device of the fleet had"
        ):
            table([0, 1, 2]).labels(fleet)

    def test_a_file_keeps_them(self, tmp_path):
        save_table(table([0, 1, 2]), tmp_path / "t.safetensors")
        found = load_table(tmp_path / "t.safetensors", "pump")
        assert (found.classes, found.normal, found.y.tolist()) == (("jam", "ok", "worn"), ("ok",), [0, 1, 2])
        save_table(table([0, 1, 3]), tmp_path / "t.safetensors")
        with pytest.raises(DataError, match="its labels are none of its classes"):
            load_table(tmp_path / "t.safetensors", "pump")

    @given(st.lists(st.integers(0, 2), min_size=150, max_size=300), st.integers(0, 99))
    def test_every_class_is_divided_by_the_shares(self, y, seed):
        y = [0, 1] * 30 + y
        rows = split(table(y), Splits(), seed)
        for label in range(3):
            held = int((np.array(y)[rows.test] == label).sum())
            assert abs(held - 0.2 * y.count(label)) <= 1

    def test_the_names_of_normal_classes_do_not_change_how_two_are_divided(self):
        y = np.arange(100) % 2
        one = Table("pump", ("x",), np.zeros((100, 1)), y, ("",))
        other = Table("pump", ("x",), np.zeros((100, 1)), 1 - y, ("",), classes=("bad", "ok"), normal=("ok",))
        assert split(one, Splits(), 3).test.tolist() == split(other, Splits(), 3).test.tolist()

    def test_a_newcomer_draws_a_normal_sample_and_a_fault(self):
        rows = split_newcomer(table([1] * 200 + [0] * 5 + [2] * 5), Splits(), 10, 0)
        assert set(np.array([1] * 200 + [0] * 5 + [2] * 5)[rows.train]) >= {1}
        assert len(rows.train) == 10 and (rows.train >= 200).any()

    def test_a_partition_mixes_the_classes(self):
        y = np.repeat([0, 1, 2], 400)
        devices = dirichlet(table(y), Partition(count=5, samples=100, alpha=0.3), 0.2, 0).devices
        counts = np.array([np.bincount(device.y, minlength=3) for device in devices])
        assert (counts[:, 1] >= 10).all() and (counts[:, [0, 2]].sum(axis=1) >= 10).all()
        assert (counts[:, 0] != counts[:, 2]).any()
        assert {device.classes for device in devices} == {("jam", "ok", "worn")}


class TestFleets:
    def test_the_recipe_of_twelve_classes(self):
        fleet = build(load("kinds"))
        assert len(fleet.target.classes) == 12 and fleet.target.outputs == 12
        assert [fleet.target.classes[i] for i in fleet.target.normal] == ["normal"]
        seen = [set(device.train.y.astype(int)) for device in fleet.devices]
        assert set.union(*seen) == set(range(12)) and max(map(len, seen)) < 12
        assert len({device.train.x.shape[1] for device in fleet.devices}) == 1

    @pytest.mark.parametrize(("simulator", "count"), [("feeder", 12), ("milling", 5), ("rotating", 6)])
    def test_every_simulator_knows_its_kinds(self, simulator, count):
        plain = build(parse({"fleet": {"simulator": simulator, "count": 2}}, "here"))
        fleet = build(parse({"fleet": {"simulator": simulator, "count": 2, "kinds": True}}, "here"))
        assert (len(fleet.target.classes), plain.target) == (count, BINARY)
        for name, samples in fleet.test.items():
            assert 0 < fleet.target.faults(samples.y).mean() < 1
            assert plain.test[name].y.mean() == pytest.approx(fleet.target.faults(samples.y).mean(), abs=0.1)

    def test_public_samples_have_the_classes_of_the_fleet(self):
        fleet, public = {"simulator": "milling", "count": 2}, {"simulator": "milling", "count": 2}
        found = build(
            parse({"fleet": {**fleet, "kinds": True}, "foundation": {**public, "kinds": True}}, "here")
        )
        faults = found.target.faults(found.public.support.y)
        plain = build(parse({"fleet": fleet, "foundation": {**public, "kinds": True}}, "here"))
        assert faults.mean() == pytest.approx(plain.public.support.y.mean(), abs=0.05)
        assert set(plain.public.support.y) == {0, 1}

    def test_a_class_of_two_samples_is_enough(self, write):
        cells = ["ok", "worn"] * 40 + ["jam"] * 2
        source = {"table": str(write("state", *cells)), "label": "state", "features": ["a"], "normal": ["ok"]}
        assert build(parse({"fleet": source}, "here")).target.classes == ("jam", "ok", "worn")

    @pytest.mark.parametrize("stratify", ["class", "kind"])
    def test_a_class_of_one_sample_is_told_and_the_device_learns_it(self, write, stratify):
        path = write("state", *["ok", "worn"] * 40, "jam")
        source = {"table": str(path), "label": "state", "features": ["a"], "normal": ["ok"]}
        fleet = build(parse({"fleet": source, "splits": {"stratify": stratify}}, "here"))
        jam = fleet.target.classes.index("jam")
        assert (fleet.devices[0].train.y == jam).sum() == 1 and not (fleet.test["t"].y == jam).any()
        assert [each for each in fleet.notices if "sample of the whole fleet" in each] == [
            "One sample of the whole fleet is of class 'jam': it is in the training set or in the test set"
            " of its device, so that this kind is learnt or tested, and not both; add some, or give it another"
            " kind."
        ]

    def test_one_sample_of_a_kind_on_a_device_of_several_needs_no_word(self, write):
        write("state", *["ok", "worn"] * 40, "jam", name="u.csv")
        path = write("state", *["ok", "jam"] * 40)
        source = {"table": str(path.parent / "*.csv"), "label": "state", "features": ["a"], "normal": ["ok"]}
        fleet = build(parse({"fleet": source}, "here"))
        jam = fleet.target.classes.index("jam")
        assert (fleet.devices[1].train.y == jam).sum() == 1 and not (fleet.test["u"].y == jam).any()
        assert not any("sample of the whole fleet" in each for each in fleet.notices)

    def test_a_device_without_normal_samples_is_left_out_where_its_own_moments_would_scale_it(self, write):
        write("state", *["worn", "jam"] * 40, name="u.csv")
        path = write("state", *["ok", "jam"] * 40)
        source = {"table": str(path.parent / "*.csv"), "label": "state", "features": ["a"], "normal": ["ok"]}
        says = r"^Device u in .*u.csv has only faults, and standardised by these alone"
        with pytest.raises(DataError, match=says):
            build(parse({"fleet": source | {"strict": True}}, "here"))
        fleet = build(parse({"fleet": source}, "here"))
        assert [device.name for device in fleet.devices] == ["t"]
        assert [(each.name, len(each.problems)) for each in fleet.left_out] == [("u", 1)]

    def test_exported_devices_can_be_read_by_their_kinds(self, tmp_path):
        path = write_devices("feeder", 2, 400, 0, tmp_path / "fleet")
        recipe = load(str(path), ["fleet.label=kind", 'fleet.normal=["normal"]'])
        fleet = build(recipe)
        assert fleet.target.outputs == len(fleet.target.classes) > 2 and "A-G" in fleet.target.classes

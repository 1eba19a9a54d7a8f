"""Columns become tables: what comes out of a good file, and one sentence for every cell that cannot be used."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError, DataErrors
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.tables import Columns, read, safe_name, unseen

AB = Columns("fault", ("a", "b"))


def read_many(*which):
    """The tables of the devices that a file is cut into."""
    return [candidate.read() for candidate in cut(*which)]


def error(path, columns=AB, **more):
    """The one sentence that reading the file fails with."""
    with pytest.raises(DataError) as caught:
        cut(path, columns, **more) if more else read(path, columns, "device")
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


class TestGood:
    def test_plain(self, write):
        path = write("a,b,fault\n1,2.5,0\n-3,1.02E-01,1\n")
        table = read(path, Columns("fault", ("b", "a"), units={"a": "A"}), "pump 1")
        assert table.name == "pump_1"
        assert table.features == ("b", "a")
        assert table.x.tolist() == [[2.5, 1.0], [0.102, -3.0]]
        assert table.x.dtype == np.float64
        assert table.y.tolist() == [0, 1]
        assert table.y.dtype == np.int8
        assert table.units == ("", "A")
        assert table.kinds is None
        assert table.groups is None
        assert table.source == path

    @pytest.mark.parametrize(
        "content",
        [
            "\ufeffa,b,fault\n1,2,0\n3,4,1\n",
            "a,b,fault\r\n1,2,0\r\n3,4,1",
            "a,b,fault\r1,2,0\r3,4,1\r",
            '"a","b","fault"\n"1","2","0"\n"3","4","1"\n',
            "a,b,fault,,\n1,2,0,,\n3,4,1,,\n",
            " a , b ,fault\n 1 , 2, 0\n3,4 ,1\n",
            "\n\na,b,fault\n1,2,0\n\n3,4,1\n\n  \n",
            "a,b,fault,note\n1,2,0,\n3,4,1,x\n",
            'a,b,fault,note\n1,2,0,"two\nlines, and ""quotes"""\n3,4,1,x\n',
            'a,b,fault,note\n1,2,0,5" pipe\n3,4,1,x\n',
            "a,b,fault\n1e0,2.0,0.0\n+3,0.4e1,1.0\n",
        ],
    )
    def test_ways_to_write_the_same(self, write, content):
        table = read(write(content), AB, "d")
        assert table.x.tolist() == [[1, 2], [3, 4]]
        assert table.y.tolist() == [0, 1]

    def test_large_integers_and_long_fractions(self, write):
        table = read(write("a,b,fault\n9007199254740993123,0.1000000000000000055511151231257827,0\n"), AB, "d")
        assert table.x.tolist() == [[9007199254740993123.0, 0.1]]

    def test_one_class_is_left_to_the_fleet(self, write):
        assert read(write("a,b,fault\n1,2,0\n3,4,0\n"), AB, "d").y.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("cells", "positive", "y"),
        [
            (["0.0", "1", "0", "1.0"], (), [0, 1, 0, 1]),
            (["True", "false", "TRUE", "False"], (), [1, 0, 1, 0]),
            (["No", "Yes", "No", "No"], ("Yes",), [0, 1, 0, 0]),
            (["0", "1", "2", "2.0"], (1, "2"), [0, 1, 1, 1]),
            (["ok", "worn", "jam", "ok"], ("jam", "worn"), [0, 1, 1, 0]),
            (["1", "2", "2", "1"], (1.0,), [1, 0, 0, 1]),
        ],
    )
    def test_labels(self, write, cells, positive, y):
        path = write("a,b,fault\n" + "".join(f"1,2,{cell}\n" for cell in cells))
        assert read(path, Columns("fault", ("a", "b"), positive), "d").y.tolist() == y

    def test_label_of_several_columns(self, write):
        path = write("g,c,a\n0,0,1.5\n1,0,2.5\n1,1,3.5\n0,2,4.5\n")
        table = read(path, Columns(("g", "c"), ("a",)), "d")
        assert table.y.tolist() == [0, 1, 1, 1]
        assert table.kinds.tolist() == ["00", "10", "11", "01"]
        table = read(path, Columns(("g", "c"), ("a",), positive=(2,)), "d")
        assert table.y.tolist() == [0, 0, 0, 1]

    def test_kind_and_group(self, write):
        path = write("a,fault,mode,site\n1,0,none,2.0\n2,1,tool wear,007\n")
        table = read(path, Columns("fault", ("a",), kind="mode", group="site"), "d")
        assert table.kinds.tolist() == ["none", "tool wear"]
        assert table.groups.tolist() == ["2", "007"]
        table = read(path, Columns("fault", ("a",), kind=("mode", "site")), "d")
        assert table.kinds.tolist() == ["none-2", "tool wear-007"]

    def test_categories(self, write):
        path = write("Type,fault\nM,0\nL,1\nH,0\n")
        table = read(path, Columns("fault", ("Type",), categories={"Type": ("L", "M", "H")}), "d")
        assert table.x.tolist() == [[1], [0], [2]]

    def test_parquet(self, tmp_path):
        path = tmp_path / "t.parquet"
        pl.DataFrame(
            {"a": [1, 2], "b": [0.5, 1.5], "ok": [True, False], "kind": ["x", "y"], "unit": [1.0, 2.0]}
        ).write_parquet(path)
        table = read(path, Columns("ok", ("a", "b"), kind="kind", group="unit"), "d")
        assert table.x.tolist() == [[1, 0.5], [2, 1.5]]
        assert table.y.tolist() == [1, 0]
        assert table.kinds.tolist() == ["x", "y"]
        assert table.groups.tolist() == ["1", "2"]

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(
                st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.booleans()
            ),
            min_size=1,
            max_size=20,
        ),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
    )
    def test_reads_back_what_was_written(self, tmp_path, rows, end, marked):
        path = tmp_path / "t.csv"
        lines = ["a,b,fault", *(f"{a!r},{b},{int(y)}" for a, b, y in rows)]
        path.write_bytes(end.join([*lines, ""]).encode("utf-8-sig" if marked else "utf-8"))
        table = read(path, AB, "d")
        assert table.x.tolist() == [[a, float(b)] for a, b, _ in rows]
        assert table.y.tolist() == [int(y) for _, _, y in rows]

    def test_real_files(self, real_data):
        phases = ("Ia", "Ib", "Ic", "Va", "Vb", "Vc")
        table = read(real_data / "classData.csv", Columns(("G", "C", "B", "A"), phases), "class")
        kinds, counts = np.unique(table.kinds, return_counts=True)
        assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
            "0000": 2365, "0110": 1004, "0111": 1096, "1001": 1129, "1011": 1134, "1111": 1133,
        }  # fmt: skip
        modes = Columns("Machine failure", ("Type",), categories={"Type": ("L", "M", "H")})
        table = read(real_data / "ai4i2020.csv", modes, "ai4i")
        assert np.bincount(table.x[:, 0].astype(int)).tolist() == [6000, 2997, 1003]


class TestCut:
    CUT = "a,fault,kind,site\n1,0,Pump,New York\n2,1,Turbine,Rome\n3,1,Pump,New York\n4,0,Pump,Rome\n"

    def test_by_two_columns(self, write):
        tables = read_many(write(self.CUT), Columns("fault", ("a",)), ("kind", "site"))
        assert [table.name for table in tables] == ["Pump-New_York", "Pump-Rome", "Turbine-Rome"]
        assert [table.x[:, 0].tolist() for table in tables] == [[1, 3], [4], [2]]
        assert [table.y.tolist() for table in tables] == [[0, 1], [0], [1]]

    def test_name_in_front(self, write):
        tables = read_many(write(self.CUT), Columns("fault", ("a",)), ("site",), "plant")
        assert [table.name for table in tables] == ["plant-New_York", "plant-Rome"]

    def test_names_stay_unique(self, write):
        path = write("a,fault,site\n1,0,x y\n2,0,x_y\n3,0,X/y\n4,1,../x\n5,1,東京\n6,0,大阪\n")
        names = [table.name for table in read_many(path, Columns("fault", ("a",)), ("site",))]
        assert len({name.casefold() for name in names}) == 6
        assert all(safe_name(name) == name for name in names)

    def test_errors(self, write):
        path = write("a,fault,site\n1,0,x\n2,1,\n")
        columns = Columns("fault", ("a",))
        assert error(path, columns, by=("site",)) == (
            "t.csv, line 3, column 'site' is empty; fill the cell in or remove the row"
        )
        assert "did you mean 'site'?" in error(path, columns, by=("sit",))
        assert "no column is named" in error(path, columns, by=(), name=None)

    def test_what_is_wrong_on_one_device_is_no_error_of_the_others(self, write):
        path = write("a,fault,site\n1,0,x\nhigh,1,y\n3,0,x\n4,9,y\n5,1,z\n")
        x, y, z = cut(path, Columns("fault", ("a",)), ("site",))
        assert (x.read().x.tolist(), z.read().y.tolist()) == ([[1], [3]], [1])
        with pytest.raises(DataErrors) as caught:
            y.read()
        label, number = caught.value.problems
        assert label.sentence.startswith(f"{path}, line 5, column 'fault' is a label but not 0/1")
        assert (number.kind, number.column, number.lines, number.count) == ("number", "a", (3,), 1)

    def test_what_is_wrong_on_all_is_said_once(self, write):
        assert "holds 'x', which is not a number, as on line 3" in error(
            write("a,fault,site\nx,0,x\ny,1,y\n"), Columns("fault", ("a",)), by=("site",)
        )


class TestPositive:
    """One device may lack a kind of fault; a file that is cut, and a fleet, may not."""

    COLUMNS = Columns("fault", ("a",), ("worn", "jam", 2))

    def test_one_file_may_lack_a_value(self, write):
        path = write("a,fault\n1,ok\n2,worn\n")
        assert read(path, self.COLUMNS, "d").y.tolist() == [0, 1]

    def test_unseen(self, write):
        paths = [write("a,fault\n1,ok\n2,worn\n"), write("a,fault\n1,ok\n2,\n", "u.csv")]
        assert unseen(self.COLUMNS, paths) == ("jam", "2")
        assert unseen(self.COLUMNS, [*paths, write("a,fault\n1,2.0\n2,jam\n", "v.csv")]) == ()
        assert unseen(self.COLUMNS, paths[1:]) == ("worn", "jam", "2")

    def test_unseen_in_any_of_several_labels(self, write):
        columns = Columns(("g", "c"), ("a",), ("worn", "jam"))
        assert unseen(columns, [write("a,g,c\n1,ok,worn\n2,jam,ok\n")]) == ()
        assert unseen(columns, [write("a,g\n1,ok\n")]) == ()  # of which `read` tells

    def test_without_positive_no_file_is_read(self, tmp_path):
        assert unseen(AB, [tmp_path / "missing.csv"]) == ()

    def test_a_cut_file_holds_it_somewhere(self, write):
        path = write("a,fault,site\n1,ok,x\n2,bad,y\n")
        tables = read_many(path, Columns("fault", ("a",), ("bad",)), ("site",))
        assert [table.y.tolist() for table in tables] == [[0], [1]]


class TestNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("feeder", "feeder"),
            ("San Francisco", "San_Francisco"),
            ("Zürich / Halle 3", "Zurich_Halle_3"),
            ("../../etc", "_.._etc"),
            ("...", "device-ab5df625"),
            ("x.", "x"),
        ],
    )
    def test_examples(self, text, name):
        assert safe_name(text) == name

    @given(st.text())
    def test_always_a_folder_name(self, text):
        name = safe_name(text)
        assert 0 < len(name) <= 100
        assert not name.startswith(".")
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert safe_name(name) == name


class TestCells:
    def test_rows_of_parquet(self, tmp_path):
        path = tmp_path / "t.parquet"
        pl.DataFrame({"a": [1.0, float("nan"), 2.0], "b": [1, 2, None], "fault": [0, 1, 1]}).write_parquet(path)
        assert error(path, Columns("fault", ("a",))) == (
            "t.parquet, row 2, column 'a' holds 'NaN', which is not a finite number; "
            "correct it or remove the row"
        )
        assert error(path, Columns("fault", ("b",))).startswith("t.parquet, row 3, column 'b' is empty")

    def test_a_label_of_many_values_tells_five(self, write):
        path = write("fault,a\n" + "".join(f"{cell},1\n" for cell in "abcdefg"))
        assert "the column holds 'a', 'b', 'c', 'd', 'e' and 2 more;" in error(path, Columns("fault", ("a",)))

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (Columns("fault", ()), "no feature is named"),
            (Columns((), ("a",)), "no label is named"),
            (Columns("fault", ("a",), kind="mod"), "no column 'mod'"),
            (Columns("fault", ("a",), group="mod"), "no column 'mod'"),
        ],
    )
    def test_columns_that_contradict(self, write, columns, message):
        assert message in error(write("a,b,fault\n1,2,0\n"), columns)

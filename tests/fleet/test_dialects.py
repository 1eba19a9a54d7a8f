"""Text tables in the dialects that people's programs write: the same numbers, or a sentence, never others."""

import gzip
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from fedmetaalign import recipe
from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.files import Options, load
from fedmetaalign.fleet.sources import columns_of
from fedmetaalign.fleet.tables import Columns, read

SPEED, LOAD = [1500.25, 980.5, 12.0], [0.5, -3.125, 1234567.5]
COLUMNS = Columns("fault", ("speed", "load"))


def refusal(path, **known):
    with pytest.raises(DataError) as caught:
        load(path, options=Options(**known))
    return str(caught.value).replace(f"{path.parent}/", "")


class TestOneTableInManyWays:
    PLAIN = "speed,load,fault\n1500.25,0.5,0\n980.5,-3.125,1\n12,1234567.5,0\n"
    GERMAN = "speed;load;fault\n1500,25;0,5;0\n980,5;-3,125;1\n12;1.234.567,5;0\n"
    UNITS = "speed;load;fault\n[rpm];°;\n1500,25;0,5;0\n980,5;-3,125;1\n12;1.234.567,5;0\n"
    SPACED = "speed\tload\tfault\n1 500,25\t0,5\t0\n980,5\t-3,125\t1\n12\t1 234 567,5\t0\n"

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (PLAIN, "commas, UTF-8"),
            (PLAIN.encode("utf-8-sig"), "commas, UTF-8"),
            (PLAIN.encode("utf-16"), "commas, UTF-16"),
            (PLAIN.encode("utf-16-be"), "commas, utf-16-be"),
            (PLAIN.replace("\n", "\r\n"), "commas, UTF-8"),
            (PLAIN.replace("\n", "\r"), "commas, UTF-8"),
            (PLAIN.replace(",", "|"), "bars, UTF-8"),
            (PLAIN.replace(",", "\t"), "tabs, UTF-8"),
            ("# pump 3\n#\n" + PLAIN + "# the end\n", "commas, UTF-8, header in line 3"),
            ("sep=,\r\n" + PLAIN, "commas, UTF-8, header in line 2"),
            (GERMAN, "semicolons, decimal commas, thousands with '.', UTF-8"),
            (
                GERMAN.replace(";", '";"').replace("\n", '"\n"')[:-1].join('"\n'),
                "semicolons, decimal commas, thou...",
            ),
            (UNITS.encode("cp1252"), "semicolons, decimal commas, thousands with '.', cp1252, a line of units"),
            (SPACED, "tabs, decimal commas, UTF-8"),
            (SPACED.replace(" ", "\u202f").encode("utf-16"), "tabs, decimal commas, UTF-16"),
            (PLAIN.replace("1500.25", '"1,500.25"'), "commas, thousands with ',', UTF-8"),
            (GERMAN.replace("\n", ";\n"), "semicolons, decimal commas, thousands with '.', UTF-8"),
        ],
    )
    def test_has_the_same_numbers(self, write, content, told):
        path = write(content)
        table = read(path, COLUMNS, "d")
        assert table.x.T.tolist() == [SPEED, LOAD]
        assert table.y.tolist() == [0, 1, 0]
        found = load(path).dialect
        assert found == told or (told.endswith("...") and found.startswith(told[:-3]))

    def test_packed(self, write):
        path = write(gzip.compress(self.GERMAN.encode()), "t.csv.gz")
        assert read(path, COLUMNS, "d").x.T.tolist() == [SPEED, LOAD]
        assert load(path).dialect.endswith(", gzip")

    @pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow", "t.jsonl", "t.xlsx", "t.parquet.gz"])
    def test_in_a_file_with_types(self, tmp_path, name):
        path = tmp_path / name
        frame = pl.DataFrame({"speed": SPEED, "load": LOAD, "fault": [0, 1, 0]})
        match name.split(".", 1)[1]:
            case "parquet":
                frame.write_parquet(path)
            case "parquet.gz":
                frame.write_parquet(path.with_suffix(""))
                path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
            case "feather" | "arrow":
                frame.write_ipc(path)
            case "jsonl":
                frame.write_ndjson(path)
            case "xlsx":
                frame.write_excel(path)
        assert read(path, COLUMNS, "d").x.T.tolist() == [SPEED, LOAD]

    def test_a_spreadsheet_keeps_text_and_tells_the_row(self, tmp_path):
        path = tmp_path / "t.xlsx"
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet("pumps")
            for row, cells in enumerate(
                [["a", "b", "fault"], [1.5, "2,5", "ok"], [0.1, "0,5", "?"], [7, "x", ""]]
            ):
                sheet.write_row(row, 0, cells)
            book.add_worksheet("notes")
        raw = load(path, texts=("fault",))
        assert raw.frame.rows() == [("1.5", "2.5", "ok"), ("0.1", "0.5", "?"), ("7", "x", None)]
        assert raw.dialect == "sheet 'pumps' of 2"
        assert raw.where(2, "b") == f"{path}, row 4, column 'b'"


class TestUnits:
    def test_are_those_of_the_line_also_where_the_recipe_names_others(self, write):
        path = write("speed;load;fault\n[rpm];kN;-\n1,5;2;0\n2,5;3;1\n")
        table = read(path, Columns("fault", ("speed", "load"), units={"load": "N"}), "d")
        assert table.units == ("rpm", "kN")  # a thousand times as much: another feature than others' "load"

    @pytest.mark.parametrize(
        "line", ["7,8,0", ",,", "n/a,n/a,0", "NaN,,", "-,-,", "x,y,0", "V,low,0", "F,,", "(1),(2),(0)"]
    )
    def test_a_row_is_never_taken_for_a_line_of_units(self, write, line):
        assert load(write(f"speed,load,fault\n{line}\n1,2,0\n3,4,1\n")).frame.height == 3


class TestWhatNobodyCanTell:
    """Cells that can be read in two ways are refused, unless another cell or the recipe tells."""

    AMBIGUOUS = "a;b\n1,234;1\n12,345;2\n"

    def test_is_refused_with_the_way_out(self, write):
        assert refusal(write(self.AMBIGUOUS)) == (
            "t.csv, line 2, column 'a' holds '1,234', which may be 1.234 or 1234, and no cell tells which; say"
            ' decimal = "." or decimal = "," in [fleet.csv] of the recipe, or with --csv'
        )

    @pytest.mark.parametrize(("decimal", "values"), [(",", ["1.234", "12.345"]), (".", ["1234", "12345"])])
    def test_the_recipe_tells(self, write, decimal, values):
        assert load(write(self.AMBIGUOUS), options=Options(decimal=decimal)).frame["a"].to_list() == values

    @pytest.mark.parametrize(
        ("row", "values"),
        [
            ("0,5;3", ["1.234", "12.345", "0.5"]),  # a cell of the column
            ("7;0,5", ["1.234", "12.345", "7"]),  # a cell of another column
            ("7;1.234.567,5", ["1.234", "12.345", "7"]),
            ("1,234.5;1", ["1234", "12345", "1234.5"]),
            ("1;1,234.5", ["1234", "12345", "1"]),
        ],
    )
    def test_another_cell_tells(self, write, row, values):
        assert load(write(f"{self.AMBIGUOUS}{row}\n")).frame["a"].to_list() == values

    @pytest.mark.parametrize("row", ["0.5;1", "1;0.5", "1.234;1"])
    def test_a_decimal_point_elsewhere_does_not_make_commas_thousands(self, write, row):
        assert "column 'a' holds '1,234', which may be" in refusal(write(f"{self.AMBIGUOUS}{row}\n"))

    def test_a_point_is_the_decimal_sign_between_commas(self, write):
        assert load(write("a,b\n1.234,1\n12.345,2\n")).frame["a"].to_list() == ["1.234", "12.345"]

    def test_a_cell_of_the_other_sign_is_refused(self, write):
        assert refusal(write("a;b\n1,5;1\n1.5;2\n"), decimal=",") == (
            "t.csv, line 3, column 'a' holds '1.5', and the decimal sign is ','; correct it, or"
            " decimal in [fleet.csv]"
        )

    def test_texts_and_columns_that_are_not_needed_disturb_nobody(self, write):
        path = write("when;id;a;fault\n01.02.2024;1.234;1,5;0\n02.02.2024;5.678;2,5;1\n")
        assert read(path, Columns("fault", ("a",)), "d").x.tolist() == [[1.5], [2.5]]


class TestWhatTheRecipeSays:
    @pytest.mark.parametrize(
        ("known", "content", "frame"),
        [
            ({"separator": ";"}, "a,b;c\n1,2;3\n", {"a,b": ["1.2"], "c": ["3"]}),
            ({"header": 3}, "pump 3\nof hall 2\na,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
            ({"unit_line": True}, "a,b\nfoo,bar\n1,2\n", {"a": ["1"], "b": ["2"]}),
            ({"unit_line": False}, "a,b\nV,A\n1,2\n", {"a": ["V", "1"], "b": ["A", "2"]}),
            ({"comment": "%"}, "% pump\na,b\n%,\n1,2\n", {"a": ["1"], "b": ["2"]}),
            ({"comment": ""}, "#a,b\n#1,2\n", {"#a": ["#1"], "b": ["2"]}),
            ({"encoding": "cp437"}, "T\u00b0,b\n1,2\n".encode("cp437"), {"T°": ["1"], "b": ["2"]}),
        ],
    )
    def test_is_done(self, write, known, content, frame):
        assert load(write(content), options=Options(**known)).frame.to_dict(as_series=False) == frame


class TestComments:
    def test_a_header_may_begin_with_the_mark(self, write):
        assert load(write("#a,b\n1,2\n")).frame.columns == ["#a", "b"]

    def test_a_row_that_begins_with_the_mark_stays(self, write):
        assert load(write("a,b\n#1,2\n#2,3\n")).frame["a"].to_list() == ["#1", "#2"]

    def test_a_short_row_among_such_is_no_comment(self, write):
        assert refusal(write("a,b\n#1,2\n#2\n")).startswith("t.csv, line 3 has 1 cells")
        assert refusal(write("a,b\n#2\n#1,2\n")).startswith("t.csv, line 2 has 1 cells")

    def test_lines_are_counted_with_comments_and_units(self, write):
        raw = load(write("# pump\na;b\n# now\nV;A\n\n1,5;2\n# then\n2,5;3\n"))
        assert [raw.where(row, "a").split(", ")[1] for row in (0, 1)] == ["line 6", "line 8"]


def test_the_recipe_tells_all_devices_or_one(write, tmp_path):
    write("a;b;fault\n1,234;1;0\n", "one.csv")
    write("a;b;fault\n1,234;1;0\n", "two.csv")
    more = '\nlabel = "fault"\nfeatures = ["a", "b"]\n'
    text = f'[fleet]\ncsv = {{ decimal = "," }}\n[[fleet.devices]]\ntable = "one.csv"{more}'
    text += f'[[fleet.devices]]\ntable = "two.csv"\ncsv = {{ decimal = "." }}{more}'
    loaded = recipe.load(str(write(text, "recipe.toml")))
    sources = loaded.fleet.sources
    found = [read(Path(s.table), columns_of(s, loaded.splits), "d").x[0, 0] for s in sources]
    assert found == [1.234, 1234.0]


@pytest.mark.parametrize("csv", ['decimal = "x"', 'encoding = "abacus"', 'decimal = ","\nthousands = ","'])
def test_a_recipe_that_tells_what_cannot_be(write, csv):
    text = f'[fleet]\ntable = "t.csv"\nlabel = "y"\nfeatures = ["a"]\n[fleet.csv]\n{csv}\n'
    with pytest.raises(RecipeError, match=r"fleet\.csv"):
        recipe.load(str(write(text, "recipe.toml")))

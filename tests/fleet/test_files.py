"""Files become cells: the ways to write the same, and one sentence for everything that can be wrong."""

import gzip
import io
import os
import zipfile
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import (
    Options,
    cells,
    filled,
    load,
    loading,
    parse,
    require,
    sha256,
    source,
    text,
    typed,
)


def error(path):
    """The one sentence that taking three columns from the file fails with."""
    with pytest.raises(DataError) as caught:
        raw = load(path)
        require(raw, ("fault", "a", "b"))
        for name in raw.frame.columns:
            filled(raw, name)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


class TestLoad:
    def test_sha256(self, write):
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
        assert sha256(write("abc")) == expected

    def test_unreadable(self, write, monkeypatch):
        path = write("a,b,fault\n1,2,0\n")

        def refuse(self, mode):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        assert error(path) == "t.csv cannot be read (Permission denied); check its permissions"

    def test_not_the_encoding_that_is_said(self, write):
        with pytest.raises(DataError, match=r"t\.csv is not UTF-8 text; correct encoding in \[fleet\.csv\]"):
            load(write(b"a,b,fault\n1,2,0\n\xb0,2,0\n"), options=Options(encoding="utf-8"))

    def test_a_cell_without_end(self, write):
        assert "quote that is not closed" in error(write('a,b,fault\n1,"' + "2,0\n" * 60_000))

    def test_unnamed_columns(self, write):
        assert load(write("a,,b,\n1,2,3,4\n")).frame.columns == ["a", "(column 2)", "b", "(column 4)"]


class TestCells:
    def test_text_without_blanks_and_zeros(self, write):
        column = cells(load(write('a,b\n 1.0 ,x\n1.50,x\n-3.00,x\n"",x\n  ,x\n0.0.0,x\n')), "a")
        assert column.to_list() == ["1", "1.50", "-3", None, None, "0.0.0"]

    def test_numbers(self):
        values, wrong = parse(pl.Series(["1e3", None, "nan", "-inf", "?"]))
        assert values[0] == 1000
        assert values[1:] == pytest.approx([float("nan")] * 4, nan_ok=True)
        assert wrong.to_list() == ["?"]

    def test_lines_are_those_of_an_editor(self, write):
        path = write('\na,b,fault,note\r\n1,2,0,"two\r\nlines"\r\n\r\n1,,0,x\r\n')
        assert error(path) == "t.csv, line 6, column 'b' is empty; fill the cell in or remove the row"

    def test_nested_parquet(self, tmp_path):
        path = tmp_path / "t.parquet"
        pl.DataFrame({"a": [[1.0]], "b": [1], "fault": [0]}).write_parquet(path)
        assert "column 'a' is of type List(Float64)" in error(path)


class TestBounds:
    """What is too large, or no file at all, ends in a sentence, and soon."""

    def test_a_long_line(self, write):
        assert refusal(write("a,b\n1,2\n" + "1" * (text.LONGEST_LINE + 2**20))) == (
            "t.csv, line 3 is longer than 8 MiB, as no line of a table is; look at the file"
        )

    def test_a_long_line_of_json(self, write):
        lines = b'{"a": 1}\n' * 1500 + b'{"a": "' + b"1" * (text.LONGEST_LINE + 2**20) + b'"}\n'
        assert refusal(write(lines, "t.jsonl")) == "t.jsonl, line 1501 is longer than 8 MiB; cut it up"

    def test_a_stream_that_unfolds(self, tmp_path, monkeypatch):
        monkeypatch.setattr(loading, "MOST_CELLS", 100)
        frame = pl.DataFrame({"a": [1] * 51, "b": [2] * 51})
        frame.head(50).write_ipc_stream(tmp_path / "t.arrows")
        assert load(tmp_path / "t.arrows").frame.height == 50
        frame.write_ipc_stream(tmp_path / "t.arrows")
        assert refusal(tmp_path / "t.arrows").startswith(
            "t.arrows is a stream of more than 50 rows of 2 columns"
        )

    def test_a_long_name_and_many(self, write):
        assert refusal(write("a," + "b" * 10_000 + "\n1,2\n")) == (
            f"t.csv, line 1 has a name of 10,000 characters in column 2 ('{'b' * 40}...'), and one can have"
            " 1,000; shorten it"
        )
        assert refusal(write(",".join(map(str, range(20_001))) + "\n")) == (
            "t.csv, line 1 names 20,001 columns, and there can be 20,000; leave some out"
        )

    @pytest.mark.parametrize("name", ["t.csv.gz", "t.xlsx"])
    def test_a_bomb(self, write, monkeypatch, name):
        monkeypatch.setattr(source, "SMALL_BYTES", 2**20)
        monkeypatch.setattr(typed, "MOST_SHEET_BYTES", 2**20)
        zeros = bytes(2**24)
        if name == "t.xlsx":
            with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("xl/worksheets/sheet1.xml", zeros)
            path = write(file.getvalue(), name)
            most = 1
        else:
            path = write(packed := gzip.compress(zeros), name)
            most = 200 * len(packed) // 2**20
        assert refusal(path) == f"{name} unfolds to more than {most} MiB; cut it into several files"

    def test_too_many_rows(self, write, monkeypatch):
        monkeypatch.setattr(loading, "MOST_ROWS", 2)
        path = write("a\n1\n2\n3\n")
        assert refusal(path).startswith("t.csv has 3 rows and 1 columns to read, and 2 rows and ")
        pl.DataFrame({"a": [1, 2, 3]}).write_parquet(path.with_suffix(".parquet"))
        assert refusal(path.with_suffix(".parquet")).startswith("t.parquet has 3 rows")

    def test_what_is_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "t.csv")
        assert refusal(tmp_path / "t.csv") == (
            "t.csv is a pipe or a device and no file; save what it gives as a file"
        )
        assert refusal(Path("/dev/zero")).startswith("zero is a pipe or a device")

    @pytest.mark.parametrize("rows", ["1.5;0;x", "1,5;0;x\n2.345,5;7;y", "1.5;;007\n;?;1e5"])
    def test_a_large_text_is_held_as_numbers_and_says_the_same(self, write, monkeypatch, rows):
        path = write(f"a;b;c\n{rows}\n3;4;5\n")
        small = load(path, texts=("c",))
        monkeypatch.setattr(loading, "SMALL_BYTES", 0)
        monkeypatch.setattr(text, "SMALL_BYTES", 0)
        large = load(path, texts=("c",))
        assert large.frame.schema == {
            "a": pl.Float64,
            "b": pl.String if "?" in rows else pl.Float64,
            "c": pl.String,
        }
        for name in "abc":
            assert cells(large, name).to_list() == cells(small, name).to_list()


def refusal(path):
    with pytest.raises(DataError) as caught:
        load(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_columns_of_types_that_are_no_cells(tmp_path):
    """A column that nobody needs may be of any type; one that is needed is named."""
    path = tmp_path / "t.parquet"
    odd = {
        "span": pl.Series([timedelta(1)]),
        "nested": pl.Series([[1]]),
        "struct": pl.Series([{"x": 1}]),
        "bytes": pl.Series([b"x"]),
        "exact": pl.Series(["1.50"]).cast(pl.Decimal(10, 2)),
        "nothing": pl.Series([None]),
    }
    pl.DataFrame({"a": [1.5], "fault": [0], **odd}).write_parquet(path)
    assert load(path, ["a", "fault"]).frame.rows() == [(1.5, 0)]
    raw = load(path)
    assert [cells(raw, name)[0] for name in ("exact", "nothing", "a")] == ["1.50", None, "1.5"]
    for name in ("span", "nested", "struct", "bytes"):
        with pytest.raises(DataError, match=f"column '{name}' is of type .*; store plain numbers or text"):
            cells(raw, name)

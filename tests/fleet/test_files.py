"""Files become cells: the ways to write the same, and one sentence for everything that can be wrong."""

from pathlib import Path

import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Options, cells, filled, load, parse, require, sha256


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

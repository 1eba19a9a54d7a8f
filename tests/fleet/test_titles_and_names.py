"""Tables as people leave them: titles over the header, several sheets, names with something invisible."""

from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import load
from fedmetaalign.fleet.files.names import tidy
from fedmetaalign.fleet.sources import find_devices
from fedmetaalign.recipe import parse

ROWS = "load;heat;fault\n" + "".join(f"{i},5;{60 + i};{i % 2}\n" for i in range(40))


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Pump 7\n", 2),
        ("Pump 7;;\n\n", 3),
        ("Plant\nShift 2;;\n", 3),
        ("# shift 2\nPump 7\n", 3),
        ("", 1),
    ],
)
def test_a_text_with_titles_has_its_header_under_them(title, line, tmp_path):
    (tmp_path / "t.csv").write_text(title + ROWS)
    raw = load(tmp_path / "t.csv")
    assert raw.frame.columns == ["load", "heat", "fault"] and raw.frame.height == 40
    assert ("header in line" in raw.dialect) == (line > 1)
    assert raw.line(0) == line + 1


def test_a_table_of_one_column_has_no_title(tmp_path):
    (tmp_path / "t.csv").write_text("load\n1\n2\n")
    assert load(tmp_path / "t.csv").frame["load"].to_list() == ["1", "2"]
    (tmp_path / "t.csv").write_text('"n";"load"\n"0";"0,0"\n')  # cut at the comma it would be one
    assert load(tmp_path / "t.csv").frame.columns == ["n", "load"]


def book(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    with xlsxwriter.Workbook(str(path)) as file:
        for name, rows in sheets.items():
            sheet = file.add_worksheet(name)
            for i, row in enumerate(rows):
                for j, cell in enumerate(row):
                    if cell is not None:
                        sheet.write(i, j, cell)
    return path


def test_of_several_sheets_the_first_with_a_table_is_read_below_its_title(tmp_path):
    table = [["Pump 7 in March"], [], ["load", "heat", "fault"], [1.5, 60, 0], [2.5, "bad", 1]]
    raw = load(book(tmp_path / "b.xlsx", {"Info": [["Report"]], "Data": table, "More": [["x", "y"], [1, 2]]}))
    assert raw.frame.columns == ["load", "heat", "fault"] and raw.frame.height == 2
    assert raw.dialect == "sheet 'Data' of 3, header in row 3"
    assert raw.where(1, "heat").endswith("row 5, column 'heat'")
    plain = load(book(tmp_path / "c.xlsx", {"A": [["x"], [1]]}))
    assert plain.frame.columns == ["x"] and plain.dialect == "sheet 'A'"


@pytest.mark.parametrize("name", ["he\u200bat", "heat\ufeff", "\u00adheat", "h\u2060eat"])
def test_what_cannot_be_seen_in_a_name_is_left_out(name, tmp_path):
    assert tidy(name) == "heat"
    (tmp_path / "t.csv").write_text(ROWS.replace("heat", name), encoding="utf-8")
    pl.DataFrame({name: [1.0], "load": [2.0]}).write_parquet(tmp_path / "t.parquet")
    for file in ("t.csv", "t.parquet"):
        assert "heat" in load(tmp_path / file, ["load", "heat"]).frame.columns


def test_accents_that_stand_apart_and_odd_blanks_are_as_one_sees_them():
    assert tidy("Stro\u0308mung\u00a0[m\u00b3/h]") == "Str\u00f6mung [m\u00b3/h]"
    assert tidy("a  b") == "a  b"  # plain blanks are the name's own


def fleet(folder: Path, normal: list[str], **states: str):
    for name, state in states.items():
        rows = ["load,state", *(f"{i},{'leak' if i % 3 == 0 else state}" for i in range(60))]
        (folder / f"{name}.csv").write_text("\n".join(rows))
    devices = [
        {"table": str(folder / f"{name}.csv"), "label": "state", "normal": normal, "features": ["load"]}
        for name in states
    ]
    return parse({"fleet": {"devices": devices}}, "here")


def test_a_table_need_not_have_every_value_that_the_fleet_calls_normal(tmp_path):
    found = find_devices(fleet(tmp_path, ["ok", "i.O."], ann="ok", bob="i.O."))
    assert [table.name for table in found.tables] == ["ann", "bob"] and not found.left_out
    with pytest.raises(DataError, match=r"No table of the fleet has the label idle: correct normal"):
        find_devices(fleet(tmp_path, ["ok", "idle"], ann="ok", bob="ok"))

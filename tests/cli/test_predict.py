"""What `predict` reads and writes: every dialect, standard input, three formats, and files that grow."""

import gzip
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Options, pieces
from fedmetaalign.fleet.files.following import follow
from fedmetaalign.tinyml import golden
from fedmetaalign.tinyml.bundle import read, read_weights, write

MAIN = [sys.executable, "-c", "from fedmetaalign.cli import main; main()"]


@pytest.fixture
def bundle(finished):
    return finished.folder / "devices" / "feeder-01"


@pytest.fixture
def table(csv_fleet):
    return pl.read_csv(csv_fleet / "feeder-01.csv", infer_schema=False)


@pytest.fixture
def scored(cli, bundle, csv_fleet):
    """What is printed of the plain table."""
    return cli("predict", bundle, csv_fleet / "feeder-01.csv").out


def test_every_dialect_is_scored_alike(cli, here, bundle, table, scored):
    decimal_commas = table.select(pl.all().str.replace(".", ",", literal=True))
    (here / "comma.csv").write_bytes(decimal_commas.write_csv(separator=";").encode("utf-16"))
    numbers = table.select(pl.col("Ia", "Ib", "Ic", "Va", "Vb", "Vc").cast(pl.Float64))
    numbers.write_parquet(here / "t.parquet")
    numbers.write_ndjson(here / "t.jsonl")
    outcome = cli("predict", bundle, "comma.csv")
    assert outcome.err.splitlines()[0] == "fedmetaalign: comma.csv: semicolons, decimal commas, UTF-16."
    for name in ("comma.csv", "t.parquet", "t.jsonl"):
        assert cli("predict", bundle, name).out == scored


def test_standard_input_is_scored_alike(cli, bundle, csv_fleet, scored, monkeypatch):
    for data in ((csv_fleet / "feeder-01.csv").read_bytes(),):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert cli("predict", bundle, "-").out == scored


@pytest.mark.parametrize(
    ("kind", "name"),
    [(".csv", "s.csv"), (".parquet", "s.parquet"), (".jsonl", "s.jsonl"), (".csv.gz", "s.csv")],
)
def test_what_is_read_in_pieces_is_scored_as_the_whole(cli, here, bundle, table, monkeypatch, kind, name):
    """However many rows are read at a time, what is written, and said of all rows together, is the same."""
    rows = table.with_columns(Va=pl.when(pl.int_range(pl.len()) % 100 == 7).then(None).otherwise("Va"))
    rows = rows.with_columns(Ib=pl.when(pl.int_range(pl.len()) > 150).then(pl.lit("1e6")).otherwise("Ib"))
    if kind == ".parquet":
        rows.write_parquet(here / "t.parquet")
    elif kind == ".jsonl":
        rows.write_ndjson(here / "t.jsonl")
    else:
        opened = gzip.open if kind == ".csv.gz" else open
        with opened(here / f"t{kind}", "wb") as file:
            file.write(rows.write_csv().encode())
    whole = cli("predict", bundle, f"t{kind}", "--out", "whole" + name[1:])
    monkeypatch.setattr("fedmetaalign.fleet.files.loading.MOST_CELLS_AT_ONCE", 16 * 37)
    assert len([*pieces(here / f"t{kind}", None)]) == -(-len(table) // 37)
    outcome = cli("predict", bundle, f"t{kind}", "--out", name)
    assert outcome.err == whole.err
    assert "3 cells of 'Va' (3 empty)" in whole.err
    assert "lie outside the range" in whole.err
    if name == "s.parquet":
        assert pl.read_parquet(here / name).equals(pl.read_parquet(here / "whole.parquet"))
    else:
        assert (here / name).read_bytes() == (here / ("whole" + name[1:])).read_bytes()
    assert json.loads(cli("predict", bundle, f"t{kind}", "--json").out)["alarms"] == (
        [row["alarm"] for row in pl.read_parquet(here / name).rows(named=True)]
        if name == "s.parquet"
        else [*(pl.read_csv if name == "s.csv" else pl.read_ndjson)(here / name)["alarm"]]
    )


def test_an_error_leaves_no_part_of_a_file(refused, here, bundle, csv_fleet, monkeypatch):
    def broken_off(*arguments):
        yield from pieces(*arguments)
        raise DataError("the disk is gone")

    monkeypatch.setattr("fedmetaalign.fleet.files.pieces", broken_off)
    (here / "s.csv").write_text("of yesterday", encoding="utf-8")
    for name in ("s.csv", "s.parquet"):
        told = refused("predict", bundle, csv_fleet / "feeder-01.csv", "--out", name)
        assert told == "the disk is gone."
    assert (here / "s.csv").read_text(encoding="utf-8") == "of yesterday"
    assert [path.name for path in here.iterdir() if path.name.startswith(("s.", ".s."))] == ["s.csv"]


def test_a_device_is_written_to_and_not_replaced(cli, here, bundle, csv_fleet, scored):
    (here / "null").symlink_to("/dev/null")
    assert cli("predict", bundle, csv_fleet / "feeder-01.csv", "--out", "null", "--format", "csv").status == 0
    assert (here / "null").is_symlink()


def test_one_json_document_has_a_bound(refused, bundle, csv_fleet, monkeypatch):
    monkeypatch.setattr("fedmetaalign.cli.scores.MOST_JSON", 199)
    monkeypatch.setattr("fedmetaalign.fleet.files.loading.MOST_CELLS_AT_ONCE", 16 * 100)
    sentence = refused("predict", bundle, csv_fleet / "feeder-01.csv", "--json")
    assert sentence == (
        "--json holds all that is said in memory, and there are more than 199 samples: write them one a line,"
        " with --format jsonl."
    )


def test_three_formats_say_the_same(cli, here, bundle, csv_fleet, scored):
    source = csv_fleet / "feeder-01.csv"
    for name in ("s.csv", "s.parquet", "s.jsonl"):
        assert cli("predict", bundle, source, "--out", name).status == 0
    rows = pl.read_csv(io.StringIO(scored)).rows()
    assert pl.read_csv(here / "s.csv").rows() == rows
    assert pl.read_parquet(here / "s.parquet").rows() == rows
    lines = (here / "s.jsonl").read_text(encoding="utf-8").splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == rows
    assert cli("predict", bundle, source, "--format", "jsonl").out.splitlines() == lines


@pytest.mark.parametrize("call", [["--json"], ["--format", "parquet"], ["--out", "s.parquet"]])
def test_a_growing_table_is_scored_row_by_row(cli, here, bundle, call):
    assert cli("predict", bundle, "t.csv", "--follow", *call).status == 2


def test_a_csv_option_that_is_none(refused, bundle, csv_fleet):
    sentence = refused("predict", bundle, csv_fleet / "feeder-01.csv", "--csv", "decimals=,")
    assert sentence == "--csv: unknown key decimals; the nearest known one is decimal."


def test_follow_scores_what_is_appended_and_stops_on_ctrl_c(here, bundle, csv_fleet, scored):
    lines = (csv_fleet / "feeder-01.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    growing = here / "growing.csv"
    growing.write_text("".join(lines[:3]) + lines[3][:7], encoding="utf-8")
    command = [*MAIN, "predict", str(bundle), "growing.csv", "--follow", "--out", "scores.csv"]
    process = subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True)  # noqa: S603
    expected = scored.splitlines()

    def wait_for(rows):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (here / "scores.csv").exists() and len(
                found := (here / "scores.csv").read_text().splitlines()
            ) > rows:
                return found
            time.sleep(0.05)
        raise AssertionError("nothing came")

    try:
        assert wait_for(2) == expected[:3]
        with growing.open("a", encoding="utf-8") as file:
            file.write(lines[3][7:] + "spoilt\n" + "".join(lines[4:10]))
        assert wait_for(9)[:4] == expected[:4]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert told.count("\n") == 1
    assert "growing.csv, line 5 has 1 cells where the header has" in told
    scores = [line.split(",", 1)[1] for line in (here / "scores.csv").read_text(encoding="utf-8").splitlines()]
    assert scores == [line.split(",", 1)[1] for line in expected[:10]]  # the row of the spoilt line is skipped


def test_json_lines_that_come_in_pieces_have_every_row_once(tmp_path, monkeypatch):
    data = b'{"T": 1.5, "V": "a"}\n\n{"T": 2, "W": [1]}\n[3]\n{"V": "\xc3\xa9", "T": null}\nbad\n{"T": 4'
    (tmp_path / "t.jsonl").write_bytes(data)
    for size in (1, 2, 7, 25, 100):
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        monkeypatch.setattr("fedmetaalign.fleet.files.following._appended", lambda path, wait: iter(parts))  # noqa: B023
        found = [*follow(tmp_path / "t.jsonl", ["T", "V"], Options())]
        rows = [row for piece in found if not isinstance(piece, Exception) for row in piece.frame.rows()]
        assert rows == [("1.5", "a"), ("2", None), (None, "\u00e9")]
        lines = [piece.line(0) for piece in found if not isinstance(piece, Exception) and size < 20]
        assert lines in ([], [1, 3, 5])
        errors = [str(piece).rpartition("/")[2] for piece in found if isinstance(piece, Exception)]
        assert errors == ["t.jsonl, line 4 is no JSON object", "t.jsonl, line 6 is no JSON object"]


def test_follow_takes_json_lines_from_standard_input(cli, bundle, table, scored):
    rows = table.select(pl.col("Ia", "Ib", "Ic", "Va", "Vb", "Vc").cast(pl.Float64)).write_ndjson()
    command = [*MAIN, "predict", str(bundle), "-", "--follow"]
    done = subprocess.run(command, input=rows.strip(), capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == scored


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_what_cannot_be_followed(refused, here, bundle, table, name):
    if name == "t.parquet":
        table.write_parquet(here / name)
    else:
        (here / name).write_bytes(gzip.compress(table.write_csv().encode()))
    assert refused("predict", bundle, name, "--follow") == (
        f"{name} can be read when it is whole, and no sooner, as every .gz, .parquet, .xlsx and .arrow: score"
        " it then, or follow a CSV file or JSON lines."
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_text_that_comes_in_pieces_has_every_row_once(tmp_path, monkeypatch, encoding):
    """However a text is cut into pieces, its rows are those of the whole."""
    text = '# pump\nT;"a ""x"""\n[°C];[V]\n1,5;"2"\n\n# now\n2,5;"3\n4"\n7;1.234,5\nbad\n8;9\n'
    data = text.encode(encoding)
    for size in (1, 2, 7, 19):
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        monkeypatch.setattr("fedmetaalign.fleet.files.following._appended", lambda path, wait: iter(pieces))  # noqa: B023
        (tmp_path / "t.csv").write_bytes(data)
        found = [*follow(tmp_path / "t.csv", None, Options(decimal=","))]
        rows = [row for piece in found if not isinstance(piece, Exception) for row in piece.frame.rows()]
        assert rows == [("1.5", "2"), ("2.5", "3\n4"), ("7", "1234.5"), ("8", "9")]
        errors = [str(piece) for piece in found if isinstance(piece, Exception)]
        assert [error.split(", ", 1)[1] for error in errors] == [
            "line 10 has 1 cells where the header has 2 columns"
        ]


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        ("1,5;2", "2;1,5", ("2", "1.5")),  # the file has decimal commas
        ("1,5;2", "2;1,234", ("2", "1.234")),
        ("1,5;2", "2;1.5", "column 'b' holds '1.5', and the decimal sign is ','"),
        ("1,5;2", "2;1.234", "column 'b' holds '1.234', and the decimal sign is ','"),
        ("1.234,5;2", "2;1.234", ("2", "1234")),
        ("1.5;2", "2;1.234", ("2", "1.234")),
        ("1;2", "2;1.234", "column 'b' holds '1.234', which may be 1.234 or 1234"),
        ("1;2", "2;0.5", ("2", "0.5")),
    ],
)
def test_later_rows_are_written_as_the_first_ones(tmp_path, monkeypatch, first, later, expected):
    (tmp_path / "t.csv").write_text("a;b\n", encoding="utf-8")
    pieces = [f"a;b\n{first}\n".encode(), f"{later}\n".encode()]
    monkeypatch.setattr("fedmetaalign.fleet.files.following._appended", lambda path, wait: iter(pieces))
    _, found = follow(tmp_path / "t.csv", None, Options())
    if isinstance(expected, str):
        assert expected in str(found)
    else:
        assert found.frame.row(0) == expected


def test_a_sample_with_a_broken_sensor_is_never_normal(cli, here, bundle, table, scored):
    spoilt = ["No Data", "", "1e400", "nan", "#N/A", "x7"]
    rows = table.head(60).with_row_index()
    broken = rows.with_columns(
        pl.when(pl.col("index") % 10 == 9)
        .then(pl.col("index").map_elements(lambda row: spoilt[row // 10], pl.String))
        .otherwise("Va")
        .alias("Va")
    )
    broken.write_csv(here / "broken.csv")
    outcome = cli("predict", bundle, "broken.csv", "--out", "s.csv")
    assert outcome.err.splitlines()[0] == (
        "fedmetaalign: Missing values: 6 cells of 'Va' (1 'No Data', 1 empty, 1 '1e400', 1 'nan', 1 '#N/A',"
        " 1 other)."
    )
    whole, found = pl.read_csv(io.StringIO(scored)).rows(), pl.read_csv(here / "s.csv").rows()
    for row, score, alarm in found:
        if row % 10:
            assert (row, score, alarm) == whole[row - 1]
        else:
            assert alarm == ("fault" if score > 0.5 else "sensor fault")
    assert {alarm for row, _, alarm in found if row % 10 == 0} == {"sensor fault", "fault"}
    assert cli("predict", bundle, "broken.csv", "--runtime", "c").out == (here / "s.csv").read_text()


def test_a_bundle_that_says_the_same_of_everything_is_no_judge(cli, here, bundle, csv_fleet):
    content = read(bundle)
    raw = golden.read(bundle / "golden.csv", content.preparation).raw
    write(here / "deaf", replace(content, threshold=1.0), read_weights(bundle), raw, {})
    outcome = cli("predict", "deaf", csv_fleet / "feeder-01.csv")
    assert outcome.err.splitlines()[0] == (
        "fedmetaalign: deaf says normal of every sample that it was tried with, whatever the values: its"
        " answers mean nothing."
    )
    assert "says" not in cli("predict", bundle, csv_fleet / "feeder-01.csv").err

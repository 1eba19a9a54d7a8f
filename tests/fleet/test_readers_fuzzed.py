"""Whatever is in a file, reading it gives its cells or one of our sentences; and never other numbers."""

import gzip
import io
import os
from itertools import zip_longest

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import cells, load, parse

FRAME = pl.DataFrame({"a": [1.5, 2.5, 3.0], "b": ["x", "y", None], "c": [1, 2, 3]})
QUICK = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),  # once in a while 1,200
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def packed(kind):
    """A small table as a file of a kind."""
    file = io.BytesIO()
    match kind:
        case "csv":
            FRAME.write_csv(file)
        case "csv.gz":
            file.write(gzip.compress(FRAME.write_csv().encode()))
        case "jsonl":
            FRAME.write_ndjson(file)
        case "xlsx":
            FRAME.write_excel(file)
        case "parquet":
            FRAME.write_parquet(file)
        case "feather":
            FRAME.write_ipc(file)
    return file.getvalue()


FILES = {kind: packed(kind) for kind in ("csv", "csv.gz", "jsonl", "xlsx", "parquet", "feather")}

CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4)))


def read_or_refused(path):
    """Reads all cells that can be read; anything but a DataError of one line fails."""
    try:
        raw = load(path)
        for name in raw.frame.columns:
            cells(raw, name)
    except DataError as error:
        assert "\n" not in str(error)
        return None
    return raw


@pytest.mark.parametrize("kind", FILES)
@QUICK
@given(data=st.data())
def test_bytes(tmp_path, capfd, kind, data):
    """Of any file, and of one that was a table before some of its bytes were changed, cut out or put in."""
    content = data.draw(st.binary(max_size=200))
    if data.draw(st.booleans()) or kind not in ("csv", "jsonl"):
        content, spoilt = (
            FILES[kind],
            data.draw(CHANGES),
        )
        for place, put in spoilt:
            at = place % (len(content) + 1)
            content = content[:at] + put + content[at + place % 3 :]
    path = tmp_path / f"t.{kind}"
    path.write_bytes(content)
    read_or_refused(path)
    assert capfd.readouterr() == ("", "")


def grouped(text, decimal, thousands):
    """A number as a person of some country writes it."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, part = digits.partition(".")
    if whole.isdigit() and thousands:
        first = len(whole) % 3 or 3
        whole = thousands.join([whole[:first], *(whole[i : i + 3] for i in range(first, len(whole), 3))])
    return f"{sign}{whole}{decimal + part if part else ''}"


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**9), 10**9).map(lambda n: n / 1000),
    st.integers(0, 2000).map(float),
)
WRITTEN = [(",", ""), (",", "."), (",", " "), (".", ""), (".", ","), (".", "'"), (".", "\u00a0")]


@QUICK
@given(
    columns=st.lists(st.lists(NUMBERS, min_size=1, max_size=6), min_size=1, max_size=4),
    written=st.sampled_from(WRITTEN),
    separator=st.sampled_from(";\t|,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    units=st.booleans(),
    comment=st.booleans(),
    quoted=st.booleans(),
)
def test_numbers_in_every_dialect_are_themselves_or_refused(
    tmp_path, columns, written, separator, encoding, end, units, comment, quoted
):
    texts = [["" if n is None else grouped(repr(n), *written) for n in row] for row in zip_longest(*columns)]
    header = [["n", *(f"\u00e4{i}" for i in range(len(columns)))], ["-", *["\u00b0C"] * len(columns)]]
    rows = [*header[: 1 + units], *(["0", *row] for row in texts)]
    if quoted or separator == ",":
        rows = [[f'"{cell}"' for cell in row] for row in rows]
    lines = ["# of pump 3"] * comment + [separator.join(row) for row in rows]
    path = tmp_path / "t.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    try:
        raw = load(path)
    except DataError as error:
        assert " may be " in str(error) or " one decimal sign" in str(error)
        return
    for column, name in zip(columns, raw.frame.columns[1:], strict=True):
        found, _ = parse(cells(raw, name))
        expected = [float("nan") if n is None else n for n in (*column, *[None] * len(texts))][: len(texts)]
        # What is no number stands in no other's place: it ends in a sentence, later.
        assert [e for e, f in zip(expected, found, strict=True) if f != e and f == f] == []

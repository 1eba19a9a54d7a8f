"""A file of JSON lines that grows: its objects as they are appended, each once and none half-written."""

import io
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files.loading import Only, needed_of
from fedmetaalign.fleet.files.names import checked_names
from fedmetaalign.fleet.files.raw import Raw
from fedmetaalign.fleet.files.text import LONGEST_LINE
from fedmetaalign.fleet.files.typed import readable


def objects(path: Path, pieces: Iterator[bytes], only: Only) -> Iterator[Raw | DataError]:
    """Yields the objects that stand in bytes as they come; the columns are the keys of those that come first.

    Args:
        path: what a person knows the file by.
        pieces: its bytes.
        only: as in `load`.

    Yields:
        Some rows, or what is wrong with a line that is left out.

    Raises:
        DataError: a line is too long, or the first objects have not all columns that are needed.
    """
    waiting, number, needed = b"", 0, list[str]()
    for piece in pieces:
        waiting += piece
        if b"\n" not in piece and len(waiting) > LONGEST_LINE:
            raise DataError(f"{path}, line {number + 1} is longer than {LONGEST_LINE // 2**20} MiB")
        whole, end, waiting = waiting.rpartition(b"\n")
        lines = [(i, line) for i, line in enumerate(whole.split(b"\n"), number + 1) if line.strip()]
        number += whole.count(b"\n") + len(end)
        read = [(i, line, _keys(line)) for i, line in lines]
        if not needed and (keys := [name for _, _, each in read for name in each or ()]):
            names = checked_names(list(dict.fromkeys(keys)), str(path))
            needed = needed_of(path, names, only)
        for good, some in groupby(read, key=lambda each: each[2] is not None):
            if good:
                yield _rows(path, [(i, line) for i, line, _ in some], needed)
            else:
                yield from (DataError(f"{path}, line {i} is no JSON object") for i, _, _ in some)


def _keys(line: bytes) -> list[str] | None:
    """The keys of an object, or None of what is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return [*found] if isinstance(found, dict) and found else None


def _rows(path: Path, lines: list[tuple[int, bytes]], needed: list[str]) -> Raw:
    text = io.BytesIO(b"\n".join(line for _, line in lines))
    with readable(path, "JSON"):
        frame = pl.read_ndjson(text, schema=dict.fromkeys(needed, pl.String))
    return Raw(path, frame, dialect="JSON lines", rows=np.array([i - 1 for i, _ in lines]))

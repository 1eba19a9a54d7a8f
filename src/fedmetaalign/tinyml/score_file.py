"""A file of scores, written as they come, that is there whole or not at all."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from fedmetaalign.system.writing import replacing
from fedmetaalign.tinyml import predictions

Write = Callable[[Mapping[str, Any], int], None]
"""Takes what `predictions.of` says of some samples, and the number of the first of them."""

Written = Callable[..., bytes]
"""Makes a file of that, as `predictions.written` does."""


@contextmanager
def score_file(out: Path | None, kind: str, written: Written = predictions.written) -> Iterator[Write]:
    """Opens a file for what is said of samples, or standard output.

    Args:
        out: the file, which takes its place when the context ends well; None for standard output.
        kind: "csv", "jsonl" or "parquet".
        written: makes bytes of what is said.
    """
    with _opened(out) as stream:
        if kind == "parquet":
            with _parquet(stream, written) as write:
                yield write
        else:

            def write(found: Mapping[str, Any], first: int) -> None:
                stream.write(written(found, kind, first, header=first == 1))

            yield write
        stream.flush()


def _opened(out: Path | None) -> AbstractContextManager[BinaryIO]:
    if out is None:
        return nullcontext(sys.stdout.buffer)
    if out.exists() and not out.is_file():  # such as /dev/null, whose place no file may take
        return out.open("wb")
    return replacing(out)


@contextmanager
def _parquet(stream: BinaryIO, written: Written) -> Iterator[Write]:
    """A Parquet file, which can only be written as one: until then its pieces are files."""
    import polars as pl

    with TemporaryDirectory(prefix="fedmetaalign-") as folder:
        parts: list[Path] = []

        def write(found: Mapping[str, Any], first: int) -> None:
            parts.append(Path(folder, f"{len(parts)}.parquet"))
            parts[-1].write_bytes(written(found, "parquet", first, header=True))

        yield write
        whole = parts[0] if len(parts) == 1 else Path(folder, "whole.parquet")
        if len(parts) != 1:
            pl.scan_parquet(parts).sink_parquet(whole)
        with whole.open("rb") as file:
            shutil.copyfileobj(file, stream)

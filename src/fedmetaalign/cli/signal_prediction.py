"""Scores windows of a signal: a decision for each, with the row and the time of its last sample."""

import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmetaalign.cli.scores import gathered, say, writing
from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import DataError

if TYPE_CHECKING:
    from fedmetaalign.fleet.files import Options
    from fedmetaalign.fleet.windows.applied import Part
    from fedmetaalign.tinyml.bundle import Bundle
    from fedmetaalign.tinyml.runtimes import Runtime


def of_signal(
    content: "Bundle",
    table: Path,
    out: Path | None,
    runtime: "Runtime | None",
    kind: str,
    options: "Options",
    by: tuple[str, ...],
    clock: str | None,
    points: tuple[str, ...],
    as_json: bool,
) -> None:
    """Scores the windows of a table's recordings, each as if the device had been switched on before it.

    Raises:
        FedMetaAlignError: the table cannot be used, or what is said of it cannot be written.
    """
    import numpy as np

    from fedmetaalign.fleet import files
    from fedmetaalign.fleet.missing.gaps import without
    from fedmetaalign.fleet.times.stamps import Clock
    from fedmetaalign.fleet.windows.applied import Applied
    from fedmetaalign.tinyml import predictions

    signal, missing = content.preparation.signal, content.preparation.missing
    assert signal is not None  # noqa: S101 - the caller saw to it
    applied = Applied(signal, missing, table, options, by, Clock((clock,)) if clock else None, points)
    for note in applied.plan.notes:
        say(note)
    scored, found = predictions.Stream(content, runtime), dict[str, Any]()
    rows: list[np.ndarray] = []
    with closing(iter(applied)) as parts:
        first = next(parts)  # what is wrong with the table is no reason to open a file
        if applied.dialect not in files.CERTAIN:
            say(f"{applied.path.name}: {applied.dialect}.")
        with nullcontext(None) if as_json and out is None else writing(out, kind, _written) as write:
            for part in chain([first], parts):
                if part.begins:
                    scored.restart()
                told, where = scored.told(part.x), _where(part)
                rows.append(part.rows)
                if as_json:
                    gathered(found, {**{f"{key}s": values for key, values in where.items()}, **told})
                if write is not None:
                    write({**where, **told}, scored.rows - len(part.x) + 1)
    if applied.lacking:
        say(f"Missing values: {without(applied.lacking)}.")
    if scored.outside:
        say(
            f"{scored.outside} of {scored.rows} windows lie outside the range that the model was calibrated on:"
            " check their units and columns."
        )
    every = np.concatenate(rows)
    drift = {name: int(every[number - 1]) for name, number in scored.drift.items()}
    if drift:
        say(predictions.drift_sentence(drift))
    if as_json:
        more = {} if content.reference is None else {"drift": drift}
        print_json({"device": content.device, "threshold": content.threshold, **found, **more})


def _where(part: "Part") -> dict[str, list[Any]]:
    """What says where windows are, as columns."""
    from fedmetaalign.fleet.times.clock import stamp

    where: dict[str, list[Any]] = {"row": part.rows.tolist()}
    if part.recording is not None:
        where["recording"] = [part.recording] * len(part.rows)
    if (times := part.times) is not None:
        where["time"] = [stamp(time, times.dated) for time in times.values.tolist()]
    return where


def _written(found: Mapping[str, Any], kind: str, first: int, *, header: bool) -> bytes:
    """Returns what is said of some windows as a file, with where they are."""
    from fedmetaalign.tinyml import predictions

    where = {key: found[key] for key in ("row", "recording", "time") if key in found}
    told = predictions.columns({key: values for key, values in found.items() if key not in where}, first)
    return _file(
        {**where, **{key: values for key, values in told.items() if key != "row"}}, kind, header=header
    )


def follow_signal(
    content: "Bundle", table: Path, out: Path | None, runtime: "Runtime | None", kind: str, options: "Options"
) -> None:
    """Takes samples as they come, and decides each stride; one that cannot be read counts as a broken one."""
    import numpy as np

    from fedmetaalign.fleet.columns.units import bare, carrying
    from fedmetaalign.fleet.files.following import follow
    from fedmetaalign.fleet.windows.applied import Ring, samples_of_raw
    from fedmetaalign.system.writing import writing_to
    from fedmetaalign.tinyml import predictions

    signal, missing = content.preparation.signal, content.preparation.missing
    assert signal is not None  # noqa: S101 - the caller saw to it

    def needed(names: Sequence[str]) -> Sequence[str]:
        found = carrying(names, signal.columns.__contains__)
        return found if {*signal.columns} <= {*bare(found)} else names  # to say what is missing

    ring, scored, header = Ring(signal), predictions.Stream(content, runtime), True
    try:
        with (
            writing_to(out or Path("standard output"), "call again"),
            nullcontext(sys.stdout.buffer) if out is None else out.open("wb") as stream,
        ):
            for piece in follow(table, needed, options):
                lost = np.full((1, len(signal.columns)), np.nan)
                try:
                    if isinstance(piece, DataError):
                        raise piece
                    x, _ = samples_of_raw(signal, missing, piece)
                except DataError as error:
                    say(str(error))
                    x = lost if isinstance(piece, DataError) else lost.repeat(piece.frame.height, axis=0)
                features, rows = ring.push(x)
                if len(rows):
                    told = predictions.columns(scored.told(features))
                    stream.write(_file({**told, "row": rows.tolist()}, kind, header=header))
                    header = False
                    stream.flush()
    except KeyboardInterrupt:
        return


def _file(columns: Mapping[str, Any], kind: str, *, header: bool = True) -> bytes:
    """Returns columns as a file: "csv" (with a header or without), "jsonl" or "parquet"."""
    import polars as pl

    texts = ("alarm", "kind", "recording", "time")
    types = {
        name: pl.String if name in texts else pl.Float64 for name in columns if name != "row"
    }  # of some rows nothing may be known
    frame, file = pl.DataFrame(dict(columns), schema_overrides=types), io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(file)
    elif kind == "jsonl":
        frame.write_ndjson(file)
    else:
        frame.write_csv(file, include_header=header)
    return file.getvalue()

"""Scores windows of a signal: a decision for each, with the row and the time of its last sample."""

import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import DataError, FedMetaAlignError

if TYPE_CHECKING:
    from fedmetaalign.fleet.files import Options
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
    from fedmetaalign.fleet.missing.gaps import added, without
    from fedmetaalign.fleet.times.clock import stamp
    from fedmetaalign.fleet.times.stamps import Clock
    from fedmetaalign.fleet.windows.applied import applied
    from fedmetaalign.tinyml import predictions

    signal, missing = content.preparation.signal, content.preparation.missing
    assert signal is not None  # noqa: S101 - the caller saw to it
    raw = files.load(table, options=options)
    if raw.dialect not in files.CERTAIN:
        _say(f"{raw.path.name}: {raw.dialect}.")
    found = applied(signal, missing, raw, by, Clock((clock,)) if clock else None, points)
    for note in found.notes:
        _say(note)
    names = signal.columns if found.gaps.codes.shape[1] == len(signal.columns) else ()
    if names and (lacking := without(added({}, found.gaps.counts(names)))):
        _say(f"Missing values: {lacking}.")
    scores = np.concatenate([content.scores(part, runtime) for part in np.split(found.x, found.starts[1:])])
    told, drift = predictions.of(content, found.x, scores), {}
    if content.reference is not None:
        drift = predictions.drifted(content, content.drift(found.x, scores))
        drift = {name: int(found.rows[number - 1]) for name, number in drift.items()}
    if outside := content.outside(found.x):
        _say(
            f"{outside} of {len(found.x)} windows lie outside the range that the model was calibrated on: check"
            " their units and columns."
        )
    if drift:
        _say(predictions.drift_sentence(drift))
    where: dict[str, list[Any]] = {"row": found.rows.tolist()}
    if found.recordings is not None:
        where["recording"] = found.recordings.tolist()
    if found.times is not None:
        where["time"] = [stamp(time, found.times.dated) for time in found.times.values.tolist()]
    if as_json:
        more = {} if content.reference is None else {"drift": drift}
        plural = {f"{key}s": values for key, values in where.items()}
        print_json({"device": content.device, "threshold": content.threshold, **plural, **told, **more})
    if out is not None or not as_json:
        _write(
            _file({**where, **{k: v for k, v in predictions.columns(told).items() if k != "row"}}, kind), out
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
                    x = samples_of_raw(signal, missing, piece)
                except DataError as error:
                    _say(str(error))
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

    texts = {name: pl.String for name in ("alarm", "kind", "recording", "time") if name in columns}
    frame, file = pl.DataFrame(dict(columns), schema_overrides=texts), io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(file)
    elif kind == "jsonl":
        frame.write_ndjson(file)
    else:
        frame.write_csv(file, include_header=header)
    return file.getvalue()


def _write(data: bytes, out: Path | None) -> None:
    from fedmetaalign.system.writing import replace

    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        replace(out, data)
    except OSError as error:
        raise FedMetaAlignError(f"Cannot write {out}: {error.strerror}; choose another --out.") from None


def _say(sentence: str) -> None:
    sys.stderr.write(f"fedmetaalign: {sentence}{'' if sentence.endswith('.') else '.'}\n")

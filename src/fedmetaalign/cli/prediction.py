"""The command that scores samples: whole tables in any dialect, or one that grows."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedmetaalign.cli.options import CsvOptions, Json, csv_options
from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import DataError, FedMetaAlignError

if TYPE_CHECKING:
    import numpy as np

    from fedmetaalign.drift import Followed
    from fedmetaalign.fleet.files import Raw
    from fedmetaalign.tinyml.bundle import Bundle

Runtime = Literal["firmware", "c", "litert", "litert-reference", "litert-xnnpack", "tflm"]
Format = Literal["csv", "parquet", "jsonl"]


def predict(
    bundle: Annotated[Path, typer.Argument(help="A device's bundle folder.")],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Samples with the bundle's features as columns; - is standard input."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write.", show_default="standard output")] = None,
    runtime: Annotated[
        Runtime | None, typer.Option(help="Whose arithmetic.", show_default="the bundle's")
    ] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="What to write.", show_default="as --out ends, else csv")
    ] = None,
    csv: CsvOptions = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Goes on with the rows that are appended, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Scores samples with a bundle: normal, fault (of several kinds the likeliest), or sensor fault."""
    from fedmetaalign.fleet import files
    from fedmetaalign.tinyml import predictions
    from fedmetaalign.tinyml.bundle import read

    kind = kind or _kind(out)
    if follow and (as_json or kind == "parquet"):
        raise typer.BadParameter("writes CSV or JSON lines, row by row", param_hint="--follow")
    content = read(bundle)
    if content.constant:
        _say(
            f"{bundle} says {content.constant} of every sample that it was tried with, whatever the values: its"
            " answers mean nothing."
        )
    options = csv_options(csv)
    if follow:
        _follow(content, table, out, runtime, kind, options)
        return
    raw = files.load(table, _needed(content), options=options)
    if raw.dialect not in files.CERTAIN:
        _say(f"{raw.path.name}: {raw.dialect}.")
    x, lacking = _samples(content, raw)
    if lacking:
        _say(f"Missing values: {lacking}.")
    scores = content.scores(x, runtime)
    found, drift = predictions.of(content, x, scores), predictions.drifted(content, content.drift(x, scores))
    if outside := content.outside(x):
        _say(
            f"{outside} of {len(x)} samples lie outside the range that the model was calibrated on: check their"
            " units and columns."
        )
    if drift:
        _say(predictions.drift_sentence(drift))
    if as_json:
        told = {} if content.reference is None else {"drift": drift}
        print_json({"device": content.device, "threshold": content.threshold, **found, **told})
    if out is not None or not as_json:
        _write(predictions.written(found, kind), out)


def _follow(
    content: "Bundle", table: Path, out: Path | None, runtime: Runtime | None, kind: Format, options: Any
) -> None:
    """Scores rows as they come; says of those that cannot be why, and goes on."""
    from contextlib import nullcontext

    from fedmetaalign.fleet.files.following import follow
    from fedmetaalign.system.writing import writing_to
    from fedmetaalign.tinyml import predictions

    row, header, scored = 1, True, predictions.Stream(content, runtime)
    followed: Followed | None = None
    try:
        with (
            writing_to(out or Path("standard output"), "call again"),
            nullcontext(sys.stdout.buffer) if out is None else out.open("wb") as stream,
        ):
            for piece in follow(table, _needed(content), options):
                if isinstance(piece, DataError):
                    _say(str(piece))
                    row += 1
                    continue
                for part, x in _scorable(content, piece):
                    if x is not None:
                        scores = scored.scores(x)
                        found, followed = predictions.of(content, x, scores), content.drift(x, scores, followed)
                        if drift := predictions.drifted(content, followed, row):
                            _say(predictions.drift_sentence(drift))
                        stream.write(predictions.written(found, kind, row, header=header))
                        header = False
                    row += part
                stream.flush()
    except KeyboardInterrupt:
        return


def _scorable(content: "Bundle", raw: "Raw") -> "Iterator[tuple[int, np.ndarray | None]]":
    """The samples of some rows: all at once, or one by one where one cannot be used, of which it says why."""
    import numpy as np

    rows = raw.frame.height
    try:
        yield rows, _samples(content, raw)[0]
        return
    except DataError as error:
        if rows == 1:
            _say(f"{error}; it is left out")
            yield 1, None
            return
    for row in range(rows):
        yield from _scorable(content, raw.take(np.array([row])))


def _needed(content: "Bundle") -> "Callable[[Sequence[str]], Sequence[str]]":
    """Tells the columns of a table that a bundle needs."""
    from fedmetaalign.fleet.columns.units import bare, carrying

    features = content.preparation.measured

    def needed(names: "Sequence[str]") -> "Sequence[str]":
        found = carrying(names, features.__contains__)
        return found if {*features} <= {*bare(found)} else names  # to say what is missing

    return needed


def _samples(content: "Bundle", raw: "Raw") -> "tuple[np.ndarray, str]":
    """The samples, (rows, measured), and which of their values are missing, in words."""
    from fedmetaalign.fleet.columns.units import in_units
    from fedmetaalign.fleet.missing.gaps import without
    from fedmetaalign.fleet.missing.values import readings_of

    preparation = content.preparation
    measured = preparation.measured
    named = in_units(raw, measured, preparation.units[: len(measured)])
    x, gaps = readings_of(named, measured, preparation.categories, preparation.missing)
    return x, without(gaps, measured)


def _kind(out: Path | None) -> Format:
    match out.suffix.lower() if out else "":
        case ".parquet":
            return "parquet"
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case _:
            return "csv"


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

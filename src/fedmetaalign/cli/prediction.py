"""The command that scores samples: whole tables in any dialect, or one that grows."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedmetaalign.cli.options import CsvOptions, Json, csv_options
from fedmetaalign.cli.scores import gathered, say, writing
from fedmetaalign.cli.terminal import print_json
from fedmetaalign.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from fedmetaalign.fleet.files import Raw
    from fedmetaalign.tinyml.bundle import Bundle

Runtime = Literal["firmware", "c", "litert", "litert-reference", "litert-xnnpack", "tflm"]
Format = Literal["csv", "parquet", "jsonl"]

_NEVER = -(2**63)  # no time of a row


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
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Of a signal: names the recording, which no window crosses. Repeat for several columns.",
        ),
    ] = None,
    clock: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="Of a signal: the time of each sample.")
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Of a signal: each row is a window, whose points are the columns like t*. One a channel.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Scores samples with a bundle: normal, fault (of several kinds the likeliest), or sensor fault."""
    from fedmetaalign.tinyml import predictions
    from fedmetaalign.tinyml.bundle import read

    kind = kind or _kind(out)
    if follow and (as_json or kind == "parquet"):
        raise typer.BadParameter("writes CSV or JSON lines, row by row", param_hint="--follow")
    content = read(bundle)
    if content.constant:
        say(
            f"{bundle} says {content.constant} of every sample that it was tried with, whatever the values: its"
            " answers mean nothing."
        )
    options = csv_options(csv, content.table.csv)
    if content.preparation.signal is not None:
        from fedmetaalign.cli.signal_prediction import follow_signal, of_signal

        if follow:
            if by or clock or points:
                raise typer.BadParameter("takes sample after sample", param_hint="--follow")
            follow_signal(content, table, out, runtime, kind, options)
            return
        of_signal(
            content, table, out, runtime, kind, options, tuple(by or ()), clock, tuple(points or ()), as_json
        )
        return
    if by or clock or points:
        raise typer.BadParameter("the bundle is none of a signal", param_hint="--by, --time, --points")
    if follow:
        _follow(content, table, out, runtime, kind, options)
        return
    scored, found = predictions.Stream(content, runtime), dict[str, Any]()
    with closing(_pieces(content, table, options)) as pieces:
        first = next(pieces)  # what is wrong with the table is no reason to open a file
        with nullcontext(None) if as_json and out is None else writing(out, kind) as write:
            for x in chain([first], pieces):
                told = scored.told(x)
                if as_json:
                    gathered(found, told)
                if write is not None:
                    write(told, scored.rows - len(x) + 1)
    if scored.outside:
        say(
            f"{scored.outside} of {scored.rows} samples lie outside the range that the model was calibrated on:"
            " check their units and columns."
        )
    if scored.drift:
        say(predictions.drift_sentence(scored.drift))
    if as_json:
        drift = {} if content.reference is None else {"drift": scored.drift}
        print_json({"device": content.device, "threshold": content.threshold, **found, **drift})


def _pieces(content: "Bundle", table: Path, options: Any) -> "Generator[np.ndarray, None, None]":
    """Yields a table's samples, (rows, measured), piece by piece; says how it is written and what it lacks."""
    from fedmetaalign.fleet import files
    from fedmetaalign.fleet.missing.gaps import added, without

    lacking: dict[str, Counter[str]] = {}
    latest = None if content.reference else _NEVER
    with closing(files.pieces(table, _needed(content), content.table.time, options)) as pieces:
        for i, raw in enumerate(pieces):
            if i == 0 and raw.dialect not in files.CERTAIN:
                say(f"{raw.path.name}: {raw.dialect}.")
            if latest != _NEVER and (latest := _latest(content, raw, latest)) == _NEVER:
                times = files.listed(content.table.time)
                say(f"Rows are not in order of {times}, and drift is followed as they come.")
            x, gaps = _samples(content, raw)
            lacking = added(lacking, gaps)
            yield x
    if lacking:
        say(f"Missing values: {without(lacking)}.")


def _follow(
    content: "Bundle", table: Path, out: Path | None, runtime: Runtime | None, kind: Format, options: Any
) -> None:
    """Scores rows as they come; says of those that cannot be why, and goes on."""
    from fedmetaalign.fleet.files.following import follow
    from fedmetaalign.system.writing import writing_to
    from fedmetaalign.tinyml import predictions

    header, scored = True, predictions.Stream(content, runtime)
    try:
        with (
            writing_to(out or Path("standard output"), "call again"),
            nullcontext(sys.stdout.buffer) if out is None else out.open("wb") as stream,
        ):
            for piece in follow(table, _needed(content), options):
                if isinstance(piece, DataError):
                    say(str(piece))
                    scored.rows += 1
                    continue
                for part, x in _scorable(content, piece):
                    if x is None:
                        scored.rows += part
                        continue
                    first, known = scored.rows + 1, {*scored.drift}
                    said = scored.told(x)
                    if drift := {name: row for name, row in scored.drift.items() if name not in known}:
                        say(predictions.drift_sentence(drift))
                    stream.write(predictions.written(said, kind, first, header=header))
                    header = False
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
            say(f"{error}; it is left out")
            yield 1, None
            return
    for row in range(rows):
        yield from _scorable(content, raw.take(np.array([row])))


def _needed(content: "Bundle") -> "Callable[[Sequence[str]], Sequence[str]]":
    """Tells the columns of a table that a bundle needs."""
    from fedmetaalign.fleet.columns.units import bare, carrying

    preparation = content.preparation
    features, units = preparation.measured, preparation.units

    def needed(names: "Sequence[str]") -> "Sequence[str]":
        found = carrying(names, features.__contains__, units)
        if not {*features} <= {*bare(found, units)}:
            return names  # to say what is missing
        times = content.table.time if content.reference else ()
        return [*found, *(name for name in times if name in names and name not in found)]

    return needed


def _latest(content: "Bundle", raw: "Raw", before: int | None) -> int | None:
    """The time of the last of some rows, `_NEVER` where one is earlier than the one before it."""
    import numpy as np

    from fedmetaalign.fleet.times.clock import times_of
    from fedmetaalign.fleet.times.stamps import Clock

    own = content.table
    if not own.time or not {*own.time} <= {*raw.frame.columns} or raw.frame.is_empty():
        return before
    try:
        times = times_of(raw, Clock(own.time, own.time_format, own.zone)).values
    except DataError:  # scores need no time
        return before
    if (np.diff(times) < 0).any() or (before is not None and times[0] < before):
        return _NEVER
    return int(times[-1])


def _samples(content: "Bundle", raw: "Raw") -> "tuple[np.ndarray, Mapping[str, Mapping[str, int]]]":
    """The samples, (rows, measured), and how many of their values are missing, by feature and reason."""
    from fedmetaalign.fleet.columns.units import in_units
    from fedmetaalign.fleet.missing.values import readings_of

    preparation = content.preparation
    measured = preparation.measured
    named = in_units(raw, measured, preparation.units[: len(measured)])
    x, gaps = readings_of(named, measured, preparation.categories, preparation.missing)
    return x, gaps.counts(measured)


def _kind(out: Path | None) -> Format:
    match out.suffix.lower() if out else "":
        case ".parquet":
            return "parquet"
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case _:
            return "csv"

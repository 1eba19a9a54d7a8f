"""What the command line prints about models and their firmware."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from fedmetaalign.cli.terminal import print_table
from fedmetaalign.proof.footprint import Footprint
from fedmetaalign.proof.replay import Cost
from fedmetaalign.proof.verify import Row

_NOTES = """\
Each runtime is held against the integer model in its own rounding; "unlike firmware" is the share of samples
that its rounding gives another score than the firmware's. Instructions are of one inference, of one window of a
signal with its features, or of one step of learning, in what Zig compiles; RAM is without the stack.
"""

_FOOTPRINT_NOTES = """\
LiteRT: the median of one inference on this machine, with XNNPACK, in one thread; speed-up: the share of the
float32 model's time that is saved. Cortex-M4: the firmware at 64 MHz, by an estimate of its cycles; of a model
that takes windows of a signal with all that makes features of one. Flash: code and
constants of the firmware. RAM: with the window, and the stack.
"""


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Gives a function that says on standard error what is being done; silent where that is no terminal."""
    if sys.stderr.isatty():
        with Console(stderr=True, markup=False).status("reading the bundle") as status:
            yield status.update
    else:
        yield lambda name: None


def verification_table(title: str, rows: Iterable[Row]) -> None:
    """Prints what `verify` found, a line a runtime or core."""
    columns = (
        *("", "rounding", "samples", "bit\nfor bit", "deci-\nsions", "unlike\nfirmware"),
        *("instruc-\ntions", "code\nbytes", "constant\nbytes", "RAM\nbytes", "stack\nbytes", ""),
    )
    lines = [(row.name, *_verified(row)) for row in rows]
    print_table(title, columns, lines, left=("rounding", ""))
    sys.stdout.write(f"\n{_NOTES}")


def footprint_table(title: str, measured: Iterable[Footprint]) -> None:
    """Prints what `footprint` measured, a line a device and format."""
    columns = (
        *("", "format", "", "bytes", "LiteRT,\nus", "speed-\nup, %"),
        *("instruc-\ntions", "Cortex-M4,\nms", "flash,\nbytes", "RAM,\nbytes"),
    )
    rows = list(measured)
    print_table(title, columns, [(row.device, *_measured(row)) for row in rows], left=("format", ""))
    sys.stdout.write(f"\n{_FOOTPRINT_NOTES}")
    if any(row.instructions is None for row in rows):
        sys.stdout.write("Nothing ran on a Cortex-M4: install fedmetaalign[firmware].\n")


def _measured(row: Footprint) -> Sequence[str]:
    return [
        row.format,
        "deployed" if row.deployed else "",
        f"{row.bytes:,}",
        f"{row.microseconds:.1f}",
        "" if row.speedup is None else f"{100 * row.speedup:.0f}",
        "" if row.instructions is None else f"{row.instructions:,}",
        "" if row.milliseconds is None else f"{row.milliseconds:.2f}",
        "" if row.flash is None else f"{row.flash:,}",
        "" if row.ram is None else f"{row.ram:,}",
    ]


def _verified(row: Row) -> Sequence[str]:
    if not row.samples:
        return ["", "", "", "", "", "", "", "", "", "", row.note]
    note = row.note
    if row.ulp is not None:
        note = f"scores within {row.ulp} x 2**-24"
    return [
        row.rounding or "float32",
        str(row.samples),
        str(row.agreeing),
        str(row.deciding),
        "" if row.differing is None else f"{100 * row.differing:.1f} %",
        *_costs(row.cost),
        f"WRONG {note}".strip() if row.wrong else note,
    ]


def _costs(cost: Cost | None) -> list[str]:
    if cost is None:
        return [""] * 5
    numbers = (cost.instructions, cost.code, cost.constants, cost.ram, cost.stack)
    return [f"{number:,}" for number in numbers]

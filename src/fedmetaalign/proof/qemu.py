"""Runs a firmware image on the boards that QEMU emulates, as a second opinion beside `emulator`.

The image starts from the vector table like on a real board, and prints and ends through semihosting, so that
no board's peripherals are needed (firmware/startup.c).
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fedmetaalign.errors import ToolError
from fedmetaalign.tinyml.toolchain import CORES, Core, Memory


@dataclass(frozen=True)
class Board:
    """A board that `qemu-system-arm` emulates.

    Attributes:
        machine: QEMU's name.
        core: the board's core.
        memory: where an image has to lie; on cores with TrustZone the secure aliases, in which they start.
    """

    machine: str
    core: Core
    memory: Memory


_MPS2 = Memory(0, 4 << 20, 0x2000_0000, 4 << 20)
_STACK = 3 << 10  # for a program that checks a raw window

BOARDS = {
    board.machine: board
    for board in (
        Board("microbit", CORES["cortex-m0"], Memory(0, 256 << 10, 0x2000_0000, 16 << 10, _STACK)),
        Board("mps2-an385", CORES["cortex-m3"], _MPS2),
        Board("mps2-an386", CORES["cortex-m4"], _MPS2),
        Board("mps2-an500", CORES["cortex-m7"], _MPS2),
        Board("mps2-an505", CORES["cortex-m33"], Memory(0x1000_0000, 4 << 20, 0x3800_0000, 4 << 20)),
        Board("mps3-an547", CORES["cortex-m55"], Memory(0x1000_0000, 512 << 10, 0x3000_0000, 512 << 10)),
    )
}
"""The boards whose cores the firmware is verified on."""


_FAULT = "The processor took a fault."  # of startup.c


@dataclass(frozen=True)
class Run:
    """What a program came to: its exit status, and what it printed."""

    status: int
    output: str


def run(image: Path, board: Board, timeout: float = 60.0) -> Run:
    """Runs a program to its end.

    Args:
        image: an ELF file with firmware/startup.c, compiled for the board's core and memory.
        board: the board.
        timeout: seconds of this machine's time.

    Raises:
        ToolError: QEMU is not installed or does not know the board, or the program crashes or does not end.
    """
    program = shutil.which("qemu-system-arm")
    if program is None:
        raise ToolError("The emulator QEMU is not installed; on Debian it is in the package qemu-system-arm.")
    command = [program, "-machine", board.machine, "-nodefaults", "-nographic", "-kernel", str(image)]
    command += ["-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        name = f"QEMU's {board.machine}"
        raise ToolError(f"The firmware did not end within {timeout:g} seconds on {name}.") from error
    failures = [line for line in done.stderr.splitlines() if "warning:" not in line]
    if failures:
        raise ToolError(f"QEMU's {board.machine} failed: {failures[0].strip(' .')}.")
    if _FAULT in done.stdout:
        raise ToolError(f"The firmware crashed on QEMU's {board.machine}: {_FAULT}")
    return Run(done.returncode, done.stdout)

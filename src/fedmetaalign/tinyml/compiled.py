"""Compiled firmware, called alike on this machine and on emulated Cortex-M cores."""

import ctypes
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from fedmetaalign.tinyml.emulator import Call, Emulator
from fedmetaalign.tinyml.toolchain import Compiler, Core, compile_firmware, compile_library


class Machine(Protocol):
    """What `emulator.Emulator` and `Host` have in common."""

    def allocate(self, size: int) -> int:
        """Returns the address of `size` fresh bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Writes bytes to memory."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Reads bytes from memory."""
        ...

    def call(self, function: str, *arguments: int, count: bool = True) -> Call:
        """Calls a function with integers and addresses."""
        ...


class Host:
    """This machine, with a library loaded."""

    def __init__(self, library: Path) -> None:
        """Loads a library of `toolchain.compile_library`."""
        self.library = ctypes.CDLL(str(library))
        self._buffers: list[ctypes.Array[ctypes.c_char]] = []

    def allocate(self, size: int) -> int:
        """Returns the address of `size` fresh bytes, which live as long as this object."""
        self._buffers.append(ctypes.create_string_buffer(size))
        return ctypes.addressof(self._buffers[-1])

    def write(self, address: int, data: bytes) -> None:
        """Writes bytes to memory."""
        ctypes.memmove(address, data, len(data))

    def read(self, address: int, size: int) -> bytes:
        """Reads bytes from memory."""
        return ctypes.string_at(address, size)

    def call(self, function: str, *arguments: int, count: bool = True) -> Call:
        """Calls a function that takes up to four integers and addresses; nothing is counted.

        Args:
            function: its name.
            arguments: each takes a register, as wide as an address.
            count: without effect.

        Returns:
            The result of a function that returns an int, and zeros.
        """
        result = getattr(self.library, function)(*map(ctypes.c_ssize_t, arguments))
        return Call(result, 0.0, 0, 0, 0)


def installed(*modules: str) -> bool:
    """Tells whether parts of the extra `firmware` are there."""
    return all(importlib.util.find_spec(module) for module in modules)


def host(sources: Sequence[Path], include: Sequence[Path], compiler: Compiler) -> Host:
    """Compiles firmware for this machine.

    Args:
        sources: C files.
        include: folders of headers.
        compiler: whose code to run.

    Raises:
        ToolError: the compiler is missing, or refuses the firmware.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps a library that is loaded
        return Host(compile_library(sources, Path(folder, "fma.so"), include=include, compiler=compiler))


def machine(
    sources: Sequence[Path], include: Sequence[Path], where: Core | Compiler, functions: Sequence[str]
) -> Machine:
    """Compiles firmware, and returns where it runs.

    Args:
        sources: C files.
        include: folders of headers.
        where: an emulated core, or a compiler for this machine.
        functions: what is to be called; on a core the rest is left out.

    Raises:
        ToolError: the compiler or the emulator is missing, or refuses the firmware.
    """
    if isinstance(where, Core):
        return Emulator(elf(sources, include, where, functions), where)
    return host(sources, include, where)


def elf(sources: Sequence[Path], include: Sequence[Path], core: Core, functions: Sequence[str]) -> bytes:
    """Compiles firmware for a Cortex-M core.

    Args:
        sources: C files.
        include: folders of headers.
        core: the core.
        functions: what is to be called; the rest is left out.

    Raises:
        ToolError: the compiler is missing, or refuses the firmware.
    """
    entry, *others = functions
    with TemporaryDirectory() as folder:
        out = Path(folder, "fma.elf")
        return compile_firmware(sources, core, out, entry, keep=others, include=include).read_bytes()

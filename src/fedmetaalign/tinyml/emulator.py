"""Calls functions of a compiled firmware on an emulated core, and counts what they cost.

The emulator is unicorn (QEMU's translator as a library). It executes instructions exactly, but is no board:
it has no peripherals, no interrupts and no clock, so cycles are an estimate (see `thumb`; none for RISC-V).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from fedmetaalign.errors import ToolError
from fedmetaalign.tinyml.elf import addresses, segments
from fedmetaalign.tinyml.processors import Processor
from fedmetaalign.tinyml.thumb import CodeCost
from fedmetaalign.tinyml.toolchain import EMULATED, Core

_STACK = 0x3000_0000  # the lowest address; nothing is below it, so an overflow is an error
_STACK_SIZE = 1 << 14
_STACK_TOP = _STACK + _STACK_SIZE
_RETURN = 0x0FFF_F000  # where calls return to
_PAGE = 1 << 12
_PAINT = 0xA5


@dataclass(frozen=True)
class Call:
    """What a call returned and cost.

    Attributes:
        result: of a function that returns an integer or an address, unsigned.
        real: of a function that returns a float.
        instructions: executed; 0 where they were not counted.
        cycles: an estimate for a Cortex-M4, whatever the Arm core; 0 where they were not counted.
        stack: bytes of stack used.
    """

    result: int
    real: float
    instructions: int
    cycles: int
    stack: int


class Emulator:
    """A core with an ELF file loaded, whose functions can be called.

    Memory keeps its contents from call to call, as on a device that is not reset.
    """

    def __init__(self, elf: bytes, core: Core) -> None:
        """Loads a file.

        Args:
            elf: a file of `toolchain.compile_firmware` for `toolchain.EMULATED`.
            core: the core that it was compiled for.

        Raises:
            ToolError: unicorn or pyelftools is not installed, or unicorn has no such core.
        """
        unicorn = _import_unicorn()
        if core.unicorn is None:
            raise ToolError(f"The emulator unicorn has no {core.name}; choose another core.")
        self._core = core
        self._failure = unicorn.UcError
        self._block_hook = unicorn.UC_HOOK_BLOCK
        self._symbols = addresses(elf)
        self._free = self.symbol("_bss_end")
        # With UC_MODE_MCLASS every core would be a Cortex-M33; the model alone makes it the one that it names.
        kind = self._kind = core.processor
        self._names = import_module(f"unicorn.{kind.unicorn.lower()}_const")
        names = (f"UC_ARCH_{kind.unicorn}", f"UC_MODE_{kind.mode}")
        self._uc = unicorn.Uc(*(getattr(unicorn, name) for name in names))
        self._uc.ctl_set_cpu_model(getattr(self._names, f"UC_CPU_{kind.models}{core.unicorn}"))
        readable, executable = unicorn.UC_PROT_READ, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        writable = readable | unicorn.UC_PROT_WRITE
        self._uc.mem_map(EMULATED.flash, EMULATED.flash_size, executable)
        self._uc.mem_map(EMULATED.ram, EMULATED.ram_size, writable)
        self._uc.mem_map(_STACK, _STACK_SIZE, writable)
        self._uc.mem_map(_RETURN, _PAGE, executable)
        self._uc.mem_write(_STACK, bytes([_PAINT]) * _STACK_SIZE)
        for address, data in segments(elf):
            self._uc.mem_write(address, data)
        self._meter = _Meter(self.read, kind)
        self._hook: int | None = None

    def symbol(self, name: str) -> int:
        """Returns a symbol's address; a function's is odd in Thumb code.

        Raises:
            ToolError: the file has no such symbol.
        """
        if name not in self._symbols:
            raise ToolError(f"The firmware has no symbol {name!r}; name it among those to keep when compiling.")
        return self._symbols[name]

    def allocate(self, size: int) -> int:
        """Returns the address of `size` fresh bytes of RAM, aligned to 8.

        Raises:
            ToolError: there is not so much RAM left.
        """
        address = -(-self._free // 8) * 8
        if address + size > EMULATED.ram + EMULATED.ram_size:
            raise ToolError(f"The emulator has no {size} bytes of RAM left; use what was allocated again.")
        self._free = address + size
        return address

    def write(self, address: int, data: bytes) -> None:
        """Writes bytes to memory."""
        self._uc.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Reads bytes from memory."""
        return bytes(self._uc.mem_read(address, size))

    def call(self, function: str | int, *arguments: int, count: bool = True) -> Call:
        """Calls a function as the processor's procedure call standard has it, and waits for its end.

        Args:
            function: a symbol, or an address.
            arguments: 32-bit integers, signed or not, and addresses.
            count: whether to count instructions and cycles, which takes about five times longer.

        Raises:
            ToolError: the firmware accesses memory that is not there, or executes an instruction that the core
                does not have.
        """
        address = self.symbol(function) if isinstance(function, str) else function
        words = [argument & 0xFFFF_FFFF for argument in arguments]
        kind = self._kind
        later = words[len(kind.registers) :]
        top = _STACK_TOP - -(-4 * len(later) // 16) * 16
        self._uc.mem_write(top, struct.pack(f"<{len(later)}I", *later))
        for name, word in zip(kind.registers, words, strict=False):
            self._uc.reg_write(self._register(name), word)
        self._uc.reg_write(self._register(kind.stack), top)
        self._uc.reg_write(self._register(kind.back), _RETURN | kind.code_bit)
        self._count(count)
        self._meter.start(address & ~kind.code_bit)
        try:
            self._uc.emu_start(address | kind.code_bit, _RETURN)
        except self._failure as error:
            place = f"{self._uc.reg_read(self._register(kind.counter)):#x} in {function}"
            raise ToolError(f"The emulated {self._core.name} stopped at {place}: {error}.") from error
        return self._outcome(top)

    def _register(self, name: str) -> int:
        return int(getattr(self._names, f"UC_{self._kind.unicorn}_REG_{name}"))

    def _count(self, wanted: bool) -> None:
        if wanted == (self._hook is not None):
            return
        if wanted:
            self._hook = self._uc.hook_add(self._block_hook, self._meter.block)
        else:
            self._uc.hook_del(self._hook)
            self._hook = None
        self._uc.ctl_flush_tb()  # translated code has the hooks of its time built in

    def _outcome(self, top: int) -> Call:
        result = self._uc.reg_read(self._register(self._kind.registers[0])) & 0xFFFF_FFFF
        bits = self._uc.reg_read(self._register(self._kind.real)) if self._core.has_fpu else result
        real = struct.unpack("<f", struct.pack("<I", bits))[0]
        counted = self._hook is not None
        instructions = self._meter.instructions if counted else 0
        return Call(result, real, instructions, self._meter.cycles if counted else 0, self._used(top))

    def _used(self, top: int) -> int:
        """Returns how many bytes of the stack are no longer painted, and paints them again."""
        touched = np.frombuffer(self.read(_STACK, top - _STACK), np.uint8) != _PAINT
        used = len(touched) - int(touched.argmax()) if touched.any() else 0
        self._uc.mem_write(_STACK_TOP - used, bytes([_PAINT]) * used)
        return used


class _Meter:
    """Adds up the cost of the basic blocks that an emulator reports.

    Attributes:
        instructions: executed since the start.
        cycles: as `thumb` estimates them.
    """

    def __init__(self, read: Callable[[int, int], bytes], processor: Processor) -> None:
        self._read = read
        self._processor = processor
        self._costs: dict[tuple[int, int], CodeCost] = {}
        self.start(0)

    def start(self, address: int) -> None:
        self._next = address
        self.instructions = 0
        self.cycles = self._processor.refill  # of the return

    def block(self, _uc: object, address: int, size: int, _data: object) -> None:
        cost = self._costs.get((address, size))
        if cost is None:
            cost = self._costs[address, size] = self._processor.cost(self._read(address, size))
        self.instructions += cost.instructions
        self.cycles += cost.cycles + (self._processor.refill if address != self._next else 0)
        self._next = address + size


def _import_unicorn() -> Any:
    """Returns unicorn."""
    try:
        import unicorn
    except ImportError as error:
        raise ToolError("The emulator unicorn is not installed; install fedmetaalign[firmware].") from error
    return unicorn

"""What a compiled firmware holds: how many bytes of which kind, and where its symbols are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from fedmetaalign.errors import ToolError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import Symbol


@dataclass(frozen=True)
class Sizes:
    """Bytes of an ELF file, by what they are for.

    Attributes:
        code: instructions and the constants between them.
        constants: what is read only.
        data: variables with an initial value, which take flash and RAM.
        zeros: variables that start at 0, which take RAM alone.
        symbols: the size of each function and each object, by name.
    """

    code: int
    constants: int
    data: int
    zeros: int
    symbols: Mapping[str, int]

    @property
    def flash(self) -> int:
        """Bytes of flash, the whole image."""
        return self.code + self.constants + self.data

    @property
    def ram(self) -> int:
        """Bytes of RAM, without the stack."""
        return self.data + self.zeros


def sizes(elf: bytes) -> Sizes:
    """Measures an ELF file.

    Args:
        elf: a file of `toolchain.compile_firmware`.

    Raises:
        ToolError: pyelftools is not installed.
    """
    file = _open(elf)
    from elftools.elf.constants import SH_FLAGS

    kinds = {"code": 0, "constants": 0, "data": 0, "zeros": 0}
    for section in file.iter_sections():
        flags = section["sh_flags"]
        if not flags & SH_FLAGS.SHF_ALLOC:
            continue
        if flags & SH_FLAGS.SHF_EXECINSTR:
            kind = "code"
        elif not flags & SH_FLAGS.SHF_WRITE:
            kind = "constants"
        else:
            kind = "zeros" if section["sh_type"] == "SHT_NOBITS" else "data"
        kinds[kind] += section["sh_size"]
    named = {
        symbol.name: symbol["st_size"]
        for symbol in _symbols(file)
        if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT")
    }
    return Sizes(**kinds, symbols=named)


def addresses(elf: bytes) -> dict[str, int]:
    """Returns the address of each symbol; a Thumb function's is odd.

    Raises:
        ToolError: pyelftools is not installed.
    """
    return {symbol.name: symbol["st_value"] for symbol in _symbols(_open(elf)) if symbol.name}


def segments(elf: bytes) -> list[tuple[int, bytes]]:
    """Returns what a loader writes: the address and the bytes of each segment that has any.

    Raises:
        ToolError: pyelftools is not installed.
    """
    return [
        (segment["p_vaddr"], segment.data())
        for segment in _open(elf).iter_segments("PT_LOAD")
        if segment["p_filesz"]
    ]


def _open(elf: bytes) -> "ELFFile":
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ToolError("pyelftools is not installed; install fedmetaalign[firmware].") from error
    return ELFFile(BytesIO(elf))


def _symbols(file: "ELFFile") -> "Iterator[Symbol]":
    from elftools.elf.sections import SymbolTableSection

    for section in file.iter_sections():
        if isinstance(section, SymbolTableSection):
            yield from section.iter_symbols()

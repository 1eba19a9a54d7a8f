"""Compiles the firmware's C99, for microcontrollers (Cortex-M and RISC-V) and for this machine.

`zig cc` (PyPI's `ziglang`, in the extra `firmware`) is clang, a linker and the soft-float routines of every
target in one package that needs no administrator rights. GCC and clang, where they are installed, are second
and third opinions.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Literal

from fedmetaalign.errors import ToolError
from fedmetaalign.tinyml.processors import ARM, RISCV, Processor

Compiler = Literal["zig", "gcc", "clang"]

NO_ROOM = "will not fit"
"""What a linker says where a program is too large for a memory."""

FIRMWARE = Path(__file__).parents[1] / "firmware"
"""The folder of the C sources."""


@dataclass(frozen=True)
class Core:
    """A core, as compilers and emulators call it.

    Attributes:
        name: its maker's name in lower case.
        zig: Zig's `-mcpu`, with the floating-point unit as a feature.
        gcc: the `-mcpu` of GCC for Arm; None of another processor.
        fpu: GCC's `-mfpu`, or None where floats are computed in software.
        unicorn: the end of unicorn's constant for it, or None where it has no such model.
        processor: what kind it is one of.
    """

    name: str
    zig: str
    gcc: str | None
    fpu: str | None
    unicorn: str | None
    processor: Processor = ARM

    @property
    def has_fpu(self) -> bool:
        """Whether floats are computed in hardware, and passed in its registers."""
        return self.fpu is not None


CORES = {
    core.name: core
    for core in (
        Core("cortex-m0", "cortex_m0", "cortex-m0", None, "M0"),
        Core("cortex-m3", "cortex_m3", "cortex-m3", None, "M3"),
        Core("cortex-m4", "cortex_m4+vfp4d16sp", "cortex-m4", "fpv4-sp-d16", "M4"),
        Core("cortex-m7", "cortex_m7+fp_armv8d16sp", "cortex-m7", "fpv5-sp-d16", "M7"),
        Core("cortex-m33", "cortex_m33+dsp+fp_armv8d16sp", "cortex-m33", "fpv5-sp-d16", "M33"),
        # Vectors of floats would round denormal numbers to zero.
        Core("cortex-m55", "cortex_m55-mve_fp+mve+fp_armv8d16", "cortex-m55+nomve.fp", "auto", None),
        # That of an ESP32-C3 and a C6. Unicorn's nearest model has atomic instructions, too, which none uses.
        Core("rv32imc", "generic_rv32+m+c", None, None, "SIFIVE_E31", RISCV),
    )
}
"""The cores that the firmware is verified on."""


@dataclass(frozen=True)
class Memory:
    """Where a microcontroller's memories lie: addresses and sizes in bytes; `stack` has to be left for that."""

    flash: int
    flash_size: int
    ram: int
    ram_size: int
    stack: int = 0


EMULATED = Memory(0, 1 << 20, 0x2000_0000, 1 << 20)
"""The memories of `emulator.Emulator`: as on most microcontrollers, and larger than on most."""


_STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
# Nothing is contracted and a square root calls nothing, so every machine rounds each operation, and all agree.
_ARITHMETIC = ["-ffp-contract=off", "-fno-math-errno"]
_FREESTANDING = [
    *("-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fomit-frame-pointer"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    "-g1",  # without it, Zig strips the symbols of what is optimised for size
]
# The loops of the start code must not become calls of a C library.
_GCC = ["-nostdlib", "-fno-tree-loop-distribute-patterns"]

_LINK_SCRIPT = Template("""\
MEMORY
{
  FLASH (rx) : ORIGIN = $flash, LENGTH = $flash_size
  RAM (rwx) : ORIGIN = $ram, LENGTH = $ram_size
}
SECTIONS
{
  .vectors : { KEEP(*(.vectors)) } > FLASH
  .text : { *(.text .text.*) } > FLASH
  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) } > FLASH
  .data : ALIGN(8) { _data = .; *(.data .data.* .sdata .sdata.*); . = ALIGN(8); _data_end = .; } > RAM AT> FLASH
  _data_load = LOADADDR(.data);
  .bss (NOLOAD) : ALIGN(8) { _bss = .; *(.bss .bss.* .sbss .sbss.* COMMON); . = ALIGN(8); _bss_end = .; } > RAM
  _stack = ORIGIN(RAM) + LENGTH(RAM);
  $check
  /DISCARD/ : { *(.ARM.exidx* .ARM.extab* .comment) }
}
""")


def compile_firmware(
    sources: Sequence[Path],
    core: Core,
    out: Path,
    entry: str,
    *,
    keep: Sequence[str] = (),
    include: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    optimize: str = "-O2",
    memory: Memory = EMULATED,
    compiler: Literal["zig", "gcc"] = "zig",
) -> Path:
    """Compiles and links an ELF file for a microcontroller, without a C library.

    Args:
        sources: C files.
        core: the core to compile for.
        out: the ELF file to write.
        entry: the function that the file starts with; what it does not use is left out.
        keep: further functions that stay, with what they use.
        include: folders of headers.
        defines: macros.
        optimize: the level of optimisation.
        memory: where flash and RAM lie.
        compiler: Zig, or `arm-none-eabi-gcc`.

    Returns:
        `out`.

    Raises:
        ToolError: the compiler is missing, or refuses the sources.
    """
    with TemporaryDirectory() as folder:
        script = Path(folder, "link.ld")
        check = (
            f'ASSERT(_bss_end + {memory.stack} <= _stack, "The stack will not fit.")' if memory.stack else ""
        )
        script.write_text(_LINK_SCRIPT.substitute(vars(memory), check=check), encoding="utf-8")
        command = [*_for_core(core, compiler), *_STRICT, *_ARITHMETIC, *_FREESTANDING, optimize]
        command += _common(sources, out, include)
        command += [f"-D{name}={value}" for name, value in (defines or {}).items()]
        command += [f"-Wl,-T,{script}", f"-Wl,-e,{entry}", "-Wl,--gc-sections"]
        command += [f"-Wl,-u,{name}" for name in keep]
        _run([*command, "-lgcc"] if compiler == "gcc" else command)
    return out


def compile_library(
    sources: Sequence[Path],
    out: Path,
    *,
    include: Sequence[Path] = (),
    compiler: Compiler = "zig",
) -> Path:
    """Compiles a shared library for this machine, to be loaded with ctypes.

    Args:
        sources: C files.
        out: the library to write.
        include: folders of headers.
        compiler: Zig, GCC or clang.

    Returns:
        `out`.

    Raises:
        ToolError: the compiler is missing, or refuses the sources.
    """
    driver = _zig() if compiler == "zig" else [_program(compiler, compiler)]
    command = [*driver, *_STRICT, *_ARITHMETIC, "-O2", "-shared", "-fPIC", "-g0"]
    _run([*command, *_common(sources, out, include)])
    return out


def _common(sources: Sequence[Path], out: Path, include: Sequence[Path]) -> list[str]:
    return [*map(str, sources), "-o", str(out), *(f"-I{folder}" for folder in include)]


def _for_core(core: Core, compiler: Literal["zig", "gcc"]) -> list[str]:
    if compiler == "zig":
        processor = core.processor
        target = processor.hard_target if core.has_fpu else processor.target
        return [*_zig(), "-target", target, f"-mcpu={core.zig}"]
    if core.gcc is None:
        raise ToolError(f"There is no arm-none-eabi-gcc for {core.name}; compile with Zig.")
    gcc = [_program("arm-none-eabi-gcc", "gcc-arm-none-eabi"), "-mthumb", f"-mcpu={core.gcc}", *_GCC]
    return [*gcc, f"-mfpu={core.fpu}", "-mfloat-abi=hard"] if core.fpu else [*gcc, "-mfloat-abi=soft"]


def _zig() -> list[str]:
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise ToolError("The C compiler is not installed; install fedmetaalign[firmware], which brings Zig.")
    return [
        str(Path(found.origin).with_name("zig")),
        "cc",
    ]  # not `-m ziglang`, which takes a Python process, too


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"The program {name} is not installed; on Debian it is in the package {package}.")
    return path


def _run(command: Sequence[str]) -> None:
    import pooch

    cache = pooch.os_cache("fedmetaalign") / "zig"  # it would be put into the working directory
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)} | os.environ
    try:
        Path(environment["ZIG_GLOBAL_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(
            f"The compiler's cache {error.filename} cannot be made ({error.strerror}): name a folder that can"
            " be written in ZIG_GLOBAL_CACHE_DIR and ZIG_LOCAL_CACHE_DIR."
        ) from None
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace")  # noqa: S603
    if done.returncode:
        found = re.search(rf".*\b(error|undefined|{NO_ROOM})\b.*", done.stderr)
        reason = found[0].strip(" .") if found else f"the compiler ended with {done.returncode}"
        raise ToolError(f"The firmware does not compile: {reason}.")

"""What Thumb code costs on a Cortex-M4: instructions, and cycles by Arm's tables.

The tables are those of Arm's Cortex-M4 Technical Reference Manual (Arm 100166), for memory without wait states:

| instruction | cycles |
|---|---|
| any that is not below | 1 |
| load or store of one word or less | 2; 1 right behind another one, with which it is pipelined |
| load or store of n registers | 1 + n |
| move of two registers to or from the floating-point unit | 2 |
| integer division | 2 to 12, counted as 12 |
| floating-point multiply-accumulate, fused or not | 3 |
| floating-point division, square root | 14 |
| taken branch | 2 more (a pipeline refill takes 1 to 3) |

An estimate, then, and one that errs upwards: stores often take one cycle, and flash is not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

REFILL = 2
"""Cycles that a taken branch adds."""

_DIVIDE = 12
_MULTIPLY_ACCUMULATE = 3
_FLOAT_DIVIDE = 14


@dataclass(frozen=True)
class CodeCost:
    """What a straight run of code costs."""

    instructions: int
    cycles: int


def cost(code: bytes) -> CodeCost:
    """Adds up the instructions of a basic block; the refill after a taken branch is not in it.

    Args:
        code: Thumb instructions, little-endian, whole ones.
    """
    instructions = cycles = 0
    pipelined = False
    for first, second in _split(code):
        single = _is_single(first, second)
        instructions += 1
        cycles += 1 if single and pipelined else 1 + _extra(first, second)
        pipelined = single
    return CodeCost(instructions, cycles)


def _split(code: bytes) -> Iterator[tuple[int, int]]:
    """Yields instructions as two halfwords, the second 0 where there is only one."""
    position = 0
    while position < len(code):
        first = int.from_bytes(code[position : position + 2], "little")
        wide = first >> 11 >= 0b11101
        yield first, int.from_bytes(code[position + 2 : position + 4], "little") if wide else 0
        position += 4 if wide else 2


def _is_single(first: int, second: int) -> bool:
    """Tells whether an instruction loads or stores one register."""
    if first >> 11 < 0b11101:
        return first & 0xF800 == 0x4800 or 0x5000 <= first < 0xA000
    vector = first & 0xFF20 == 0xED00 and second & 0x0F00 == 0x0A00
    return first & 0xFE00 == 0xF800 or vector


def _extra(first: int, second: int) -> int:
    """Returns the cycles beyond the first that an instruction takes by itself."""
    if _is_single(first, second):
        return 1
    if first >> 11 < 0b11101:
        return _extra_narrow(first)
    if first & 0xFE40 == 0xE800:  # LDM, STM
        return second.bit_count()
    if first & 0xFF60 == 0xE840:  # exclusive access; table branch
        return 1
    if first & 0xFE40 == 0xE840:  # LDRD, STRD
        return 2
    if first & 0xFFD0 == 0xFB90 and second & 0x00F0 == 0x00F0:  # SDIV, UDIV
        return _DIVIDE - 1
    if first & 0xEE00 == 0xEC00 and second & 0x0E00 == 0x0A00:
        return _extra_vector_move(first, second)
    if first & 0xFF00 == 0xEE00 and second & 0x0E10 == 0x0A00:
        return _extra_float(first, second)
    return 0


def _extra_narrow(first: int) -> int:
    if first & 0xF600 == 0xB400:  # PUSH, POP: the ninth bit is LR or PC
        return (first & 0x1FF).bit_count()
    if first & 0xF000 == 0xC000:  # LDM, STM
        return (first & 0xFF).bit_count()
    return 0


def _extra_vector_move(first: int, second: int) -> int:
    if first & 0xFFE0 == 0xEC40:  # two core registers
        return 1
    if first & 0xFF20 == 0xED00:  # VLDR, VSTR of a double
        return 2
    return second & 0xFF  # VLDM, VSTM, VPUSH, VPOP: words


def _extra_float(first: int, second: int) -> int:
    operation = first & 0xB0  # without the bit that belongs to a register
    if operation in (0x00, 0x10, 0x90, 0xA0):  # VMLA, VNMLA, VFNMA, VFMA and their subtractions
        return _MULTIPLY_ACCUMULATE - 1
    if operation == 0x80 or (operation == 0xB0 and first & 0xF == 1 and second & 0xC0 == 0xC0):  # VDIV, VSQRT
        return _FLOAT_DIVIDE - 1
    return 0

"""The kinds of processors that firmware is compiled for and emulated on: their names, and how they call."""

from collections.abc import Callable
from dataclasses import dataclass

from fedmetaalign.tinyml import thumb
from fedmetaalign.tinyml.thumb import CodeCost


def riscv_cost(code: bytes) -> CodeCost:
    """Counts the instructions of a basic block, of 2 bytes or of 4; no cycles, for which there is no table.

    Args:
        code: RISC-V instructions, little-endian, whole ones.
    """
    position = instructions = 0
    while position < len(code):
        position += 4 if code[position] & 3 == 3 else 2
        instructions += 1
    return CodeCost(instructions, 0)


@dataclass(frozen=True)
class Processor:
    """A kind of processor.

    Attributes:
        name: for people.
        target: Zig's `-target`.
        hard_target: the same where floats travel in registers of their own.
        unicorn: what unicorn calls it.
        models: how unicorn's names of its models begin.
        mode: unicorn's name of how it runs.
        registers: that take the first arguments, in order; the first takes the result.
        real: takes the result where floats travel in registers of their own.
        stack: the stack pointer.
        back: where a function returns to.
        counter: the program counter.
        code_bit: what an address of code has more than its place: Thumb's 1.
        refill: cycles that a taken branch adds.
        cost: counts the instructions of a basic block.
    """

    name: str
    target: str
    hard_target: str
    unicorn: str
    models: str
    mode: str
    registers: tuple[str, ...]
    real: str
    stack: str
    back: str
    counter: str
    code_bit: int
    refill: int
    cost: Callable[[bytes], CodeCost]


ARM = Processor(
    name="Arm",
    target="thumb-freestanding-eabi",
    hard_target="thumb-freestanding-eabihf",
    unicorn="ARM",
    models="ARM_CORTEX_",
    mode="THUMB",
    registers=("R0", "R1", "R2", "R3"),
    real="S0",
    stack="SP",
    back="LR",
    counter="PC",
    code_bit=1,
    refill=thumb.REFILL,
    cost=thumb.cost,
)

RISCV = Processor(
    name="RISC-V",
    target="riscv32-freestanding-none",
    hard_target="riscv32-freestanding-none",
    unicorn="RISCV",
    models="RISCV32_",
    mode="RISCV32",
    registers=tuple(f"A{i}" for i in range(8)),
    real="FA0",
    stack="SP",
    back="RA",
    counter="PC",
    code_bit=0,
    refill=0,
    cost=riscv_cost,
)

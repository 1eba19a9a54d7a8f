"""What convolutions and pools before the dense layers make of a window: shapes alone, without arrays.

Activations are (steps, channels), row by row: the unit of step t and channel c is number t * channels + c.
Nothing is padded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fedmetaalign.operators.steps import no_room, output_steps

Kind = Literal["convolution", "depthwise", "max", "average"]

POOLS = ("max", "average")
"""The kinds without parameters."""


@dataclass(frozen=True)
class Block:
    """A convolution over time, which a ReLU follows, or a pool.

    Attributes:
        kind: what it is; "depthwise" is a convolution with one filter a channel.
        kernel: steps that it takes at a time; 0 for all there are, of a pool.
        stride: steps from one place of the kernel to the next.
        filters: channels that a convolution gives; the others give as many as they take.
    """

    kind: Kind
    kernel: int
    stride: int
    filters: int = 0


@dataclass(frozen=True)
class Placed:
    """A block where its input is known.

    Attributes:
        kind: as in `Block`.
        kernel: as in `Block`, at least 1.
        stride: as in `Block`.
        steps: of its input.
        channels: of its input.
        filters: channels of its output.
    """

    kind: Kind
    kernel: int
    stride: int
    steps: int
    channels: int
    filters: int

    @property
    def output_steps(self) -> int:
        """Steps of its output."""
        return output_steps(self.steps, self.kernel, self.stride)

    @property
    def outputs(self) -> int:
        """Units that it gives."""
        return self.output_steps * self.filters


def placed(blocks: Sequence[Block], steps: int, channels: int) -> Iterator[Placed]:
    """Yields each block with the shape of what it is given, of a window of so many steps and channels.

    Raises:
        ValueError: a block has no room; the sentence names it by its number.
    """
    for number, block in enumerate(blocks, 1):
        kernel = block.kernel or steps
        if fault := no_room(kernel, block.stride, steps):
            raise ValueError(f"number {number} ({block.kind}) {fault}")
        filters = block.filters if block.kind == "convolution" else channels
        found = Placed(block.kind, kernel, block.stride, steps, channels, filters)
        yield found
        steps, channels = found.output_steps, filters

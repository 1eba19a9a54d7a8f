"""What the firmware has to know of one layer in a network that goes over time (`firmware/fma_time.h`)."""

from collections.abc import Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """How the weights of a network's dense layers and convolutions lie in flash.

    Attributes:
        per_channel: whether each block has multipliers and shifts of its own.
        pairs: whether they are for cores whose multiplier gives 32 bits (`firmware/fma_pairs.h`).
        wide: whether they then take 16 bits each, which is quicker where a weight is used at many places.
    """

    per_channel: bool
    pairs: bool = False
    wide: bool = False

    @property
    def step(self) -> int:
        """Bytes of RAM that four inputs take while they are multiplied."""
        return 24 if self.pairs else 8


class Stage(NamedTuple):
    """A layer of integers.

    Attributes:
        kind: FMA_DENSE (a convolution is one at each place), FMA_DEPTHWISE, FMA_MAX, FMA_AVERAGE or FMA_MEAN.
        arrays: type and name of each of its constants, and C text of its values.
        multiplier: of all outputs alike, times 2**31.
        shift: of all outputs alike, or the smallest.
        steps: of four inputs of a place; else of time.
        outputs: of a place.
        places: of the kernel.
        stride: units from one place to the next.
        zero_point: of the outputs.
        source: zero point of the inputs, of a mean.
        relu: whether outputs are not below their 0.
        bits: of a weight, as it lies in flash.
        packs: whether a place's inputs are copied before its outputs are written.
    """

    kind: str
    arrays: Sequence[tuple[str, Sequence[str]]]
    multiplier: int
    shift: int
    steps: int
    outputs: int
    places: int
    stride: int
    zero_point: int
    source: int = 0
    relu: bool = False
    bits: int = 8
    packs: bool = False


class FloatStage(NamedTuple):
    """A layer of float32.

    Attributes:
        kind: FMA_DENSE, FMA_DEPTHWISE, FMA_MAX or FMA_AVERAGE.
        steps: inputs of a dense layer's place; else of time.
        outputs: of a place.
        places: of the kernel.
        stride: units from one place to the next.
        relu: whether outputs are not below 0.
    """

    kind: str
    steps: int
    outputs: int
    places: int
    stride: int
    relu: bool = False

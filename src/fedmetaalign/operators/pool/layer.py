"""Pooling over time in float, and what must hold for it to run."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedmetaalign.operators.steps import OverTime, no_room, windows

Kind = Literal["max", "average"]


@dataclass(frozen=True)
class Pool(OverTime):
    """The greatest or the mean of some steps of each channel; it has no parameters.

    Attributes:
        kind: what is taken of the steps; an average of all steps is the global average.
        size: how many steps.
        stride: steps from one place to the next.
        steps: of its input.
        channels: of its input, and of its output.
        relu: never has one.
    """

    kind: Kind
    size: int
    stride: int
    steps: int
    channels: int
    relu: ClassVar[bool] = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Steps that are pooled, and channels twice: of its input, and of its output."""
        return self.size, self.channels, self.channels


def check(layer: Pool) -> str | None:
    """Tells what is wrong with a float layer."""
    if layer.channels < 1:
        return f"has {layer.channels} channels"
    return no_room(layer.size, layer.stride, layer.steps)


def forward(layer: Pool, x: np.ndarray) -> np.ndarray:
    """Returns the output, (rows, outputs) float64, for (rows, inputs)."""
    seen = windows(x.reshape(len(x), layer.steps, layer.channels), layer.size, layer.stride)
    taken = seen.max(axis=2) if layer.kind == "max" else seen.mean(axis=2)
    return np.asarray(taken.reshape(len(x), layer.outputs))

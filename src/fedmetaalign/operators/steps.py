"""How layers over time step through their input: activations are (steps, channels), row by row, unpadded."""

from abc import ABC, abstractmethod

import numpy as np


def output_steps(steps: int, kernel: int, stride: int) -> int:
    """Returns at how many places a kernel fits into so many steps."""
    return (steps - kernel) // stride + 1


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Views (rows, steps, channels) as what a kernel sees at each place, (rows, places, kernel, channels)."""
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=1)[:, ::stride]
    return np.moveaxis(seen, -1, 2)


def no_room(kernel: int, stride: int, steps: int) -> str | None:
    """Tells why a kernel cannot step through so many steps."""
    if stride < 1 or not 1 <= kernel <= steps:
        return f"takes {kernel} steps at a time with stride {stride}, which {steps} steps have no room for"
    return None


def each_place(steps: int, kernel: int, stride: int) -> list[slice]:
    """Returns, for each step of a kernel, the input's steps that it meets, one a place."""
    last = (output_steps(steps, kernel, stride) - 1) * stride + 1
    return [slice(first, first + last, stride) for first in range(kernel)]


class OverTime(ABC):
    """What all layers over time have, in float and in integers.

    Attributes:
        steps: of the input.
        stride: steps from one place of the kernel to the next.
    """

    steps: int
    stride: int

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int, int]:
        """Steps of the kernel, channels of the input, and channels of the output."""

    @property
    def output_steps(self) -> int:
        """Steps of its output."""
        return output_steps(self.steps, self.sizes[0], self.stride)

    @property
    def inputs(self) -> int:
        """Units that it takes: steps * channels."""
        return self.steps * self.sizes[1]

    @property
    def outputs(self) -> int:
        """Units that it gives: output steps * channels of the output."""
        return self.output_steps * self.sizes[2]


class Filters(OverTime):
    """A layer over time whose weights are (kernel, channels, ...), with a bias for each filter."""

    weights: np.ndarray
    biases: np.ndarray

    @property
    def kernel(self) -> int:
        """Steps that a filter spans."""
        return len(self.weights)

    @property
    def channels(self) -> int:
        """Of its input."""
        return int(self.weights.shape[1])

    @property
    def filters(self) -> int:
        """Channels of its output."""
        return len(self.biases)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Steps of the kernel, channels, and filters."""
        return self.kernel, self.channels, self.filters

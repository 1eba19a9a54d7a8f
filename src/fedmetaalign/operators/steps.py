"""How layers over time step through their input: activations are (steps, channels), row by row, unpadded."""

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

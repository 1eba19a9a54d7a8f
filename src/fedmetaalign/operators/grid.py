"""How real numbers map onto integers, for all operators alike.

A real number r is stored as an integer q with two parameters of its tensor (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1):

    r = scale * (q - zero_point)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Bits = Literal[4, 8]
"""Of an integer weight in the file."""

SMALLEST_SCALE = 2.0**-50
"""Products of two scales stay normal float32 numbers."""


@dataclass(frozen=True)
class Grid:
    """How a tensor of activations maps onto integers: r = scale * (q - zero_point).

    Attributes:
        scale: step of the grid; a float32 value, as it stands in the file.
        zero_point: the integer that stands for 0.
    """

    scale: float
    zero_point: int

    @property
    def unsigned(self) -> "Grid":
        """The uint8 grid that stands for the same reals as this int8 grid."""
        return Grid(self.scale, self.zero_point + 128)


SCORE = Grid(1 / 256, -128)
"""The grid of LOGISTIC's and SOFTMAX's int8 output, which the specification fixes."""


def grid(low: float, high: float, smallest_scale: float = SMALLEST_SCALE) -> Grid:
    """Spreads the 256 int8 values over a range, which is first extended to include 0 (so that 0 is exact).

    Args:
        low: smallest value that occurs.
        high: largest value that occurs.
        smallest_scale: the scale is at least this.

    Returns:
        The grid. A range of nothing but 0 becomes [0, 1]: what was silent in the calibration data may still
        speak up on the device.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    scale = float(np.float32(max((high - low) / 255.0, smallest_scale)))
    return Grid(scale, int(np.clip(round_away(-128.0 - low / scale), -128, 127)))


def to_grid(x: np.ndarray, scale: float, zero_point: int, dtype: type[np.integer]) -> np.ndarray:
    """Quantises: q = clip(round(x / scale) + zero_point), exactly as LiteRT's QUANTIZE kernel does.

    The quotient is float32 and ties go away from zero, like C's `roundf`, so that firmware in single precision
    gets the same integers.

    Args:
        x: float32 values of any shape, infinite perhaps, but not NaN, which no integer stands for.
        scale: step of the grid.
        zero_point: the integer that stands for 0.
        dtype: an integer type of at most 16 bits, whose limits are where values saturate.

    Returns:
        Integers of that type, in the shape of `x`.
    """
    limits = np.iinfo(dtype)
    # A quotient that overflows is infinite, and saturates as it should.
    with np.errstate(over="ignore"):
        quotient = np.asarray(x, np.float32) / np.float32(scale)
    q: np.ndarray = np.clip(round_away(quotient) + zero_point, limits.min, limits.max).astype(dtype)
    return q


def round_away(values: np.ndarray | np.float32 | np.float64 | float) -> np.ndarray:
    """Rounds to the nearest integer, ties away from zero; the float64 sum keeps 0.49999997 below 1/2."""
    exact = np.asarray(values, np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact)

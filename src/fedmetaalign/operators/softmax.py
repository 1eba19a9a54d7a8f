"""SOFTMAX of int8 logits, to the last bit, on a device and in each runtime.

The probabilities come on the grid that the LiteRT 8-bit quantisation specification fixes, `grid.SCORE`:
q / 256 for q from 0 to 255, stored 128 less in int8. There are two ways to compute them, which differ in about
one probability of 100,000, by 1/256:

| function | `Rounding` | runtime |
|---|---|---|
| `fixed_point` | `gemmlowp`, `single` | our firmware, TensorFlow Lite Micro, CMSIS-NN, LiteRT's reference |
| `tabulated` | `half-up`, `float32` | LiteRT without delegates, and with XNNPACK, which leaves SOFTMAX to it |

In integers (reference/softmax.h) a difference of logits becomes a number of 5 integer and 26 fractional bits by
one multiplication; `gemmlowp.exponential` of it has 31 fractional bits, and 19 where it is summed; the sum's
reciprocal, by Newton's method, times the exponential is shifted down to 8 bits, half away from 0. A difference
below `lowest` would not fit, and its probability is 0. CMSIS-NN's arm_softmax_s8 says the same in other words.

In float32 (optimized_ops.h) the 256 exponentials are a table, and are summed in the order of the classes; each
is multiplied by 1 / (sum / 256) and rounded half away from 0. For 64-bit Arm LiteRT can be built with a table
of integers instead, which is neither of these two.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from fedmetaalign.operators import float32, gemmlowp
from fedmetaalign.operators.grid import SCORE, Grid
from fedmetaalign.operators.operator import Output
from fedmetaalign.operators.rounding import Rounding

SCALES = (2.0**-20, 16.0)
"""Of the logits' grid. The multiplier must be above 1 from 2**-26 on, and saturates at 32."""

REACH = 6.3
"""A logit so far below the greatest has a probability below 1/512, which rounds to 0; a step is to spare."""

_INTEGER_BITS = 5  # of a difference of logits
_SUM_BITS = 12  # before the point, of a sum of exponentials


@dataclass(frozen=True)
class Parameters:
    """How a difference of int8 logits becomes a fixed-point number: difference * 2**shift * multiplier / 2**31.

    Attributes:
        multiplier: in [2**30, 2**31).
        shift: to the left, in [0, 31].
        lowest: the least difference, 0 or less, that is not left out; the kernels' `diff_min`.
    """

    multiplier: int
    shift: int
    lowest: int


def parameters(scale: float) -> Parameters:
    """Returns the parameters of a grid, as SoftmaxPrepare computes them for a beta of 1.

    Args:
        scale: of the logits' grid, a float32 value in `SCALES`.
    """
    real = min(scale * 2.0 ** (31 - _INTEGER_BITS), 2.0**31 - 1)
    fraction, shift = np.frexp(real)
    multiplier = int(np.floor(fraction * 2.0**31 + 0.5))
    # A float32 scale has 24 bits, so that no fraction is rounded up to 1.
    limit = (2**_INTEGER_BITS - 1) << (31 - _INTEGER_BITS)
    return Parameters(multiplier, int(shift), -(limit >> int(shift)))


def fixed_point(logits: np.ndarray, scale: float) -> np.ndarray:
    """Computes probabilities in integers.

    Args:
        logits: (rows, classes) int8.
        scale: of their grid, a float32 value in `SCALES`.

    Returns:
        (rows, classes) uint8, probabilities times 256.
    """
    p = parameters(scale)
    differences = _below_greatest(logits)
    counted = differences >= p.lowest
    scaled = gemmlowp.multiply(np.where(counted, differences, 0) << p.shift, p.multiplier)
    powers = np.where(counted, gemmlowp.exponential(scaled, _INTEGER_BITS), 0)
    sums = gemmlowp.halve_away(powers, _SUM_BITS).sum(axis=1, keepdims=True)
    zeros = 32 - np.frexp(sums.astype(np.float64))[1]  # leading ones, of 32 bits
    inverse = gemmlowp.reciprocal((sums << zeros) - 2**31)  # of the sum as 1.xxx
    q = gemmlowp.halve_away(gemmlowp.multiply(powers, inverse), _SUM_BITS + 31 - 8 - zeros)
    return np.asarray(np.minimum(q, 255).astype(np.uint8))


def tabulated(logits: np.ndarray, scale: float) -> np.ndarray:
    """Computes probabilities from a table of float32 exponentials; as `fixed_point`."""
    with np.errstate(under="ignore"):
        reals = np.float32(-scale) * np.arange(256, dtype=np.float32)
        table = np.exp(reals.astype(np.float64)).astype(np.float32)
    powers = table[-_below_greatest(logits)]
    sums = np.zeros((len(powers), 1), np.float32)
    for column in powers.T:
        sums += column[:, np.newaxis]
    scaled = powers * (np.float32(1) / (sums * np.float32(1 / 256)))
    q = np.floor(scaled.astype(np.float64) + 0.5)
    return np.asarray(np.minimum(q, 255).astype(np.uint8))


def _below_greatest(logits: np.ndarray) -> np.ndarray:
    """Returns how far each logit of a row is below the row's greatest, (rows, classes) int64, 0 or less."""
    wide = logits.astype(np.int64)
    return np.asarray(wide - wide.max(axis=1, keepdims=True))


def _that_count(logits: np.ndarray) -> np.ndarray:
    """Returns the least and the greatest of each row's logits that a grid has to hold, (rows, 2).

    A logit that is `REACH` below its row's greatest has probability 0, and a greatest one that is so far ahead
    of the second has probability 1, however much farther they go.

    Args:
        logits: (rows, classes) float64.
    """
    second, first = np.sort(logits, axis=1)[:, -2:].T
    highest = np.minimum(first, second + REACH)
    return np.stack([np.maximum(logits.min(axis=1), highest - REACH), highest], axis=1)


def _fault(grid: Grid) -> str | None:
    return None if SCALES[0] <= grid.scale <= SCALES[1] else f"the logit has scale {grid.scale:.3g}"


def _run(q: np.ndarray, grid: Grid, rounding: Rounding) -> np.ndarray:
    in_integers = rounding in ("gemmlowp", "single")
    return (fixed_point if in_integers else tabulated)(q, grid.scale) / 256.0


def _c(grid: Grid, kind: str) -> list[str]:
    p = parameters(grid.scale)
    return ["", f"#define FMA_SOFTMAX {{{p.multiplier}, {p.shift}, {p.lowest}}} /* see fma_softmax_t */"]


SOFTMAX = Output(
    builtin="SOFTMAX",
    options=("SoftmaxOptions", {"beta": 1.0}),
    sources=("fma_softmax.h",),
    versions=(1, 2),
    grid=SCORE,
    counting=_that_count,
    span=lambda low, high: (low, high),
    widest=254 * SCALES[1],
    fault=_fault,
    run=_run,
    forward=lambda z: np.asarray(softmax(z, axis=1)),
    forward_float32=lambda z: float32.softmax(z).astype(np.float64),
    c=_c,
)

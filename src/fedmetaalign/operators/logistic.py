"""The sigmoid, LOGISTIC: the score of a network with one logit."""

import math

import numpy as np
from scipy.special import expit

from fedmetaalign.operators import c_text, float32, gemmlowp
from fedmetaalign.operators.grid import SCORE, Grid
from fedmetaalign.operators.operator import Output
from fedmetaalign.operators.rounding import Rounding

# Scores round to 0 below a logit of -6.236 and to 255/256 above 5.134; the limits lie a step beyond,
# so that rounding its ends does not take the first and the last score away.
LOWEST_LOGIT = -6.3
HIGHEST_LOGIT = 5.2

_LOGIT_SCALES = (2.0**-20, 1.0)  # TensorFlow Lite Micro's LOGISTIC shifts by 27 + log2(scale) bits, in [0, 31]


def logit_range(low: float, high: float) -> tuple[float, float]:
    """Chooses the range of the logit's grid from the logits seen in calibration.

    Two amendments to the plain minimum and maximum. The range is made symmetric, and at least [-1, 1], first:
    calibration data of one class shows logits of one sign only, and without room for the other sign no row
    could pass a threshold beyond 1/2. (A step of 4/256 in the logit is at most one of 1/256 in the score, so no
    range below [-2, 2] makes scores finer.) Then it is cut to what a score in steps of 1/256 can express,
    since a grid that reaches out to a logit of 30 is too coarse around 0, where the threshold is.

    Args:
        low: smallest logit in the calibration data.
        high: largest logit in the calibration data.

    Returns:
        (low, high) of the grid.
    """
    reach = max(-low, high, 1.0)
    # 127/128: int8 has one value less above 0, and so 0 is the zero point instead of a tie between two.
    return max(-reach, LOWEST_LOGIT), min(reach * 127 / 128, HIGHEST_LOGIT)


def logistic_table(scale: float, zero_point: int, rounding: Rounding = "gemmlowp") -> np.ndarray:
    """Tabulates the score for every int8 logit.

    Args:
        scale: of the logit's grid, in [2**-20, 1].
        zero_point: of the logit's grid.
        rounding: the family of runtimes to be equal to. The tables of one grid differ where the score lies at
            the middle between two integers, as it does at +-1/128 on grids whose scale is a power of 2.

    Returns:
        (256,) uint8 of score * 256, for the logits -128 to 127; an int8 score is 128 less.
    """
    steps = np.arange(-128, 128) - zero_point
    if rounding == "gemmlowp":
        return _fixed_point_logistic(steps, scale)
    logits = steps.astype(np.float32) * np.float32(scale)
    if rounding == "float32":
        powers = np.exp(logits.astype(np.float64))
        reals = (powers / (1.0 + powers)).astype(np.float32)
        # XNNPACK adds the zero point before it rounds, which makes ties of what was near one.
        rounded = np.rint(reals * np.float32(256) - np.float32(128)) + 128
    else:
        with np.errstate(over="ignore"):  # the exponential of a large negative logit: its sigmoid is 0
            powers = np.exp(-logits.astype(np.float64)).astype(np.float32)
        rounded = np.floor((np.float32(1) / (np.float32(1) + powers)).astype(np.float64) * 256.0 + 0.5)
    table: np.ndarray = np.clip(rounded, 0, 255).astype(np.uint8)
    return table


def _fault(grid: Grid) -> str | None:
    if _LOGIT_SCALES[0] <= grid.scale <= _LOGIT_SCALES[1]:
        return None
    return f"the logit has scale {grid.scale:.3g}"


def _run(q: np.ndarray, grid: Grid, rounding: Rounding) -> np.ndarray:
    scores: np.ndarray = logistic_table(grid.scale, grid.zero_point, rounding)[q[:, 0].astype(np.int64) + 128]
    return scores / 256.0


def _c(grid: Grid, kind: str) -> list[str]:
    table = logistic_table(grid.scale, grid.zero_point).astype(int) - (128 if kind == "int8" else 0)
    array = c_text.array(f"{c_text.TYPES[kind]} fma_logistic", table)
    return ["", "/* The score for each logit from -128 to 127. */", *array]


LOGISTIC = Output(
    builtin="LOGISTIC",
    options=None,
    sources=(),
    versions=(1, 2),
    grid=SCORE,
    counting=lambda z: z,
    span=logit_range,
    widest=math.inf,
    fault=_fault,
    run=_run,
    forward=lambda z: np.asarray(expit(z[:, 0])),
    forward_float32=lambda z: float32.sigmoid(z[:, 0]).astype(np.float64),
    c=_c,
)


def _fixed_point_logistic(steps: np.ndarray, scale: float) -> np.ndarray:
    """Computes 256 / (1 + exp(-steps * scale)) as TensorFlow Lite Micro's int8 LOGISTIC does: uint8.

    It is gemmlowp's `logistic` (fixedpoint.h), in int64 that hold its int32 values, between a conversion of the
    logits to 4 integer and 27 fractional bits and one of the result, 31 fractional bits, to 8.
    """
    fraction, exponent = np.frexp(scale * 2.0**27)
    radius = 15 * 2**27 >> int(exponent)  # of logits up to 15, beyond which the score does not change
    logits = gemmlowp.multiply(np.clip(steps, -radius, radius) << int(exponent), int(fraction * 2**31))
    positive = gemmlowp.reciprocal(gemmlowp.exponential(-np.abs(logits), integer_bits=4))
    result = np.select([logits == 0, logits < 0], [2**30, gemmlowp.ONE - positive], positive)
    q: np.ndarray = np.minimum(gemmlowp.halve_away(result, 23), 255).astype(np.uint8)
    return q

"""How sums of products become int8 again in each family's rounding (see `rounding`)."""

import numpy as np

from fedmetaalign.operators import gemmlowp
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.rounding import Rounding, fixed_point


def multipliers(input_scale: float, weight_scales: np.ndarray, output: Grid) -> np.ndarray:
    """Returns what sums are multiplied by, float64 in the shape of the (1,) or (channels,) float32 scales."""
    return np.asarray(input_scale * weight_scales.astype(np.float64) / output.scale)


def scaled(
    sums: np.ndarray, input_scale: float, weight_scales: np.ndarray, output: Grid, rounding: Rounding
) -> np.ndarray:
    """Scales sums, (..., channels) int32, down to steps of the layer's output, whole numbers."""
    real = multipliers(input_scale, weight_scales, output)
    if rounding == "float32":
        factors = np.float32(input_scale) * weight_scales / np.float32(output.scale)
        return np.asarray(np.rint(sums.astype(np.float32) * factors))
    if rounding == "single":
        products = sums * real
        whole = np.trunc(products)
        return np.asarray(whole + np.trunc(2.0 * (products - whole)))
    return fixed(sums, *fixed_point(real), rounding)


def fixed(sums: np.ndarray, multiplier: np.ndarray, shifts: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Scales sums by fixed-point multipliers and right shifts, in `gemmlowp` or `half-up` rounding."""
    high = gemmlowp.multiply(sums.astype(np.int64), multiplier)
    return gemmlowp.halve_up(high, shifts) if rounding == "half-up" else gemmlowp.halve_away(high, shifts)


def placed(steps: np.ndarray, output: Grid, relu: bool) -> np.ndarray:
    """Puts whole numbers of steps on a grid: int8 in their shape, not below its 0 where there is a ReLU."""
    lowest = output.zero_point if relu else -128
    return np.asarray(np.clip(steps + output.zero_point, lowest, 127).astype(np.int8))

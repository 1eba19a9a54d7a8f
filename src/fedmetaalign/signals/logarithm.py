"""The natural logarithm in float32, each operation rounded, in a stated order."""

import numpy as np

SMALLEST = np.float32(1e-30)
"""Smaller numbers count as this one."""

_POLYNOMIAL = np.array(
    [
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    ],
    np.float32,
)
_ROOT = np.float32(0.707106781186547524)
_LN2 = np.array([0.693359375, -2.12194440e-4], np.float32)  # the first has few bits: its multiples are exact


def logarithm(x: np.ndarray) -> np.ndarray:
    """Returns ln(x) to 2 units in the last place, by Cephes' logf (Moshier).

    x is 2^e (1 + r) with 1 + r from the root of 1/2 to that of 2; a polynomial gives ln(1 + r).

    Args:
        x: (...) float32, not negative; NaN and infinite perhaps, of which the result is no finite number.
    """
    x = np.maximum(x, SMALLEST)  # NaN stays NaN
    bits = x.view(np.int32)
    e = (bits >> 23) - 126
    r = ((bits & 0x7FFFFF) | 0x3F000000).view(np.float32)
    low = r < _ROOT
    e = (e - low).astype(np.float32)
    r = np.where(low, r + r, r) - np.float32(1)
    p = np.full_like(r, _POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        p = p * r + coefficient
    square = r * r
    p = p * r * square
    p = p + _LN2[1] * e
    p = p - np.float32(0.5) * square
    result = r + p + _LN2[0] * e
    return np.where(np.isfinite(x), result, np.float32(np.nan))

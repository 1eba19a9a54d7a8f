"""Fixed-point functions of gemmlowp (fixedpoint.h), as TensorFlow Lite Micro and our firmware compute them.

Numbers are int64 that hold int32 values, of 31 bits behind the sign: some for the integer part, the rest for
the fraction.
"""

import numpy as np

ONE = 2**31 - 1
"""1 as a number of 31 fractional bits, where it saturates."""


def multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """Returns a * b / 2**31, rounded: SaturatingRoundingDoublingHighMul on int32 values."""
    return (a * b + 2**30) >> 31


def halve_up(x: np.ndarray, times: np.ndarray | int) -> np.ndarray:
    """Returns x / 2**times, rounded to nearest, ties upwards."""
    return (x + ((1 << times) >> 1)) >> times


def halve_away(x: np.ndarray, times: np.ndarray | int) -> np.ndarray:
    """Returns x / 2**times, rounded to nearest, ties away from 0: RoundingDivideByPOT."""
    half = (1 << times) >> 1
    rounded: np.ndarray = (x + (half - ((x < 0) & (half > 0)))) >> times
    return rounded


def exponential(x: np.ndarray, integer_bits: int) -> np.ndarray:
    """Returns exp(x) in 31 fractional bits, for x of 0 or less: exp_on_negative_values.

    Args:
        x: numbers with 4 or 5 integer bits.
        integer_bits: how many they have.
    """
    fraction = 31 - integer_bits
    quarter = 1 << fraction - 2
    rest = (x & (quarter - 1)) - quarter  # x modulo 1/4, in [-1/4, 0)
    # Taylor's polynomial around -1/8, in 31 fractional bits.
    a = (rest << integer_bits) + 2**28
    square = multiply(a, a)
    fourth, cube = multiply(square, square), multiply(square, a)
    higher = halve_away(multiply(halve_away(fourth, 2) + cube, 715827883) + square, 1)  # times 1/3
    start = 1895147668  # exp(-1/8)
    result = start + multiply(a + higher, start)
    # exp(-2**k) for each bit of the quarters that were left out, k from -2 to 3 or 4.
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)[: integer_bits + 2]
    for bit, factor in enumerate(factors, fraction - 2):
        result = np.where((rest - x) >> bit & 1, multiply(result, factor), result)
    return np.where(x == 0, ONE, result)


def reciprocal(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + x) for x in [0, 1), both in 31 fractional bits, by Newton's method.

    It is one_over_one_plus_x_for_x_in_0_1.
    """
    half = (x + ONE + 1) >> 1
    result = 1515870810 + multiply(half, -1010580540)  # 48/17 - 32/17 * half, 29 fractional bits
    for _ in range(3):
        result = result + (multiply(result, 2**29 - multiply(half, result)) << 2)
    doubled: np.ndarray = np.minimum(result << 1, ONE)
    return doubled

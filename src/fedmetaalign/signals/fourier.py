"""The power spectrum of real numbers by a radix-2 FFT in float32, each operation rounded, in a stated order.

The numbers, taken by twos as complex ones, are put in bit-reversed order and combined from halves of 1, 2, 4,
... (decimation in time, Cooley & Tukey 1965). The only table is a quarter of a cosine.
"""

import numpy as np

_HALF = np.float32(0.5)


def cosines(points: int) -> np.ndarray:
    """Returns the cosine of k / points of a turn for k from 0 to points / 4, float32; the last is 0."""
    table = np.cos(2 * np.pi * np.arange(points // 4 + 1) / points).astype(np.float32)
    table[-1] = 0
    return table


def turned(table: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns cosine and sine of k / points of a turn for k up to half of one, both float32.

    Args:
        table: of `cosines`.
        k: integers from 0 to points / 2.
    """
    quarter = len(table) - 1
    first = k <= quarter
    cosine = np.where(first, table[np.where(first, k, 0)], -table[np.where(first, 0, 2 * quarter - k)])
    return cosine, table[np.abs(quarter - k)]


def hann(table: np.ndarray) -> np.ndarray:
    """Returns the periodic Hann window of as many points as the table has, float32: 1/2 - 1/2 cosine."""
    points = 4 * (len(table) - 1)
    n = np.arange(points)
    return np.asarray(_HALF - _HALF * turned(table, np.minimum(n, points - n))[0])


def powers(x: np.ndarray) -> np.ndarray:
    """Returns four times the squared size of the discrete Fourier transform.

    Args:
        x: (points, ...) float32; points is a power of two, 8 at least.

    Returns:
        (points / 2 - 1, ...) float32, at the frequencies 1, 2, ..., points / 2 - 1.
    """
    points, half = len(x), len(x) // 2
    table = cosines(points)
    re, im = _transform(x[0::2], x[1::2], table)
    k = np.arange(1, half // 2)
    cosine, sine = (part.reshape(-1, *[1] * (x.ndim - 1)) for part in turned(table, k))
    mirror = half - k
    a, b = re[k] + re[mirror], im[k] - im[mirror]
    c, d = im[k] + im[mirror], re[mirror] - re[k]
    along, across = c * cosine + d * sine, d * cosine - c * sine
    result = np.empty((half - 1, *x.shape[1:]), np.float32)
    result[k - 1] = _squared(a + along, b + across)
    result[mirror - 1] = _squared(a - along, across - b)
    middle = half // 2
    result[middle - 1] = _squared(re[middle] + re[middle], im[middle] + im[middle])
    return result


def _squared(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    return np.asarray(re * re + im * im)


def _transform(re: np.ndarray, im: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the transform of complex numbers, (n, ...) float32 each, in parts of the same shape."""
    n, rest = len(re), re.shape[1:]
    order = np.zeros(1, np.int64)
    while len(order) < n:
        order = np.concatenate([2 * order, 2 * order + 1])
    re, im = re[order], im[order]
    half = 1
    while half < n:
        (a, b), (c, d) = (
            np.moveaxis(part.reshape(-1, 2, half, *rest), 1, 0) for part in (re, im)
        )  # the first halves a + ic, the second ones b + id
        t, u = b.copy(), d.copy()
        if half > 1:
            steps = np.arange(1, half) * (n // half)
            cosine, sine = (part.reshape(-1, *[1] * len(rest)) for part in turned(table, steps))
            t[:, 1:] = b[:, 1:] * cosine + d[:, 1:] * sine
            u[:, 1:] = d[:, 1:] * cosine - b[:, 1:] * sine
        re, im = (
            np.stack([first + second, first - second], axis=1).reshape(n, *rest)
            for first, second in ((a, t), (c, u))
        )
        half *= 2
    return re, im

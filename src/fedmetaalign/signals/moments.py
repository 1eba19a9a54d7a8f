"""Statistics of a window: what condition monitoring has always looked at.

Higher moments are of the samples less their mean in units of the peak to peak, so that none is too large or too
small for float32.
"""

import numpy as np

from fedmetaalign.signals.sums import total

NAMES = ("mean", "rms", "std", "skewness", "kurtosis", "crest", "peak_to_peak", "zero_crossings")
"""Of a constant signal, skewness and kurtosis are 0, as is the crest factor of zeros."""

SMALLEST = np.float32(1e-30)
"""A peak to peak or a root mean square that is not above it counts as none."""


def statistics(x: np.ndarray) -> np.ndarray:
    """Returns the statistics of windows of one channel, (statistics, windows) float32.

        mean      sum(x) / n
        u         (x - mean) * (1 / peak to peak)
        mk        sum(u^k) / n                                        for k = 2, 3, 4
        std       peak to peak * sqrt(m2)                             rms        sqrt(mean^2 + std^2)
        skewness  m3 / (m2 * sqrt(m2))                                kurtosis   m4 / m2^2, 3 of a normal one
        crest     max(|x|) / rms                                      crossings  of the mean

    Args:
        x: (samples, windows) float32, finite, at least two samples.
    """
    one, n = np.float32(1), np.float32(len(x))
    mean, low, high = total(x) / n, x.min(axis=0), x.max(axis=0)
    span = high - low
    moves = span > SMALLEST
    u = (x - mean) * (one / np.where(moves, span, one))
    square = u * u
    m2, m3, m4 = (np.where(moves, total(power) / n, 0) for power in (square, square * u, square * square))
    root = np.sqrt(m2)
    std = span * root
    rms = np.sqrt(mean * mean + std * std)
    known, loud = m2 > 0, rms > SMALLEST
    divisor = np.where(known, m2, one)
    below = u < 0
    return np.stack(
        [
            mean,
            rms,
            std,
            np.where(known, m3 / (divisor * np.where(known, root, one)), 0),
            np.where(known, m4 / (divisor * divisor), 0),
            np.where(loud, np.maximum(high, -low) / np.where(loud, rms, one), 0),
            span,
            np.count_nonzero(below[1:] != below[:-1], axis=0).astype(np.float32),
        ]
    )

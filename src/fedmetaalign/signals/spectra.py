"""Energies of bands of a signal and of its envelope, in the arithmetic of the device."""

import itertools

import numpy as np

from fedmetaalign.signals.fourier import cosines, hann, powers
from fedmetaalign.signals.logarithm import logarithm
from fedmetaalign.signals.plan import Demodulation, Spectrum
from fedmetaalign.signals.sums import total

_HALF = np.float32(0.5)


def band_energies(x: np.ndarray, how: Spectrum, shaft: np.ndarray | None = None) -> np.ndarray:
    """Returns the logarithms of the energies of bands, (bands, windows) float32.

    Energies add up to the variance.

    Args:
        x: (numbers, windows) float32, finite.
        how: the spectrum.
        shaft: (windows,) float32, the shaft's frequency in Hz; None where it is not tracked.
    """
    segments = np.stack([x[start : start + how.points] for start in how.starts], axis=1)
    segments = segments - total(segments) / np.float32(how.points)
    if how.hann:
        segments *= hann(cosines(how.points))[:, None, None]
    power = powers(segments)
    each = _bands(power, how.edges) if shaft is None else _orders(power, how.edges, shaft * how.bins)
    energies = np.zeros_like(each[:, 0])
    for segment in range(len(how.starts)):
        energies += each[:, segment]
    return logarithm(energies * how.scale)


def _bands(power: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Adds up the powers at the frequencies of each band, in order: (bands, segments, windows)."""
    result = np.zeros((len(edges) - 1, *power.shape[1:]), np.float32)
    for band, (start, end) in enumerate(itertools.pairwise(edges)):
        for k in range(start, end):
            result[band] += power[k - 1]
    return result


def _orders(power: np.ndarray, edges: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Adds up powers, each by the share of its frequency's width that lies in a band.

    Args:
        power: (frequencies, segments, windows) float32.
        edges: in multiples of the shaft's frequency.
        bins: (windows,) float32, that frequency.

    Returns:
        (bands, segments, windows) float32.
    """
    places = edges[:, None] * bins
    result = np.zeros((len(edges) - 1, *power.shape[1:]), np.float32)
    for k in range(1, len(power) + 1):
        middle = np.float32(k)
        share = np.minimum(middle + _HALF, places[1:]) - np.maximum(middle - _HALF, places[:-1])
        share = share[:, None]
        result += np.where(share > 0, power[k - 1] * share, np.float32(0))
    return result


def envelope(x: np.ndarray, how: Demodulation) -> np.ndarray:
    """Returns the envelope of a band, (numbers, windows) float32, in the signal's unit.

    Args:
        x: (samples, windows) float32, finite.
        how: the demodulation.
    """
    x = x - total(x) / np.float32(len(x))
    parts = np.zeros((2, how.count, *x.shape[1:]), np.float32)
    end = (how.count - 1) * how.step + 1
    for n in range(how.taps.shape[1]):
        for part, tap in zip(parts, how.taps[:, n], strict=True):
            part += x[n : n + end : how.step] * tap
    return np.asarray(np.sqrt(parts[0] * parts[0] + parts[1] * parts[1]))

"""How a spectrum is taken of a window, and how a band of it is demodulated: all that is known beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST = 8
"""Points of an FFT, at least."""

_CORNER = 16
"""The last frequency over that up to which bands are of about equal width."""


@dataclass(frozen=True)
class Spectrum:
    """How the energies of bands are found, averaged over segments that overlap by half or more (Welch 1967).

    Attributes:
        points: of a segment.
        starts: where segments start, from the first number to the last.
        hann: whether a segment is weighted by the periodic Hann window, after its mean is taken off.
        edges: (bands + 1,) int, where bands start among the frequencies 1, 2, ..., points / 2 - 1, and the end
            of the last. Or float32, in multiples of the shaft's frequency, where that is tracked.
        scale: what a sum of `fourier.powers` over all segments is multiplied by to be a share of the variance.
        bins: frequencies of the spectrum that a shaft's frequency of 1 Hz is; 0 where none is tracked.
    """

    points: int
    starts: tuple[int, ...]
    hann: bool
    edges: np.ndarray
    scale: np.float32
    bins: np.float32


@dataclass(frozen=True)
class Demodulation:
    """How the envelope of a band of frequencies is found.

    A band-pass of complex coefficients gives the analytic signal of the band, whose size is the envelope. They
    are a Hann window turning at the middle frequency: at the edges of the band it passes half.

    Attributes:
        taps: (2, coefficients) float32, real and imaginary parts.
        step: samples from one number of the envelope to the next.
        count: numbers of the envelope of a window.
    """

    taps: np.ndarray
    step: int
    count: int


def spectrum_of(
    count: int, segment: int, hann: bool, bands: int, *, orders: float = 0.0, per_hertz: float = 0.0
) -> Spectrum:
    """Plans a spectrum.

    Args:
        count: of the numbers that it is taken of.
        segment: points at most.
        hann: as in `Spectrum`.
        bands: how many.
        orders: where they end in multiples of the shaft's frequency; 0 where none is tracked.
        per_hertz: seconds from one number to the next.

    Raises:
        ValueError: there are too few numbers for so many bands.
    """
    points = min(segment, 1 << max(count.bit_length() - 1, 0))
    if points < SMALLEST or bands > points // 2 - 1:
        raise ValueError(
            f"{count} numbers in segments of {segment} points have {max(points // 2 - 1, 0)} frequencies, too"
            f" few for {bands} bands: give fewer bands, or longer windows or segments"
        )
    segments = -(-(count - points) // (points // 2)) + 1
    starts = tuple(i * (count - points) // max(segments - 1, 1) for i in range(segments))
    weights = points * (3 / 8 if hann else 1.0)
    scale = np.float32(1 / (2 * points * weights * segments))
    if orders:
        edges = (orders * _spread(bands)).astype(np.float32)
        return Spectrum(points, starts, hann, edges, scale, np.float32(points * per_hertz))
    whole = _whole(1 + (points // 2 - 1) * _spread(bands))
    return Spectrum(points, starts, hann, whole, scale, np.float32(0))


def _spread(bands: int) -> np.ndarray:
    """Returns edges of bands from 0 to 1: of about equal width at first, then growing, as on the mel scale.

    Low in a spectrum the harmonics of a shaft stand close together, high in it resonances are broad.
    """
    return np.asarray(np.expm1(np.linspace(0, 1, bands + 1) * np.log1p(_CORNER)) / _CORNER)


def _whole(edges: np.ndarray) -> np.ndarray:
    """Rounds edges so that each band has a frequency at least."""
    found: np.ndarray = np.rint(edges).astype(int)
    last = len(found) - 1
    for i in range(1, last):
        found[i] = min(max(found[i], found[i - 1] + 1), found[last] - (last - i))
    return found


def demodulation_of(count: int, rate: float, band: Sequence[float]) -> Demodulation:
    """Plans a demodulation.

    Args:
        count: samples of a window.
        rate: samples a second.
        band: its lowest and its highest frequency, in Hz.

    Raises:
        ValueError: there is no such band.
    """
    low, high = band
    if not 0 < low < high <= rate / 2:
        raise ValueError(
            f"envelope is {low:g} to {high:g} Hz, of {rate:g} samples a second: give a band between 0 and half"
            " of them"
        )
    length = max(round(2 * rate / (high - low)), 4)
    step = length // 4
    found = (count - length) // step + 1
    if found < SMALLEST:
        raise ValueError(
            f"an envelope of a band of {high - low:g} Hz takes {length} samples for a number, and {step} more"
            f" for each other: give a wider band, or windows longer than {count}"
        )
    n = np.arange(length)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (n + 0.5) / length)
    turning = 2 * window / window.sum() * np.exp(-1j * np.pi * (low + high) / rate * n)
    return Demodulation(np.stack([turning.real, turning.imag]).astype(np.float32), step, found)

"""The features of windows, in the arithmetic of the device: float32, each operation rounded, in a stated order.

A broken sample, one that is no finite number or lies outside the range of its sensor, breaks all features of
its channel in each window that holds it, but for `raw`, where it is a feature by itself. Broken features are
NaN, and the rule for missing values (`model.missing`) says what becomes of them. So are features that are too
large for float32, and bands in multiples of a shaft's frequency where it stands still.
"""

from collections.abc import Callable, Iterator

import numpy as np

from fedmetaalign.signals.moments import NAMES, statistics
from fedmetaalign.signals.spectra import band_energies, envelope
from fedmetaalign.signals.sums import serial
from fedmetaalign.signals.window import Signal

_AT_ONCE = 1 << 16  # numbers of a channel: they fit into a cache
_NAN = np.float32(np.nan)
_FASTEST = np.float32(1e9)  # turns of a shaft a second


def names(signal: Signal) -> tuple[str, ...]:
    """Returns the names of the features, in order: by front end, channel, and within it.

    The samples of `raw` come in order of time, and of a time by channel.
    """
    found: list[str] = []
    for front in signal.front:
        if front == "raw":
            width = len(str(signal.length - 1))
            found += [f"{name}.{t:0{width}}" for t in range(signal.length) for name in signal.channels]
        else:
            found += [f"{name}.{part}" for name in signal.channels for part in _parts(signal, front)]
    return (*found, f"{signal.speed}.mean") if signal.speed else tuple(found)


def raw_of(signal: Signal) -> tuple[int, int]:
    """Returns the places of the first and of the last feature that is a sample of `raw`; it has to be there."""
    channels, start = len(signal.channels), 0
    for front in signal.front[: signal.front.index("raw")]:
        start += channels * len(_parts(signal, front))
    return start, start + signal.length * channels - 1


def shared(signal: Signal) -> np.ndarray:
    """Returns with which feature each shares its mean and scale, (features,), the first of those that do.

    They are the samples of a channel in `raw`; all others are alone.
    """
    numbers = np.arange(len(names(signal)))
    if "raw" in signal.front:
        first, last = raw_of(signal)
        numbers[first : last + 1] = first + np.arange(last + 1 - first) % len(signal.channels)
    return numbers


def features(signal: Signal, windows: np.ndarray) -> np.ndarray:
    """Returns the features of windows.

    Args:
        signal: what they are.
        windows: (windows, length, columns), NaN or infinite perhaps.

    Returns:
        (windows, features) float32; NaN where samples are broken.

    Raises:
        ValueError: the windows have another shape.
    """
    if windows.ndim != 3 or windows.shape[1:] != (signal.length, len(signal.columns)):
        raise ValueError(
            f"the windows have shape {windows.shape}, but each has to have {signal.length} samples of"
            f" {', '.join(signal.columns)}"
        )
    result = np.empty((len(windows), len(names(signal))), np.float32)
    step = max(1, _AT_ONCE // signal.length)
    for start in range(0, len(windows), step):
        part = slice(start, start + step)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, and broken
            result[part] = np.concatenate([*_features(signal, windows[part].astype(np.float32))], axis=1)
    result[~np.isfinite(result)] = _NAN
    return result


def _features(signal: Signal, windows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields (windows, some features) by front end and channel, and then the speed."""
    low, high = signal.limits()
    broken = np.asarray(~((windows >= low) & (windows <= high)))
    lost = np.asarray(broken.any(axis=1))
    channels = range(len(signal.channels))
    good = [np.ascontiguousarray(np.where(lost[:, c], 0, windows[:, :, c].T), np.float32) for c in channels]
    shaft, still = None, np.zeros(len(windows), bool)
    if signal.speed:
        speed = serial(windows[:, -signal.speeds :, -1].T) / np.float32(signal.speeds)
        shaft = speed * np.float32(signal.turns)
        still = ~((shaft > 0) & (shaft <= _FASTEST)) | broken[:, -signal.speeds :, -1].any(axis=1)
        shaft = np.where(still, np.float32(1), shaft)
    for front in signal.front:
        if front == "raw":
            whole = np.where(broken, _NAN, windows)
            yield whole[:, :, : len(channels)].reshape(len(windows), -1)
            continue
        for c in channels:
            no = lost[:, c] | still if front in ("bands", "envelope") else lost[:, c]
            yield np.where(no[:, None], _NAN, _COMPUTE[front](signal, good[c], shaft).T)
    if signal.speed:
        yield np.where(still, _NAN, speed)[:, None]


def _bands(signal: Signal, x: np.ndarray, shaft: np.ndarray | None) -> np.ndarray:
    return band_energies(x, signal.spectrum, shaft)


def _envelope(signal: Signal, x: np.ndarray, shaft: np.ndarray | None) -> np.ndarray:
    return band_energies(envelope(x, signal.demodulation), signal.envelope_spectrum, shaft)


_COMPUTE: dict[str, Callable[[Signal, np.ndarray, np.ndarray | None], np.ndarray]] = {
    "statistics": lambda signal, x, shaft: statistics(x),
    "bands": _bands,
    "envelope": _envelope,
}


def _parts(signal: Signal, front: str) -> list[str]:
    """Returns the ends of the names of a channel's features."""
    if front == "statistics":
        return [*NAMES]
    word = {"bands": "band", "envelope": "envelope"}[front]
    width = len(str(signal.bands - 1))
    return [f"{word}_{i:0{width}}" for i in range(signal.bands)]

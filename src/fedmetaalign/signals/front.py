"""The features of windows, in the arithmetic of the device: float32, each operation rounded, in a stated order.

A broken sample, one that is no finite number or lies outside the range of its sensor, breaks all features of
its channel in each window that holds it, but for `raw`, where it is a feature by itself. Broken features are
NaN, and the rule for missing values (`model.missing`) says what becomes of them.
"""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.signals import moments
from fedmetaalign.signals.window import Signal

_AT_ONCE = 1 << 18  # numbers of a channel: they fit into a cache


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
    return tuple(found)


def shared(signal: Signal) -> np.ndarray:
    """Returns which features share one mean and scale, (features,): those of equal numbers.

    They are the samples of a channel in `raw`; all others have numbers of their own.
    """
    channels, count = len(signal.channels), len(names(signal))
    numbers = np.arange(count)
    start = 0
    for front in signal.front:
        if front == "raw":
            end = start + signal.length * channels
            numbers[start:end] = start + np.arange(end - start) % channels
            break
        start += channels * len(_parts(signal, front))
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
    return result


def _features(signal: Signal, windows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields (windows, some features) by front end and channel."""
    low, high = signal.limits()
    broken = np.asarray(~((windows >= low) & (windows <= high)))
    lost = np.asarray(broken.any(axis=1))
    channels = range(len(signal.channels))
    good = [np.ascontiguousarray(np.where(lost[:, c], 0, windows[:, :, c].T), np.float32) for c in channels]
    for front in signal.front:
        if front == "raw":
            whole = np.where(broken, np.float32(np.nan), windows)
            yield whole[:, :, : len(channels)].reshape(len(windows), -1)
            continue
        for c in channels:
            yield np.where(lost[:, c, None], np.float32(np.nan), moments.statistics(good[c]).T)


def _parts(signal: Signal, front: str) -> tuple[str, ...]:
    """Returns the ends of the names of a channel's features."""
    if front == "statistics":
        return moments.NAMES
    raise ValueError(f"the front end {front} is not there yet")

"""What a front end makes of windows, as columns of a table."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window
from fedmetaalign.signals import front
from fedmetaalign.signals.window import Signal

_AT_ONCE = 1 << 22  # numbers that are gathered from overlapping windows


@dataclass(frozen=True)
class Features:
    """Features of windows.

    Attributes:
        names: of each.
        units: of each, "" where it is not that of its channel.
        values: (windows, features) float64, all of which are float32.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray


def signal_of(table: Table, window: Window, missing: Missing, rate: float, length: int | None = None) -> Signal:
    """Returns what a device has to know to make features of its samples.

    Args:
        table: its features are the channels, and then the column of the speed.
        window: the recipe's section.
        missing: has the ranges of the sensors.
        rate: samples a second, 0 where it is unknown.
        length: of a window, in the wide form.

    Raises:
        DataError: the parts do not fit together.
    """
    channels = tuple(name for name in table.features if name != window.speed)
    if not rate and ("envelope" in window.front or window.speed is not None):
        raise DataError(
            f"Device {table.name}: nothing tells its sampling rate, which its front end needs: name"
            " fleet.window.rate, or a column of time."
        )
    ranges = {name: ends for name, ends in missing.ranges.items() if name in table.features}
    try:
        return window.signal(channels, rate, ranges, length)
    except ValueError as error:
        raise DataError(f"Device {table.name}: fleet.window cannot be used: {error}.") from None


def featured(signal: Signal, table: Table, spans: np.ndarray) -> Features:
    """Makes the features of windows of a device's samples.

    Args:
        signal: how.
        table: the samples, with the columns of `signal`.
        spans: (windows, 2) int64, of each window the first sample and the one after the last.
    """
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(table.x, np.float32)
    every = np.lib.stride_tricks.sliding_window_view(x, signal.length, axis=0).transpose(0, 2, 1)
    return made(signal, table.units, lambda part: every[spans[part, 0]], len(spans))


def made(signal: Signal, units: tuple[str, ...], windows: object, count: int) -> Features:
    """Makes the features of windows, some at a time.

    Args:
        signal: how.
        units: of its columns.
        windows: returns those of a slice, (windows, length, columns) float32.
        count: of all windows.
    """
    names = front.names(signal)
    values = np.empty((count, len(names)))
    step = max(1, _AT_ONCE // (signal.length * len(signal.columns)))
    for start in range(0, count, step):
        part = slice(start, start + step)
        values[part] = front.features(signal, windows(part))  # type: ignore[operator]
    raw = {f"{name}.": unit for name, unit in zip(signal.columns, units, strict=True) if unit}
    ends = [(name.rpartition(".")[0] + ".", name.rpartition(".")[2]) for name in names]
    return Features(names, tuple(raw.get(own, "") if end.isdigit() else "" for own, end in ends), values)

"""A bundle's golden windows: samples of a signal whose features are promised, as windows.csv has them.

They are made up, so that no sample of a device leaves it. Their features are the last rows of golden.csv.
"""

import csv
import io
from pathlib import Path

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.signals import Signal

NAME = "windows.csv"
"""Of the file in a bundle."""

_MOST = 4
_SAMPLES = 8192  # values of all windows together, if one window has fewer: they fit into any flash
_GRID = 128  # values are whole multiples of its inverse: short texts


def made(signal: Signal) -> np.ndarray:
    """Returns golden windows, (windows, length, columns) float32.

    The first has all of a machine's sounds; in the second the first channel has a broken sample; one that is
    struck, and one that stands still, follow where they are not too long.
    """
    columns, channels = len(signal.columns), len(signal.channels)
    count = max(1, min(_MOST, _SAMPLES // (signal.length * columns)))
    random = np.random.default_rng(0)
    t = np.arange(signal.length)[:, None]
    shape = (signal.length, channels)
    noise, phase = random.normal(0, 0.3, (_MOST, *shape)), random.uniform(0, 6, channels)
    tones = np.sin(0.11 * t + phase) + 0.4 * np.sin(1.3 * t + phase)
    struck = 2 * np.exp(-(t % 37) / 9) * np.sin(1.8 * t + phase)
    sounds = np.stack([noise[0] + tones + struck + 1, noise[1] + tones, noise[2] + struck, 0 * noise[3] + 0.5])
    windows = np.zeros((count, signal.length, columns), np.float32)
    windows[:, :, :channels] = np.rint(sounds[:count] * _GRID) / _GRID
    if count > 1:
        windows[1, signal.length // 3, 0] = np.nan
    if signal.speed:
        windows[:, :, -1] = np.rint(5 * signal.rate / signal.segment / signal.turns)
    return windows


def text(signal: Signal, windows: np.ndarray) -> str:
    """Returns windows.csv: a row a sample, with the number of its window, and its values."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["window", *signal.columns])
    for number, window in enumerate(windows.astype(np.float64)):
        table.writerows([number, *map(repr, row)] for row in window.tolist())
    return out.getvalue()


def read(path: Path, signal: Signal) -> np.ndarray:
    """Reads windows.csv: (windows, length, columns) float32.

    Raises:
        BundleError: it holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        values = np.array(rows, np.float64)
        count = len(values) // signal.length
        numbers = np.repeat(np.arange(count), signal.length)
        if header != ["window", *signal.columns] or not count or not np.array_equal(values[:, 0], numbers):
            raise ValueError("its rows are not whole windows of the bundle's signal")
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy the bundle again.") from None
    return values[:, 1:].reshape(count, signal.length, -1).astype(np.float32)

"""What the simulators of signals share: recordings of so many windows, and how a structure rings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import both_classes, names

WINDOWS_PER_RECORDING = 8
"""Windows of a simulator's default length and stride in a recording; the last one may hold fewer."""


@dataclass(frozen=True)
class Recording:
    """What one recording is to be.

    Attributes:
        kind: its condition, "normal" or a fault.
        rows: how many samples of the signal.
    """

    kind: str
    rows: int


def recordings(
    samples: int, window: Mapping[str, Any], faults: float, mix: Mapping[str, float], rng: np.random.Generator
) -> Iterator[Recording]:
    """Yields the recordings of a device, in random order, that give `samples` windows in all.

    Args:
        samples: windows, at least 1.
        window: the simulator's default window; `length` and `stride` count here.
        faults: share of recordings with a fault; from two recordings on there is one of either kind.
        mix: by fault its share among the faults.
        rng: the device's stream.
    """
    counts = np.full(-(-samples // WINDOWS_PER_RECORDING), WINDOWS_PER_RECORDING)
    counts[-1] = samples - (len(counts) - 1) * WINDOWS_PER_RECORDING
    faulty = both_classes(faults, len(counts))
    drawn = rng.choice(list(mix), faulty, p=list(mix.values()))
    kinds = ["normal"] * (len(counts) - faulty) + [str(kind) for kind in drawn]
    for turn, count in zip(rng.permutation(len(counts)), counts, strict=True):
        yield Recording(kinds[turn], window["length"] + (int(count) - 1) * window["stride"])


def table(
    name: str,
    channels: Mapping[str, str],
    signals: Sequence[np.ndarray],
    kinds: Sequence[np.ndarray],
) -> Table:
    """Returns the table of a device's samples, recording after recording, each in time order.

    Args:
        name: the device's.
        channels: by name of the channel its unit.
        signals: of each recording (rows, channels) float64.
        kinds: of each recording its samples' kinds, (rows,) str.
    """
    rows = [len(signal) for signal in signals]
    kind = np.concatenate(kinds)
    return Table(
        name,
        features=tuple(channels),
        x=np.concatenate(signals),
        y=(kind != "normal").astype(np.int8),
        units=tuple(channels.values()),
        kinds=kind,
        groups=np.repeat(names("recording", np.arange(len(rows))), rows),
    )


def ringing(
    times: np.ndarray, amplitudes: np.ndarray, mode: tuple[float, float], rate: float, rows: int
) -> np.ndarray:
    """Returns how a mode of vibration answers to impacts: each adds A exp(-zeta w t) sin(w t) from its time on.

    Args:
        times: (impacts,) s, any in between two samples; those outside of the recording are left out.
        amplitudes: (impacts,) A.
        mode: natural frequency in Hz, w / (2 pi), and damping ratio zeta.
        rate: samples a second.
        rows: samples of the recording.

    Returns:
        (rows,) float64.
    """
    pole = (-mode[1] + 1j) * 2 * np.pi * mode[0] / rate
    first = np.ceil(times * rate).astype(np.int64)
    inside = (first >= 0) & (first < rows)
    first, late = first[inside], first[inside] - times[inside] * rate
    driven = np.zeros(rows, complex)
    np.add.at(driven, first, amplitudes[inside] * np.exp(pole * late))
    from scipy.signal import lfilter  # half a second, which every start would wait for

    answer: np.ndarray = lfilter([1.0], [1.0, -np.exp(pole)], driven).imag
    return answer


def resonant_noise(
    level: float, mode: tuple[float, float], rate: float, rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns noise that a mode of vibration colours, (rows,) float64.

    Args:
        level: root mean square.
        mode: natural frequency in Hz and damping ratio.
        rate: samples a second.
        rows: samples of the recording.
        rng: the device's stream.
    """
    pole = np.exp((-mode[1] + 1j) * 2 * np.pi * mode[0] / rate)
    # Begun as if it had always been ringing; |pole|^2 is what is left of its power a sample later.
    power = 1 / (1 - abs(pole) ** 2)
    white = rng.normal(size=rows) + 1j * rng.normal(size=rows)
    white[0] *= np.sqrt(power)
    from scipy.signal import lfilter

    coloured: np.ndarray = lfilter([1.0], [1.0, -pole], white).real * level / np.sqrt(power)
    return coloured

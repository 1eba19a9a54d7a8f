"""Sampled three-phase waveforms of a feeder in which a short circuit begins: currents and voltages at 3.2 kHz.

The feeder, its eleven shunt faults and their DC offset are those of `feeder`, where the equations and sources
stand: nodal equations in the phase domain before and after, and in between

    i(t) = i_after(t) + (i_before(t0) - i_after(t0)) exp(-(t - t0) R/L)

from the inception t0 on. A recording is an event as a disturbance recorder keeps it: cycles before it, then the
fault until the breaker opens. An event without a fault is quiet, or a motor starts, or a fault elsewhere lets
the voltage sag; what follows is normal. The voltage at a fault jumps, and the network's capacitance makes it
ring: a burst at 600 to 1,400 Hz that dies away within a few milliseconds.

Sources besides those of `feeder`: IEEE C37.111 (COMTRADE) for what a record holds; J. L. Blackburn, T. J.
Domin, "Protective Relaying" (2014), chapters 4 and 7; M. H. J. Bollen, "Understanding Power Quality Problems"
(2000), chapters 4 and 5, sags and starting motors; IEEE 1159 for the frequencies of medium transients. The
bursts' levels are ours.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators import feeder
from fedmetaalign.fleet.simulators._devices import device_streams
from fedmetaalign.fleet.simulators._signals import recordings, table
from fedmetaalign.recipe.simulated import WINDOWS

WINDOW = WINDOWS["waveform"]
RATE: float = WINDOW["rate"]
CHANNELS = dict(zip(feeder.FEATURES, feeder.UNITS, strict=True))


@dataclass(frozen=True)
class Burst:
    """What the voltage rings like after an inception: frequency, Hz; time constant, s; share of the jump."""

    frequency: float
    decay: float
    share: float


def event(
    grid: feeder.Feeder, kind: str, begin: float, rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one recording and which of its samples are of its kind: (rows, 6) float64 and (rows,) bool.

    Args:
        grid: the feeder.
        kind: "normal" or one of `feeder.FAULTS`.
        begin: when something happens, s from the beginning of the recording.
        rows: samples of the recording.
        rng: the device's stream.
    """
    start = rng.uniform(0, 0.02)
    times = start + np.arange(rows) / RATE
    inception = start + begin
    emf = feeder.balanced(feeder.PHASE_VOLTS * rng.uniform(0.96, 1.05))
    load = grid.load / rng.uniform(0.3, 1.1) * grid.unbalance * np.exp(1j * np.arccos(rng.uniform(0.82, 0.98)))
    before = feeder.solve(grid.network, emf, load, None)
    change = feeder.changed(grid, kind, emf, load, rng)
    decay = change.decay if change.decay is not None else _settling(grid, change.load)
    burst = Burst(rng.uniform(600, 1400), rng.uniform(0.0005, 0.002), rng.uniform(0.2, 1.0))
    late = times >= inception
    current, voltage = feeder.instant(before.current, times), feeder.instant(before.voltage, times)
    after = feeder.waveforms(grid.network, before, change.after, decay, inception, times[late])
    current[late] = after[0]
    voltage[late] = after[1] + rung(burst, before, change.after, inception, times[late])
    return feeder.measured(grid, current, voltage, before, times, rng), late


def rung(
    burst: Burst, before: feeder.Phasors, after: feeder.Phasors, inception: float, times: np.ndarray
) -> np.ndarray:
    """Returns what the network's capacitance adds to the voltages after a jump, (n, 3) V.

    Args:
        burst: what it rings like.
        before: phasors without the event.
        after: phasors with it.
        inception: when it begins, s.
        times: (n,) s, none before `inception`.
    """
    jump = feeder.instant(before.voltage - after.voltage, np.array([inception]))
    age = (times - inception)[:, None]
    wave: np.ndarray = burst.share * jump * np.exp(-age / burst.decay)
    return wave * np.cos(2 * np.pi * burst.frequency * age)


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of 11 kV, 50 Hz feeders whose disturbance recorders sample six channels.

    Feeders differ as those of `feeder`, above all in which faults they see (Dirichlet, alpha 0.3). An event
    begins two to four cycles after its recording, which ends nine cycles after its own begin.

    Args:
        devices: how many feeders.
        samples: windows of each, of two cycles every cycle; eight come from one event.
        seed: the recipe's seed.

    Returns:
        One table a feeder, a row a sample of the signals; `kinds` are fault types from the inception on,
        `groups` events.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [_device(name, samples, rng) for name, rng in device_streams("waveform", devices, samples, seed)]


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    grid = feeder.draw(rng)
    mix = dict(zip(feeder.FAULTS, grid.mix.tolist(), strict=True))
    signals, kinds = [], []
    # Two events of three are faults: their first cycles are normal, and so are all of the others.
    for recording in recordings(samples, WINDOW, min(1.5 * grid.faults, 0.8), mix, rng):
        begin = rng.uniform(0.04, 0.08) * recording.rows / (9 * 64)
        x, late = event(grid, recording.kind, begin, recording.rows, rng)
        signals.append(x)
        kinds.append(np.where(late, recording.kind, "normal"))
    return table(name, CHANNELS, signals, kinds)


def _settling(grid: feeder.Feeder, load: np.ndarray) -> float:
    """Returns L / R of the whole feeder with its load, s: how a current without a fault settles."""
    loop = grid.network.source[0] + grid.network.line[0] + load.mean()
    return float(loop.imag / (feeder.OMEGA * loop.real))

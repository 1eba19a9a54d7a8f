"""The stator current of induction motors: what a clamp tells of the rotor, the gap, the bearing.

A motor of p pole pairs on a supply of frequency f turns (1 - s) f / p times a second, with a slip s that
grows with the load. Faults modulate its current and put lines beside the supply's:

    broken rotor bars         (1 +- 2 k s) f            n of N bars: both first sidebands are n/N of the current
    eccentricity              (1 +- k (1 - s) / p) f    the gap, and with it the flux, turns with the rotor
    bearing                   |f +- k f_o|              f_o the outer race's BPFO: each passage moves the rotor

Broken bars modulate the phase, too: the current that they cause raises the lower sideband, and the ripple of
the speed that follows splits it in two; the heavier the load's inertia, the more alike they are. Normal motors
have harmonics (5 f; a filter before the converter takes what is above), a little eccentricity, and some drive
loads that swing by themselves at a few hertz, such as compressors, which look like broken bars.

Sources: W. T. Thomson, M. Fenger, "Current signature analysis to detect induction motor faults", IEEE Industry
Applications Magazine 7 (2001); A. Bellini et al., "Quantitative evaluation of induction motor broken bars by
means of electrical signature analysis", IEEE Trans. Ind. Appl. 37 (2001), the sidebands' sum; M. E. H.
Benbouzid, "A review of induction motors signature analysis as a medium for faults detection", IEEE Trans. Ind.
Electron. 47 (2000); R. R. Schoen et al., "Motor bearing damage detection using stator current monitoring", IEEE
Trans. Ind. Appl. 31 (1995). Levels of eccentricity and bearing damage, and all spreads, are ours.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import device_streams
from fedmetaalign.fleet.simulators._signals import recordings, table
from fedmetaalign.fleet.simulators.vibration import Bearing
from fedmetaalign.recipe.simulated import WINDOWS

WINDOW = WINDOWS["motor_current"]
RATE: float = WINDOW["rate"]
CHANNELS = {"current": "A"}
FAULTS = ("broken bar", "eccentricity", "bearing")
SUPPLY = 50.0
"""Frequency of the supply, Hz."""
PASSED = 253.0
"""What the filter before the converter lets pass, Hz: the supply's 5th harmonic, too."""


@dataclass(frozen=True)
class Motor:
    """What distinguishes one device.

    Attributes:
        pairs: of poles, p.
        bars: of the rotor, N.
        slip: at full load.
        full_load: current, A rms.
        idle: magnetising current relative to it, in quadrature with that of the load.
        bearing: at its drive end.
        harmonic: the 5th, relative to full load.
        gap: eccentricity that it was built with: amplitude of the sidebands, relative to the current.
        swings: share of its recordings in which the load swings.
        inertia: share of the broken bars' sidebands that is above f.
        noise: relative to full load, rms.
        faults: share of its recordings that have a fault.
        mix: by fault its share among them.
    """

    pairs: int
    bars: int
    slip: float
    full_load: float
    idle: float
    bearing: Bearing
    harmonic: float
    gap: float
    swings: float
    inertia: float
    noise: float
    faults: float
    mix: dict[str, float]


@dataclass(frozen=True)
class Condition:
    """How a motor runs during one recording.

    Attributes:
        kind: "normal" or one of `FAULTS`.
        load: relative to full load.
        severity: broken bars; or the amplitude of a sideband relative to the current.
        supply: the grid's frequency at the moment, Hz.
        swing: frequency in Hz and depth of the load's own swinging; 0 where it is steady.
    """

    kind: str
    load: float
    severity: float = 0.0
    supply: float = SUPPLY
    swing: tuple[float, float] = (0.0, 0.0)


def sidebands(motor: Motor, condition: Condition) -> list[tuple[float, float]]:
    """Returns the lines beside the supply's: frequency in Hz, amplitude relative to the current's.

    Those that the filter before the converter takes are left out.
    """
    f, slip = condition.supply, motor.slip * condition.load
    turn = (1 - slip) * f / motor.pairs
    gap = motor.gap
    lines = []
    if condition.kind == "broken bar":
        both = condition.severity / motor.bars
        lines += [(f * (1 - 2 * slip), both * (1 - motor.inertia)), (f * (1 + 2 * slip), both * motor.inertia)]
        # Each further pair is the modulation of the one before by the same bars.
        lines += [(f * (1 - 4 * slip), both**2), (f * (1 + 4 * slip), both**2)]
    elif condition.kind == "eccentricity":
        gap += condition.severity
    elif condition.kind == "bearing":
        passing = motor.bearing.orders["outer"] * turn
        lines += [(abs(f + sign * k * passing), condition.severity / k) for k in (1, 2) for sign in (-1, 1)]
    lines += [(abs(f + sign * turn), gap) for sign in (-1, 1)]
    return [line for line in lines if line[0] < PASSED]


def signal(motor: Motor, condition: Condition, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Returns one recording, (rows, 1) float64 A."""
    time = np.arange(rows) / RATE
    # Load current in phase, magnetising current in quadrature: the amplitude hardly falls below a third.
    load, idle = condition.load * np.sqrt(1 - motor.idle**2), motor.idle
    pace, depth = condition.swing
    swing = 1 + depth * np.sin(2 * np.pi * pace * time + rng.uniform(0, 2 * np.pi))
    wander = 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(0.05, 0.3) * time + rng.uniform(0, 2 * np.pi))
    begin = rng.uniform(0, 2 * np.pi)
    angle = 2 * np.pi * condition.supply * time + begin
    x = load * swing * wander * np.cos(angle) + idle * np.sin(angle)
    level = np.hypot(load, idle)
    for frequency, amplitude in sidebands(motor, condition):
        x += level * amplitude * np.cos(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi))
    x += motor.harmonic * np.cos(5 * angle + rng.uniform(0, 2 * np.pi))
    x += motor.noise * rng.normal(size=rows)
    current: np.ndarray = np.sqrt(2) * motor.full_load * x[:, None]
    return current


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of induction motors, each with one current transformer.

    Motors differ in poles, bars, slip, size, bearing, how well they were built, in how much their loads swing
    and, above all, in which faults they meet (Dirichlet, alpha 0.4). Recordings of a motor differ in load (30
    to 100 %), the grid's frequency, and how bad a fault is.

    Args:
        devices: how many motors.
        samples: windows of each, of 1,024 points every 512; eight come from one recording.
        seed: the recipe's seed.

    Returns:
        One table a motor, a row a sample of the signal; `kinds` are "normal" and faults, `groups` recordings.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [
        _device(name, samples, rng) for name, rng in device_streams("motor_current", devices, samples, seed)
    ]


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    motor = _draw(rng)
    signals, kinds = [], []
    for recording in recordings(samples, WINDOW, motor.faults, motor.mix, rng):
        signals.append(signal(motor, _condition(motor, recording.kind, rng), recording.rows, rng))
        kinds.append(np.full(recording.rows, recording.kind))
    return table(name, CHANNELS, signals, kinds)


def _draw(rng: np.random.Generator) -> Motor:
    return Motor(
        pairs=int(rng.integers(1, 4)),
        bars=int(rng.integers(26, 46)),
        slip=rng.uniform(0.015, 0.05),
        full_load=np.exp(rng.uniform(np.log(5), np.log(60))),
        idle=rng.uniform(0.3, 0.45),
        bearing=Bearing(int(rng.integers(7, 10)), rng.uniform(0.17, 0.25)),
        harmonic=rng.uniform(0.005, 0.03),
        gap=np.exp(rng.uniform(np.log(0.001), np.log(0.006))),
        swings=rng.uniform(0, 0.5),
        inertia=rng.uniform(0.2, 0.5),
        noise=np.exp(rng.uniform(np.log(0.003), np.log(0.02))),
        faults=rng.uniform(0.45, 0.65),
        mix=dict(zip(FAULTS, rng.dirichlet(np.full(len(FAULTS), 0.4)).tolist(), strict=True)),
    )


def _condition(motor: Motor, kind: str, rng: np.random.Generator) -> Condition:
    swings = rng.random() < motor.swings
    side = np.exp(rng.uniform(np.log(0.008), np.log(0.04)))
    return Condition(
        kind,
        load=rng.uniform(0.3, 1.0),
        severity=float(rng.integers(1, 4)) if kind == "broken bar" else side,
        supply=SUPPLY + rng.normal(0, 0.03),
        swing=(rng.uniform(0.6, 12.0), rng.uniform(0.01, 0.08)) if swings else (0.0, 0.0),
    )

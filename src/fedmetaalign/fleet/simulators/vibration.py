"""The vibration of rotating machines whose bearings are pitted: an accelerometer's signal at 12 kHz.

A rolling bearing of n elements of diameter d on a pitch circle D with contact angle phi, in a machine that
turns f times a second, passes a pit on a race or on an element at (with r = d/D cos phi)

    outer race  BPFO = n/2 f (1 - r)          cage  FTF = f/2 (1 - r)
    inner race  BPFI = n/2 f (1 + r)          ball  BSF = D/(2 d) f (1 - r^2), hitting both races: twice a turn

Each passage is an impact that lets a mode of the structure ring:

    x(t) = sum_i A_i exp(-zeta w (t - t_i)) sin(w (t - t_i)) + tones + noise

The t_i are not periodic, since elements slip: each interval varies by a percent or so, and the variations add
up. The A_i follow the load of the place where it happens (Stribeck's load zone): constant for the outer race,
which stands still; once a turn for the inner race; once a turn of the cage for a ball. So the envelope's
spectrum has lines at BPFO; at BPFI with sidebands at f; at 2 BSF with sidebands at FTF, and at FTF itself.
Unbalance adds to the velocity at f, misalignment to that at 2 f and 3 f, which grows with the load.

Normal machines are not silent: the structure colours the noise of rolling, a pump's blades or a gear's teeth
hum at a multiple of f, and some processes knock at random, which looks like a fault to kurtosis alone.

Sources: P. D. McFadden, J. D. Smith, "Model for the vibration produced by a single point defect in a rolling
element bearing", J. Sound Vib. 96 (1984); R. B. Randall, J. Antoni, "Rolling element bearing diagnostics - A
tutorial", MSSP 25 (2011), the frequencies, section 2.1, slip, 2.2, and the envelope; T. A. Harris, "Rolling
Bearing Analysis" (2001), chapter 7, the load zone; ISO 21940-11 and ISO 20816-3 for velocities at f. Levels and
their spread are ours, of the order that these standards and Case Western Reserve's recordings have.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import device_streams
from fedmetaalign.fleet.simulators._signals import recordings, resonant_noise, ringing, table
from fedmetaalign.recipe.simulated import WINDOWS

WINDOW = WINDOWS["vibration"]
RATE: float = WINDOW["rate"]
CHANNELS = {"acceleration": "m/s^2", "speed": "rpm"}
FAULTS = ("outer", "inner", "ball", "unbalance", "misalignment")
NOMINAL = 25.0
"""Shaft speed at which levels are given, Hz."""


@dataclass(frozen=True)
class Bearing:
    """A rolling bearing.

    Attributes:
        elements: balls or rollers.
        ratio: their diameter over that of the pitch circle, d/D.
        contact: contact angle, rad.
    """

    elements: int
    ratio: float
    contact: float = 0.0

    @property
    def orders(self) -> dict[str, float]:
        """How often in a turn of the shaft a pit of either race is passed, the cage and a ball turn."""
        r = self.ratio * np.cos(self.contact)
        return {
            "outer": self.elements / 2 * (1 - r),
            "inner": self.elements / 2 * (1 + r),
            "cage": (1 - r) / 2,
            "ball": (1 - r**2) / (2 * self.ratio),
        }


@dataclass(frozen=True)
class Machine:
    """What distinguishes one device.

    Attributes:
        bearing: at its drive end.
        speed: mean of its shaft's speed, Hz.
        mode: natural frequency of what the sensor sits on, Hz, and its damping ratio.
        extent: of the load zone, Stribeck's epsilon: 0.5 for half of the bearing.
        rolling: level of the noise of rolling at `NOMINAL` speed and full load, m/s^2 rms.
        sensor: level of the sensor's noise, m/s^2 rms.
        gain: of the sensor.
        hum: multiple of the speed at which it hums, and how loudly, m/s^2.
        knocks: share of its recordings in which its process knocks.
        faults: share of its recordings that have a fault.
        mix: by fault its share among them.
    """

    bearing: Bearing
    speed: float
    mode: tuple[float, float]
    extent: float
    rolling: float
    sensor: float
    gain: float
    hum: tuple[int, float]
    knocks: float
    faults: float
    mix: dict[str, float]


@dataclass(frozen=True)
class Condition:
    """How a machine runs during one recording.

    Attributes:
        kind: "normal" or one of `FAULTS`.
        speed: mean shaft speed, Hz.
        load: relative to full load.
        severity: of a pit: peak acceleration of an impact at `NOMINAL` speed and full load, m/s^2; of unbalance
            or misalignment: velocity, mm/s.
        slip: standard deviation of the interval between two impacts, relative.
        balance: velocity at f that balancing leaves at `NOMINAL` speed, mm/s.
        knocking: the process knocks.
    """

    kind: str
    speed: float
    load: float
    severity: float = 0.0
    slip: float = 0.0
    balance: float = 0.0
    knocking: bool = False


def load_zone(angle: np.ndarray, extent: float) -> np.ndarray:
    """Returns the load at an angle from the direction of the force, relative to the largest (Stribeck).

    (1 - (1 - cos angle) / (2 extent))^1.5, and 0 where that is not positive
    """
    load: np.ndarray = np.maximum(1 - (1 - np.cos(angle)) / (2 * extent), 0) ** 1.5
    return load


def impacts(
    kind: str, bearing: Bearing, turns: float, slip: float, extent: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns when a pit is passed, in turns of the shaft, and how hard: two (impacts,) float64.

    Args:
        kind: "outer", "inner" or "ball".
        bearing: its geometry.
        turns: how many turns to cover.
        slip: standard deviation of an interval, relative to it.
        extent: of the load zone.
        rng: the device's stream.
    """
    orders = bearing.orders
    order = 2 * orders["ball"] if kind == "ball" else orders[kind]
    intervals = (1 + slip * rng.normal(size=int(1.2 * turns * order) + 4)) / order
    when = np.cumsum(intervals) - rng.uniform(1, 2) / order
    begin = rng.uniform(0, 2 * np.pi)
    if kind == "outer":
        hard = np.ones(len(when))  # it stands still, where wear begins: in the middle of the load zone
    elif kind == "inner":
        hard = load_zone(2 * np.pi * when + begin, extent)
    else:
        hard = load_zone(2 * np.pi * orders["cage"] * when + begin, extent)
        hard[::2] *= 0.6  # on the inner race, which is farther from the sensor
    return when, hard


def signal(machine: Machine, condition: Condition, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Returns one recording, (rows, 2) float64: `CHANNELS`."""
    time = np.arange(rows) / RATE
    # A drive holds its speed within half a percent or so, slowly wandering.
    wander = 0.004 * np.sin(2 * np.pi * rng.uniform(0.3, 1.5) * time + rng.uniform(0, 2 * np.pi))
    speed = condition.speed * (1 + wander)
    turn = np.concatenate([[0.0], np.cumsum(speed[:-1])]) / RATE
    relative = condition.speed / NOMINAL
    x = tones(machine, condition, turn, rng)
    rolling = machine.rolling * relative * (0.6 + 0.4 * condition.load)
    x += resonant_noise(rolling, machine.mode, RATE, rows, rng)
    if condition.kind in ("outer", "inner", "ball"):
        when, hard = impacts(condition.kind, machine.bearing, turn[-1], condition.slip, machine.extent, rng)
        hard = hard * condition.severity * (0.3 + 0.7 * condition.load) * relative**1.5
        hard *= np.exp(0.15 * rng.normal(size=len(hard)))
        # Beyond both ends the shaft turns on at its mean speed.
        at = (
            np.interp(when, turn, time)
            + (np.minimum(when, 0) + np.maximum(when - turn[-1], 0)) / condition.speed
        )
        x += ringing(at, hard, machine.mode, RATE, rows)
    if condition.knocking:
        count = rng.poisson(rng.uniform(10, 60) * rows / RATE)
        hard = rng.exponential(rng.uniform(3, 8), count)
        x += ringing(rng.uniform(0, rows / RATE, count), hard, machine.mode, RATE, rows)
    x = machine.gain * x + machine.sensor * rng.normal(size=rows)
    return np.column_stack([x, 60 * speed])


def tones(machine: Machine, condition: Condition, turn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns what follows the shaft, (rows,) float64 m/s^2: unbalance, misalignment, the machine's hum.

    Args:
        machine: the device.
        condition: how it runs.
        turn: (rows,) turns of the shaft so far.
        rng: the device's stream, for phases.
    """
    relative = condition.speed / NOMINAL
    first, second, third = condition.balance, 0.3 * condition.balance, 0.1 * condition.balance
    if condition.kind == "unbalance":
        first += condition.severity
    elif condition.kind == "misalignment":
        loaded = 0.4 + 0.6 * condition.load
        first, second, third = (
            first + 0.3 * condition.severity,
            second + loaded * condition.severity,
            third + 0.3 * condition.severity,
        )
    multiple, hum = machine.hum
    # mm/s at k f are k 2 pi f thousandths of it in m/s^2.
    per_order = 2 * np.pi * condition.speed * relative / 1000
    levels = {
        1: first * per_order,
        2: 2 * second * per_order,
        3: 3 * third * per_order,
        multiple: hum * condition.load,
    }
    x = np.zeros(len(turn))
    for order, level in levels.items():
        x += level * np.sin(2 * np.pi * order * turn + rng.uniform(0, 2 * np.pi))
    return x


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of rotating machines, each with one accelerometer.

    Machines differ in speed (1,100 to 3,000 rpm), bearing, structure, noise, hum, sensor, in how much their
    process knocks and, above all, in which faults they meet (Dirichlet, alpha 0.4). Recordings of a machine
    differ in speed (80 to 110 %), load (30 to 100 %), and how bad a fault is.

    Args:
        devices: how many machines.
        samples: windows of each, of 1,024 points every 512; eight come from one recording.
        seed: the recipe's seed.

    Returns:
        One table a machine, a row a sample of the signal; `kinds` are "normal" and faults, `groups` recordings.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [_device(name, samples, rng) for name, rng in device_streams("vibration", devices, samples, seed)]


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    machine = _draw(rng)
    signals, kinds = [], []
    for recording in recordings(samples, WINDOW, machine.faults, machine.mix, rng):
        condition = _condition(machine, recording.kind, rng)
        signals.append(signal(machine, condition, recording.rows, rng))
        kinds.append(np.full(recording.rows, recording.kind))
    return table(name, CHANNELS, signals, kinds)


def _draw(rng: np.random.Generator) -> Machine:
    return Machine(
        bearing=Bearing(int(rng.integers(7, 13)), rng.uniform(0.17, 0.25), np.radians(rng.choice([0, 15]))),
        speed=np.exp(rng.uniform(np.log(18), np.log(50))),
        mode=(rng.uniform(2200, 4200), rng.uniform(0.02, 0.06)),
        extent=rng.uniform(0.35, 0.6),
        rolling=np.exp(rng.normal(0, 0.25)),
        sensor=rng.uniform(0.05, 0.2),
        gain=rng.normal(1, 0.07),
        hum=(int(rng.integers(5, 30)), rng.uniform(0.1, 0.8)),
        knocks=rng.uniform(0, 0.3),
        faults=rng.uniform(0.45, 0.65),
        mix=dict(zip(FAULTS, rng.dirichlet(np.full(len(FAULTS), 0.4)).tolist(), strict=True)),
    )


def _condition(machine: Machine, kind: str, rng: np.random.Generator) -> Condition:
    pit = kind in ("outer", "inner", "ball")
    low, high = (6.0, 40.0) if pit else (4.0, 12.0)
    return Condition(
        kind,
        speed=machine.speed * rng.uniform(0.8, 1.1),
        load=rng.uniform(0.3, 1.0),
        severity=np.exp(rng.uniform(np.log(low), np.log(high))),
        slip=rng.uniform(0.005, 0.02),
        balance=rng.uniform(0.5, 2.5),
        knocking=bool(rng.random() < machine.knocks),
    )

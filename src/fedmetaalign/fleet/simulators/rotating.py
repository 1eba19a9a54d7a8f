"""Rotating machines whose parts wear, seen through nine condition indicators.

A machine lives through campaigns, from one overhaul to the next. In a campaign one fault mode wears from
nearly 0 towards 1, slowly at first, then fast, then saturating, while the others stay low; a sample is one
measurement at the operating point of the moment. It is a fault once any mode's wear exceeds `LIMIT`, the
same on every machine. Near the limit the indicators of both classes overlap, as they do in a plant.

Unbalance: the force m e omega^2 on a foundation of natural frequency f_n moves the machine with the velocity
    v = e omega r^2 / sqrt((1 - r^2)^2 + (2 zeta r)^2),  r = omega / omega_n,
where e omega is the balance grade of ISO 21940-11. Misalignment shows at twice the speed and grows with the
load. A pitted race is hit at the bearing's defect frequencies
    BPFO = n/2 f (1 - d/D cos phi),  BPFI = n/2 f (1 + d/D cos phi);
the impacts raise the envelope spectrum at that frequency, and the acceleration's kurtosis until late damage
smears them into noise. Lost lubrication raises friction: bearing temperature, current, broad-band vibration.

Sources: ISO 20816-1 and -3 (velocity RMS, zones), ISO 21940-11; R. B. Randall, "Vibration-based Condition
Monitoring" (2011), chapters 2 and 5; R. B. Randall, J. Antoni, "Rolling element bearing diagnostics - A
tutorial", MSSP 25 (2011); S. S. Rao, "Mechanical Vibrations", section 3.7 (rotating unbalance).
The coefficients that scale wear to indicators are ours; they give velocities of the order of ISO 20816-3's zone
limits, 1.4 to 7.1 mm/s.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import device_streams, names

FEATURES = (
    "speed",
    "motor current",
    "velocity rms",
    "velocity 1x",
    "velocity 2x",
    "acceleration kurtosis",
    "envelope bpfo",
    "envelope bpfi",
    "bearing temperature",
)
UNITS = ("rpm", "A", "mm/s", "mm/s", "mm/s", "", "m/s^2", "m/s^2", "degC")
MODES = ("unbalance", "misalignment", "outer race", "inner race", "lubrication")
"""The fault modes: the columns of every array of wear."""

LIMIT = 0.5
"""Wear beyond which a machine counts as faulty, whichever the mode and the machine."""
SAMPLES_PER_CAMPAIGN = 20
NOMINAL = 1500.0
"""Speed at which the wear's coefficients are given, rpm."""


@dataclass(frozen=True)
class Machine:
    """What distinguishes one device.

    Attributes:
        balance: grade that balancing leaves, e omega at `NOMINAL` speed, mm/s.
        resonance: natural frequency of machine and foundation, Hz.
        damping: damping ratio of that mode.
        speed: the variable-speed drive's mean, rpm.
        full_load: current at full load, A.
        geometry: rolling elements, ball over pitch diameter times cos(contact angle).
        gains: (9,) relative errors of the sensors and their mounting.
        ambient: mean ambient temperature, degC.
        mix: (5,) shares of the fault modes.
        onset: when in a campaign, 0 to 1, wear grows fastest.
    """

    balance: float
    resonance: float
    damping: float
    speed: float
    full_load: float
    geometry: tuple[int, float]
    gains: np.ndarray
    ambient: float
    mix: np.ndarray
    onset: float


def unbalance_velocity(grade: np.ndarray, speed: np.ndarray, resonance: float, damping: float) -> np.ndarray:
    """Returns the 1x velocity of a machine with a rotating unbalance (formula above).

    Args:
        grade: e omega at `NOMINAL` speed, mm/s.
        speed: rpm.
        resonance: natural frequency, Hz.
        damping: damping ratio.

    Returns:
        mm/s, of the arguments' shape; for r >> 1 it is the grade, scaled to the speed.
    """
    r = speed / 60 / resonance
    gain = r**2 / np.hypot(1 - r**2, 2 * damping * r)
    velocity: np.ndarray = grade * (speed / NOMINAL) * gain
    return velocity


def defect_frequencies(elements: int, ratio: float) -> tuple[float, float]:
    """Returns BPFO and BPFI as multiples of the shaft's frequency, for ratio = d/D cos(phi)."""
    return elements / 2 * (1 - ratio), elements / 2 * (1 + ratio)


def kurtosis(impulses: np.ndarray, peakedness: np.ndarray) -> np.ndarray:
    """Returns the kurtosis of Gaussian vibration of variance 1 plus an independent train of impulses.

        (3 + 6 P + k P^2) / (1 + P)^2, which is 3 without impulses

    Args:
        impulses: their mean square P, relative to the Gaussian part's.
        peakedness: kurtosis k of the impulses alone.
    """
    mixed: np.ndarray = (3 + 6 * impulses + peakedness * impulses**2) / (1 + impulses) ** 2
    return mixed


def indicators(
    machine: Machine, wear: np.ndarray, speed: np.ndarray, load: np.ndarray, ambient: np.ndarray
) -> np.ndarray:
    """Returns what noise-free, exact sensors would show.

    Args:
        machine: the device.
        wear: (n, 5) in 0..1, one column for each of `MODES`.
        speed: (n,) rpm.
        load: (n,) relative to full load.
        ambient: (n,) degC.

    Returns:
        (n, 9) float64: `FEATURES` in `UNITS`.
    """
    unbalance, misalignment, outer, inner, lubrication = wear.T
    relative = speed / NOMINAL
    grade = machine.balance + 7.0 * unbalance + 1.5 * misalignment
    first = unbalance_velocity(grade, speed, machine.resonance, machine.damping)
    second = (0.3 + 3.5 * misalignment * (0.4 + 0.6 * load) + 0.4 * unbalance) * relative
    # Broad-band acceleration grows with load, speed and dry friction (m/s^2 rms).
    floor = 1.2 * relative * (0.7 + 0.3 * load) * (1 + 1.2 * lubrication)
    per_turn = np.array(defect_frequencies(*machine.geometry))
    races = np.column_stack([outer, inner])
    # An inner race passes through the load zone once a turn and is farther from the sensor: weaker impacts.
    impact = np.array([5.0, 3.5]) * races * ((0.3 + 0.7 * load) * relative**1.5)[:, None]
    envelope = 0.25 * floor[:, None] + impact
    power = ((0.25 * impact) ** 2 * per_turn).sum(axis=1) / floor**2
    # A fresh pit rings rarely and sharply; a race that is rough all round is as good as Gaussian (3).
    peakedness = 3 + 35 * (1 - races.max(axis=1))
    friction = 0.6 * relative + 0.4 * load
    temperature = ambient + 22 * friction * (1 + 1.3 * lubrication + 0.25 * races.max(axis=1))
    drag = 0.10 * lubrication + 0.06 * misalignment
    current = machine.full_load * np.hypot(0.35, 0.94 * (load + drag))
    rms = np.sqrt((first**2 + second**2) / 2 + (0.35 * floor) ** 2 + (0.12 * impact**2).sum(axis=1))
    return np.column_stack(
        [speed, current, rms, first, second, kurtosis(power, peakedness), envelope, temperature]
    )


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of variable-speed machines.

    Machines differ in foundation, speed, size, bearing, sensor gains, climate, how early wear sets in and,
    above all, in which modes wear (Dirichlet, alpha 0.5; each at least 4 %).

    Args:
        devices: how many machines.
        samples: rows of each; twenty come from one campaign.
        seed: the recipe's seed.

    Returns:
        One table a machine; `kinds` are the modes beyond the limit, `groups` campaigns.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [_device(name, samples, rng) for name, rng in device_streams("rotating", devices, samples, seed)]


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    machine = _draw(rng)
    wear, campaign = _wear(machine, samples, rng)
    speed = machine.speed * rng.uniform(0.65, 1.2, samples)
    load = rng.uniform(0.3, 1.05, samples)
    ambient = machine.ambient + rng.normal(0, 2.5, samples)
    x = indicators(machine, wear, speed, load, ambient) * machine.gains
    # Repeatability of speed, current, vibration, kurtosis of a short record, envelopes and temperature.
    x *= np.exp(rng.normal(size=x.shape) * [0.002, 0.01, 0.03, 0.05, 0.06, 0.05, 0.08, 0.08, 0.015])
    y = (wear.max(axis=1) > LIMIT).astype(np.int8)
    kinds = np.where(y == 1, np.array(MODES)[wear.argmax(axis=1)], "normal")
    table = Table(name, FEATURES, x, y, UNITS, kinds, names("campaign", campaign))
    return table.take(rng.permutation(samples))


def _wear(machine: Machine, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns each mode's wear, (samples, 5) in 0..1, and the campaign's number, (samples,), in time order.

    A campaign's samples are spread over its whole life, so that 20 of them always hold both classes.
    """
    campaign, turn = np.divmod(np.arange(samples), SAMPLES_PER_CAMPAIGN)
    count = int(campaign[-1]) + 1
    age = (turn + rng.random(samples)) / np.bincount(campaign)[campaign]
    mode = rng.choice(len(MODES), count, p=machine.mix)[campaign]
    end = rng.uniform(0.65, 1.0, count)[campaign]
    onset = machine.onset + rng.uniform(-0.15, 0.15, count)[campaign]
    background = rng.uniform(0.0, 0.3, (count, len(MODES)))[campaign]
    wear = background * rng.uniform(0.6, 1.2, background.shape)
    wear[np.arange(samples), mode] = 0.05 + (end - 0.05) / (1 + np.exp(-(age - onset) / 0.08))
    return wear, campaign


def _draw(rng: np.random.Generator) -> Machine:
    return Machine(
        balance=rng.uniform(1.0, 2.5),
        resonance=rng.uniform(5, 11),
        damping=rng.uniform(0.08, 0.2),
        speed=rng.uniform(1300, 1700),
        full_load=rng.uniform(8, 40),
        geometry=(int(rng.integers(7, 13)), rng.uniform(0.17, 0.25)),
        # Accelerometers are specified to 5 % or 10 %; above all the resonant band of the envelope is uncertain.
        gains=rng.normal(1, [0.001, 0.01, 0.04, 0.04, 0.04, 0.02, 0.08, 0.08, 0.01]),
        ambient=rng.uniform(18, 28),
        mix=0.04 + 0.8 * rng.dirichlet(np.full(len(MODES), 0.5)),
        onset=rng.uniform(0.35, 0.65),
    )

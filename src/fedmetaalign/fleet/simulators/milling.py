"""Milling machines after AI4I 2020's published generating rules.

Source: S. Matzka, "Explainable Artificial Intelligence for Predictive Maintenance Applications", AI4I 2020,
and the data set's page, doi:10.24432/C5HS5C. Where the text leaves a rule open, or the published file of
10,000 rows departs from it, we follow the file's marginal statistics:

| quantity | the text | here, after the file |
|---|---|---|
| product type L/M/H | 50/30/20 % | 60/30/10 % (6000/2997/1003) |
| speed | from 2860 W, and noise | 1005 + 19800/T + N(0, 50) rpm; under 12.1 Nm 3000 - 30 T (T torque) |
| tool life | replaced or fails between 200 and 240 min | triangular on 200..240 min with mode 205 min |
| tool's end | 51 of 120 fail | 46 of 119 fail |
| random failure (RNF) | 0.1 %, sets `Machine failure` | 0.19 %, does not (18 of 19 such rows are unmarked) |

Nine failures of the file have no failure mode; they are not reproduced. Power is torque times angular speed.
"""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import both_classes, device_streams, names

FEATURES = ("type", "air temperature", "process temperature", "rotational speed", "torque", "tool wear")
UNITS = ("", "K", "K", "rpm", "Nm", "min")
MODES = ("tool wear", "heat dissipation", "power", "overstrain", "random")
"""TWF, HDF, PWF, OSF, RNF: the columns of `Operation.modes`."""

RANDOM_FAILURE = 0.0019
"""Chance that a part meets a random failure."""

WEAR_PER_PART = np.array([2.0, 3.0, 5.0])
"""Minutes that a part of type L, M, H adds to the tool's wear."""
STRAIN_LIMIT = np.array([11_000.0, 12_000.0, 13_000.0])
"""Wear times torque (min Nm) beyond which a part of type L, M, H overstrains the tool."""


@dataclass(frozen=True)
class Settings:
    """How one milling machine is run; the defaults are the published ones.

    Attributes:
        mix: shares of product types L, M, H.
        air: mean and standard deviation of the air temperature, K.
        rise: mean and standard deviation of process minus air temperature, K.
        torque: mean and standard deviation of the torque, Nm.
        tool_life: least, most likely and greatest wear at which a tool ends, min.
        tool_failure: share of the tools that fail rather than being replaced in time.
    """

    mix: tuple[float, float, float] = (0.6, 0.3, 0.1)
    air: tuple[float, float] = (300.0, 2.0)
    rise: tuple[float, float] = (10.0, 1.0)
    torque: tuple[float, float] = (40.0, 10.0)
    tool_life: tuple[float, float, float] = (200.0, 205.0, 240.0)
    tool_failure: float = 46 / 119


@dataclass(frozen=True)
class Operation:
    """Parts made one after the other on one machine.

    Attributes:
        x: (parts, 6) float64, `FEATURES` in `UNITS`, rounded as in the published file.
        modes: (parts, 5) bool, which of `MODES` occurred.
        tools: (parts,) int, running number of the tool that made the part.
    """

    x: np.ndarray
    modes: np.ndarray
    tools: np.ndarray

    @property
    def kinds(self) -> np.ndarray:
        """(parts,) str: the first failure mode that counts, else "normal"; a random failure does not count."""
        counted = self.modes[:, :4]
        return np.where(counted.any(axis=1), np.array(MODES)[counted.argmax(axis=1)], "normal")

    def table(self, name: str) -> Table:
        """Returns all parts, in the order in which they were made, as a device's samples."""
        kinds = self.kinds
        return Table(
            name, FEATURES, self.x, (kinds != "normal").astype(np.int8), UNITS, kinds, names("tool", self.tools)
        )


def failure_modes(x: np.ndarray, tool_failed: np.ndarray, random_failure: np.ndarray) -> np.ndarray:
    """Returns which failure modes occur, by the published rules.

    Args:
        x: (parts, 6) float64, `FEATURES` in `UNITS`.
        tool_failed: (parts,) bool, the tool's life ended with this part and it was not replaced in time.
        random_failure: (parts,) bool, a failure whatever the process is.

    Returns:
        (parts, 5) bool, in the order of `MODES`.
    """
    kind, air, process, speed, torque, wear = x.T
    power = torque * speed * 2 * np.pi / 60
    heat = (process - air < 8.6) & (speed < 1380)
    strain = wear * torque > STRAIN_LIMIT[kind.astype(int)]
    return np.column_stack([tool_failed, heat, (power < 3500) | (power > 9000), strain, random_failure])


def operate(settings: Settings, parts: int, rng: np.random.Generator) -> Operation:
    """Lets a machine make parts, from a new tool on."""
    kind = rng.choice(3, size=parts, p=settings.mix)
    air = _walk(*settings.air, parts, rng)
    process = air + _walk(*settings.rise, parts, rng)
    torque = np.maximum(rng.normal(*settings.torque, size=parts), 1.0)
    # Below some 12 Nm, where the two curves meet, the file's points lie on the line without noise.
    noisy = 1005 + 19_800 / torque + rng.normal(0, 50, parts)
    speed = np.where(torque < 12.1, 3000 - 30 * torque, noisy)
    wear, tools, last = _wear(WEAR_PER_PART[kind], settings.tool_life, rng)
    tool_failed = last & (rng.random(parts) < settings.tool_failure)
    x = np.column_stack([kind, air, process, speed, torque, wear])
    modes = failure_modes(x, tool_failed, rng.random(parts) < RANDOM_FAILURE)
    # The published labels, too, follow the exact values; rounding comes after (12 of 115 HDF rows show it).
    digits = (0, 1, 1, 0, 1, 0)
    rounded = np.column_stack([column.round(digit) for column, digit in zip(x.T, digits, strict=True)])
    return Operation(rounded, modes, tools)


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of hard-driven milling machines.

    Devices differ from the published machine by product mix, ambient temperature, cooling, torque set point
    and tool change policy, all moved towards the limits; the physics and the failure rules are the same.
    A device's log is a case-control sample of at least ten times as many parts: 15 to 40 % of its rows are
    drawn from the failed parts (all of them, where they are fewer), the rest from the good ones. Shares of
    faults are therefore those of such a log, not of production.

    Args:
        devices: how many machines.
        samples: rows of each.
        seed: the recipe's seed.

    Returns:
        One table a machine; `kinds` are the failure modes, `groups` the tools.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [_device(name, samples, rng) for name, rng in device_streams("milling", devices, samples, seed)]


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    life = 200 + rng.uniform(-30, 15)
    low, medium, high = rng.dirichlet([3.0, 2.0, 1.0])
    settings = Settings(
        mix=(float(low), float(medium), float(high)),
        air=(rng.uniform(294, 306), rng.uniform(1, 3)),
        rise=(rng.uniform(8.6, 10.2), 1.0),
        torque=(rng.uniform(42, 54), rng.uniform(8, 12)),
        tool_life=(life, life + 5, life + rng.uniform(20, 50)),
        tool_failure=rng.uniform(0.2, 0.6),
    )
    share = rng.uniform(0.15, 0.4)
    made = operate(settings, max(10 * samples, 2000), rng).table(name)
    fault, normal = np.flatnonzero(made.y == 1), np.flatnonzero(made.y == 0)
    faults = min(both_classes(share, samples), len(fault))
    rows = np.concatenate(
        [rng.choice(fault, faults, replace=False), rng.choice(normal, samples - faults, replace=False)]
    )
    return made.take(rng.permutation(rows))


def _walk(mean: float, deviation: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a random walk, shifted and scaled to exactly this mean and standard deviation: (steps,)."""
    walk = rng.normal(size=steps).cumsum()
    standard: np.ndarray = (walk - walk.mean()) / (walk.std() or 1.0)
    return mean + deviation * standard


def _wear(
    added: np.ndarray, life: tuple[float, float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the tool's wear before each part, the tool's number, and whether it was the tool's last part."""
    parts = len(added)
    before = np.concatenate([[0.0], added.cumsum()])
    wear, tools, last = np.empty(parts), np.empty(parts, int), np.zeros(parts, bool)
    start = tool = 0
    while start < parts:
        end = int(np.searchsorted(before, before[start] + rng.triangular(*life)))
        wear[start : end + 1] = before[start : min(end + 1, parts)] - before[start]
        tools[start : end + 1] = tool
        last[end : end + 1] = True
        start, tool = end + 1, tool + 1
    return wear, tools, last

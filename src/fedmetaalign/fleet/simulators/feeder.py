"""A three-phase distribution feeder with shunt faults, in the phase domain.

    E --- Zs ---(measuring point: I, V)--- d Zl ---+--- (1 - d) Zl --- load
                                                   |
                                                 fault

Zs and Zl are 3x3 phase impedance matrices made of positive (= negative) and zero sequence impedances. The
load's neutral is not grounded (it sits behind a delta winding). A fault is a star of arc resistances from the
faulted phases to a common point, which a ground resistance may tie to earth; this one form gives all eleven
shunt faults. (A-B-C and A-B-C-G are symmetrical and look alike, as they do in theory.) The pre-fault and
fault phasors come from one nodal equation each; in between, each current keeps its value at inception and
the difference decays with the fault loop's L/R (the DC offset).

Sources: C. L. Fortescue, "Method of Symmetrical Co-ordinates", AIEE Transactions 37 (1918); J. J. Grainger,
W. D. Stevenson, "Power System Analysis" (1994), chapters 11 and 12; IEC 60909-0 for the DC offset. Features
are those of the "Electrical Fault Detection and Classification" data set (E. S. Prakash, Kaggle): six
instantaneous readings at one measuring point. None of its values is used.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators._devices import both_classes, device_streams, names

FEATURES = ("Ia", "Ib", "Ic", "Va", "Vb", "Vc")
UNITS = ("A", "A", "A", "p.u.", "p.u.", "p.u.")

FAULTS: dict[str, tuple[tuple[int, ...], bool]] = {
    "A-G": ((0,), True),
    "B-G": ((1,), True),
    "C-G": ((2,), True),
    "A-B": ((0, 1), False),
    "B-C": ((1, 2), False),
    "C-A": ((2, 0), False),
    "A-B-G": ((0, 1), True),
    "B-C-G": ((1, 2), True),
    "C-A-G": ((2, 0), True),
    "A-B-C": ((0, 1, 2), False),
    "A-B-C-G": ((0, 1, 2), True),
}
"""The eleven shunt faults: which phases, and whether to ground."""

OMEGA = 2 * np.pi * 50.0
"""Angular frequency of the supply, rad/s."""
PHASE_VOLTS = 11_000 / np.sqrt(3)
"""Nominal phase-to-ground voltage, V rms; 1 p.u. is its peak."""
LAG = -2 * np.pi / 3 * np.arange(3)
"""Phase angles of a positive-sequence set, rad."""
SAMPLES_PER_EVENT = 4


@dataclass(frozen=True)
class PowerNetwork:
    """Impedances of a feeder, in ohm: positive (= negative) sequence, zero sequence."""

    source: tuple[complex, complex]
    line: tuple[complex, complex]


@dataclass(frozen=True)
class Fault:
    """One shunt fault.

    Attributes:
        phases: the faulted phases, 0 to 2.
        grounded: whether the common point is tied to earth.
        location: distance from the measuring point as a fraction of the line, 0 to 1.
        arc: resistance from each faulted phase to the common point, ohm, above 0.
        ground: resistance from the common point to earth, ohm, above 0; unused where not grounded.
    """

    phases: tuple[int, ...]
    grounded: bool
    location: float
    arc: float
    ground: float

    def admittance(self) -> np.ndarray:
        """Returns the (3, 3) admittance matrix, S: diag(g) - g g' / (sum g + g_ground), g = 1 / arc."""
        g = np.zeros(3)
        g[list(self.phases)] = 1 / self.arc
        to_ground = 1 / self.ground if self.grounded else 0.0
        admittance: np.ndarray = np.diag(g) - np.outer(g, g) / (g.sum() + to_ground)
        return admittance


@dataclass(frozen=True)
class Phasors:
    """Steady state at the measuring point: (3,) complex rms, in A and in V to ground."""

    current: np.ndarray
    voltage: np.ndarray


@lru_cache(maxsize=8)  # a feeder's events all have the same two
def phase_matrix(positive: complex, zero: complex) -> np.ndarray:
    """Returns the (3, 3) phase impedance matrix of a transposed element with these sequence impedances."""
    own, mutual = (zero + 2 * positive) / 3, (zero - positive) / 3
    matrix: np.ndarray = np.full((3, 3), mutual) + (own - mutual) * np.eye(3)
    matrix.setflags(write=False)
    return matrix


def balanced(volts: float) -> np.ndarray:
    """Returns a positive-sequence set of phasors, (3,) complex."""
    phasors: np.ndarray = volts * np.exp(1j * LAG)
    return phasors


def solve(network: PowerNetwork, emf: np.ndarray, load: np.ndarray, fault: Fault | None) -> Phasors:
    """Solves the feeder's steady state.

    Args:
        network: the impedances.
        emf: (3,) complex, source voltages behind Zs, V rms.
        load: (3,) complex, load impedance of each phase, ohm; infinite for an idle feeder.
        fault: the fault, or None.

    Returns:
        The currents into the line and the voltages at the measuring point.
    """
    location = 1.0 if fault is None else fault.location
    source, line = phase_matrix(*network.source), phase_matrix(*network.line)
    path = np.linalg.inv(source + location * line)
    # Load currents sum to zero, and on such currents the line acts as its positive-sequence impedance.
    branch = 1 / ((1 - location) * network.line[0] + load) if np.isfinite(load).all() else np.zeros(3)
    shunt = np.diag(branch).astype(complex)
    if branch.any():
        shunt -= np.outer(branch, branch) / branch.sum()
    if fault is not None:
        shunt += fault.admittance()
    at_fault = np.linalg.solve(path + shunt, path @ emf)
    current = path @ (emf - at_fault)
    return Phasors(current, emf - source @ current)


def time_constant(network: PowerNetwork, fault: Fault) -> float:
    """Returns L / R of the fault loop in seconds: of the phase to ground for one phase, else between phases."""
    z1, z0 = (s + fault.location * z for s, z in zip(network.source, network.line, strict=True))
    to_ground = 2 * z1 + z0 + 3 * (fault.arc + fault.ground)
    loop = to_ground if len(fault.phases) == 1 else z1 + fault.arc
    return float(loop.imag / (OMEGA * loop.real))


def waveforms(
    network: PowerNetwork, before: Phasors, after: Phasors, decay: float, inception: float, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns instantaneous values after a fault.

        i(t) = i_after(t) + (i_before(t0) - i_after(t0)) exp(-(t - t0) / decay)

    An exponential current through Zs adds -(Rs - Ls / decay) times itself to the voltage.

    Args:
        network: the impedances.
        before: phasors without the fault.
        after: phasors with it.
        decay: time constant of the DC offset, s.
        inception: the fault's begin t0, s; t = 0 is a positive peak of phase A's source voltage.
        times: (n,) s, none before `inception`.

    Returns:
        Currents (n, 3) A and voltages (n, 3) V.
    """
    jump = instant(before.current - after.current, np.array([inception]))
    offset = jump * np.exp(-(times - inception) / decay)[:, None]
    source = phase_matrix(*network.source)
    drop = source.real - source.imag / OMEGA / decay
    return instant(after.current, times) + offset, instant(after.voltage, times) - offset @ drop


def simulate(devices: int, samples: int, seed: int) -> list[Table]:
    """Simulates a fleet of 11 kV, 50 Hz feeders.

    Feeders differ in length, source strength, loading and its unbalance, transformer gain errors, harmonics,
    noise, share of faults (35 to 60 %) and, above all, in which faults they see (Dirichlet, alpha 0.3).
    Normal operation includes load changes, motor starts and voltage sags from upstream; fault resistances
    reach 80 ohm, where fault and load current are alike. Faults are sampled from inception until the breaker
    opens, 60 ms later.

    Args:
        devices: how many feeders.
        samples: rows of each; four come from one event.
        seed: the recipe's seed.

    Returns:
        One table a feeder; `kinds` are fault types, `groups` events.

    Raises:
        DataError: if `devices` or `samples` is below 1.
    """
    return [_device(name, samples, rng) for name, rng in device_streams("feeder", devices, samples, seed)]


@dataclass(frozen=True)
class Feeder:
    """What distinguishes one device: impedances in ohm, relative gains (6,), harmonics and noise."""

    network: PowerNetwork
    load: float  # ohm at full load
    unbalance: np.ndarray  # (3,) relative
    gains: np.ndarray  # (6,) of the current and voltage transformers
    harmonics: np.ndarray  # (2, 2) 5th and 7th, of the load current and of the voltage, relative
    noise: float  # relative to full-load and nominal peak
    faults: float  # share of fault events
    mix: np.ndarray  # (11,) shares of the fault types


def _device(name: str, samples: int, rng: np.random.Generator) -> Table:
    feeder = draw(rng)
    events = -(-samples // SAMPLES_PER_EVENT)
    faults = both_classes(feeder.faults, events)
    kinds = ["normal"] * (events - faults) + [str(k) for k in rng.choice(list(FAULTS), faults, p=feeder.mix)]
    x = np.concatenate([_event(feeder, kind, rng) for kind in kinds])
    # One row of each event comes first, so that cutting the last event short loses no class.
    rows = rng.permutation(np.arange(len(x)).reshape(events, -1).T.ravel()[:samples])
    event = rows // SAMPLES_PER_EVENT
    row_kinds = np.array(kinds, dtype=np.str_)[event]
    y = (row_kinds != "normal").astype(np.int8)
    return Table(name, FEATURES, x[rows], y, UNITS, row_kinds, names("event", rng.permutation(events)[event]))


def draw(rng: np.random.Generator) -> Feeder:
    """Draws a feeder."""
    length = rng.uniform(4, 15)  # km
    short_circuit = rng.uniform(80e6, 250e6)  # VA
    z1 = 11_000**2 / short_circuit * np.exp(1j * np.arctan(rng.uniform(5, 15)))
    network = PowerNetwork(
        source=(complex(z1), complex(z1 * rng.uniform(0.8, 2.0))),
        line=(length * (0.28 + 0.35j), length * (0.43 + 1.2j)),
    )
    return Feeder(
        network=network,
        load=11_000**2 / rng.uniform(1e6, 3.5e6),
        unbalance=rng.normal(1, 0.06, 3),
        gains=rng.normal(1, 0.02, 6),
        harmonics=rng.uniform([[0.01, 0.005], [0.005, 0.002]], [[0.06, 0.03], [0.02, 0.01]]),
        noise=rng.uniform(0.01, 0.03),
        faults=rng.uniform(0.35, 0.6),
        mix=rng.dirichlet(np.full(len(FAULTS), 0.3)),
    )


def _event(feeder: Feeder, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Returns the rows of one event: (SAMPLES_PER_EVENT, 6) float64."""
    emf = balanced(PHASE_VOLTS * rng.uniform(0.96, 1.05))
    factor = np.arccos(rng.uniform(0.82, 0.98))
    load = feeder.load / rng.uniform(0.3, 1.1) * feeder.unbalance * np.exp(1j * factor)
    inception = rng.uniform(0, 0.02)
    times = inception + rng.uniform(0, 0.06, SAMPLES_PER_EVENT)
    before = solve(feeder.network, emf, load, None)
    change = changed(feeder, kind, emf, load, rng)
    if change.decay is None:
        current, voltage = instant(change.after.current, times), instant(change.after.voltage, times)
    else:
        current, voltage = waveforms(feeder.network, before, change.after, change.decay, inception, times)
    return measured(feeder, current, voltage, before, times, rng)


@dataclass(frozen=True)
class Change:
    """What an event makes of a feeder.

    Attributes:
        after: the steady state in which it ends.
        decay: time constant of the DC offset of a fault, s; None where there is none.
        load: (3,) complex, load impedance of each phase afterwards, ohm.
    """

    after: Phasors
    decay: float | None
    load: np.ndarray


def changed(feeder: Feeder, kind: str, emf: np.ndarray, load: np.ndarray, rng: np.random.Generator) -> Change:
    """Draws what happens: a fault of a kind; or, if "normal", nothing, a motor's start, or a sag."""
    if kind == "normal":
        disturbance = rng.random()
        if disturbance < 0.15:  # a motor starts: much current at a low power factor
            load = 1 / (1 / load + rng.uniform(1, 4) / feeder.load * np.exp(-1j * np.arccos(0.25)))
        elif disturbance < 0.3:  # a fault elsewhere lets the voltage sag in some of the phases
            emf = emf * np.where(rng.random(3) < 0.6, rng.uniform(0.5, 0.95), 1.0)
        return Change(solve(feeder.network, emf, load, None), None, load)
    phases, grounded = FAULTS[kind]
    arc = np.exp(rng.uniform(np.log(0.1), np.log(30)))
    ground = np.exp(rng.uniform(np.log(0.5), np.log(50)))
    fault = Fault(phases, grounded, rng.uniform(0.05, 1), arc, ground)
    after = solve(feeder.network, emf, load, fault)
    return Change(after, time_constant(feeder.network, fault), load)


def measured(
    feeder: Feeder,
    current: np.ndarray,
    voltage: np.ndarray,
    before: Phasors,
    times: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns what the feeder's transformers show, (n, 6) float64: `FEATURES` in `UNITS`.

    Args:
        feeder: the device.
        current: (n, 3) A, without harmonics.
        voltage: (n, 3) V, likewise.
        before: the phasors without an event; harmonics are relative to them.
        times: (n,) s.
        rng: the device's stream.
    """
    full_load = np.sqrt(2) * PHASE_VOLTS / feeder.load
    bases = np.array([np.sqrt(2) * np.abs(before.current).mean(), np.sqrt(2) * PHASE_VOLTS])
    for order, shares in zip((5, 7), feeder.harmonics.T, strict=True):
        wave = np.cos(order * (OMEGA * times[:, None] + LAG) + rng.uniform(0, 2 * np.pi))
        current, voltage = current + shares[0] * bases[0] * wave, voltage + shares[1] * bases[1] * wave
    x: np.ndarray = np.hstack([current / full_load, voltage / bases[1]]) * feeder.gains
    x += feeder.noise * rng.normal(size=x.shape)
    x[:, :3] *= full_load
    return x


def instant(phasors: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Returns sqrt(2) Re(phasor exp(j omega t)): (phases,) complex rms, (n,) s -> (n, phases)."""
    values: np.ndarray = np.sqrt(2) * (phasors * np.exp(1j * OMEGA * times)[:, None]).real
    return values

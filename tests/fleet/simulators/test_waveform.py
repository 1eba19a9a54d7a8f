"""Waveforms of a feeder in which a short circuit begins, against what its phasors say."""

import numpy as np
import pytest

from fedmetaalign.fleet.simulators import feeder
from fedmetaalign.fleet.simulators.waveform import RATE, Burst, event, rung

CYCLE = 64
GRID = feeder.Feeder(
    network=feeder.PowerNetwork(source=(0.05 + 0.8j, 0.1 + 1.2j), line=(2.8 + 3.5j, 4.3 + 12j)),
    load=60.0,
    unbalance=np.ones(3),
    gains=np.ones(6),
    harmonics=np.zeros((2, 2)),
    noise=0.0,
    faults=0.5,
    mix=np.full(11, 1 / 11),
)


def record(kind, seed=0, rows=9 * CYCLE):
    return event(GRID, kind, 3 * CYCLE / RATE, rows, np.random.default_rng(seed))


def rms(x):
    return np.sqrt((x**2).mean(axis=0))


def test_the_fault_begins_at_its_inception_and_not_before():
    x, late = record("A-G")
    assert late.sum() == 6 * CYCLE
    assert not late[: 3 * CYCLE].any()
    cycles = rms(x.reshape(9, CYCLE, 6).swapaxes(0, 1))
    assert cycles[1] == pytest.approx(cycles[0], rel=1e-6)
    assert x[:CYCLE] == pytest.approx(x[CYCLE : 2 * CYCLE], abs=1e-6 * np.abs(x).max())
    assert cycles[4, 0] > 1.5 * cycles[1, 0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["A-G", "B-C", "C-A-G", "A-B-C"])
def test_the_faulted_phases_carry_the_current(kind, seed):
    x, _ = record(kind, seed)
    before, after = rms(x[:CYCLE, :3]), rms(x[-CYCLE:, :3])
    phases = list(feeder.FAULTS[kind][0])
    sound = [phase for phase in range(3) if phase not in phases]
    assert (after[phases] > before[phases]).all()
    if sound:
        assert (after[phases] / before[phases]).min() > (after[sound] / before[sound]).max()


@pytest.mark.parametrize(
    ("kind", "grounded"), [("A-G", True), ("B-C-G", True), ("B-C", False), ("A-B-C", False)]
)
def test_current_returns_through_earth_where_the_fault_is_to_ground(kind, grounded):
    x, _ = record(kind)
    residual = rms(x[-CYCLE:, :3].sum(axis=1))
    largest = rms(x[-CYCLE:, :3]).max()
    assert (residual > 0.05 * largest) == grounded
    assert rms(x[:CYCLE, :3].sum(axis=1)) < 1e-9 * largest


def test_currents_do_not_jump_at_the_inception():
    """A current through an inductance goes on from where it was: 64 samples a cycle see no step."""
    for seed in range(20):
        x, _ = record("A-B-C", seed)
        steps = np.abs(np.diff(x[:, :3], axis=0)).max(axis=1)
        # A step of a sine is at most 2 pi / 64 of its peak; a DC offset adds its own decay.
        assert steps[3 * CYCLE - 1] < 0.25 * np.abs(x[:, :3]).max()
        assert steps.argmax() >= 3 * CYCLE - 1


def test_a_direct_current_decays():
    offsets = []
    for seed in range(20):
        x, _ = record("A-B-C", seed)
        means = np.abs(x[3 * CYCLE :, :3].reshape(6, CYCLE, 3).mean(axis=1))
        offsets.append(means[[0, -1]].max(axis=1))
    first, last = np.array(offsets).T
    assert (last < 0.2 * first).all()


def test_a_voltage_that_jumps_rings():
    before = feeder.Phasors(np.zeros(3), feeder.balanced(1000.0))
    after = feeder.Phasors(np.zeros(3), feeder.balanced(0.0))
    times = np.arange(32) / RATE
    ring = rung(Burst(800.0, 0.001, 0.5), before, after, 0.0, times)
    # At t = 0 phase A stands at its peak, the others at minus half of it.
    assert ring[0] == pytest.approx(0.5 * 1000 * np.sqrt(2) * np.array([1, -0.5, -0.5]))
    # 800 Hz at 3,200 a second: zero after one sample, the other way round after two, at exp(-2 / 3.2).
    assert ring[1] == pytest.approx(0, abs=1e-9)
    assert ring[2] == pytest.approx(-ring[0] * np.exp(-2 / 3.2))


def test_an_event_without_a_fault_has_neither():
    calm = [record("normal", seed)[0] for seed in range(30)]
    changes = np.array([rms(x[-CYCLE:]) / rms(x[:CYCLE]) for x in calm])
    still = (np.abs(changes - 1) < 1e-3).all(axis=1)
    assert 15 < still.sum() < 28  # three of ten are a motor's start or a sag
    assert changes[:, 3:].max() < 1.01

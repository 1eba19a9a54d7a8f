"""Rotating machines against mechanics, and against a bearing whose frequencies are published."""

from itertools import pairwise

import numpy as np
import pytest

from fedmetaalign.fleet.simulators.rotating import (
    FEATURES,
    MODES,
    Machine,
    defect_frequencies,
    indicators,
    kurtosis,
    simulate,
    unbalance_velocity,
)

MACHINE = Machine(
    balance=1.0,
    resonance=8.0,
    damping=0.1,
    speed=1500.0,
    full_load=20.0,
    geometry=(9, 0.2034),
    gains=np.ones(9),
    ambient=20.0,
    mix=np.full(5, 0.2),
    onset=0.5,
)


def show(mode=None, wear=0.0, speed=1500.0, load=0.8):
    """The indicators of `MACHINE` by name, all modes but one new."""
    row = np.zeros((1, 5))
    if mode is not None:
        row[0, MODES.index(mode)] = wear
    x = indicators(MACHINE, row, np.array([speed]), np.array([load]), np.array([20.0]))
    return dict(zip(FEATURES, x[0], strict=True))


def test_unbalance_velocity_in_the_three_regions():
    speed = np.array([1500.0, 3000.0])
    # Far above resonance the mass turns about its centre of gravity: v = e omega.
    np.testing.assert_allclose(unbalance_velocity(2.5, speed, 0.1, 0.1), [2.5, 5.0], rtol=1e-4)
    # At resonance only damping limits it: r = 1 gives 1 / (2 zeta).
    assert unbalance_velocity(2.5, np.array([1500.0]), 25.0, 0.1) == pytest.approx(12.5)
    # Far below, the force omega^2 times omega.
    slow = unbalance_velocity(2.5, speed, 1e4, 0.1)
    assert slow[1] / slow[0] == pytest.approx(8, rel=1e-3)


def test_defect_frequencies_of_a_published_bearing():
    # SKF 6205 of the Case Western Reserve University bearing data: balls 0.3126 in, pitch 1.537 in.
    outer, inner = defect_frequencies(9, 0.3126 / 1.537)
    assert outer == pytest.approx(3.5848, abs=1e-4)
    assert inner == pytest.approx(5.4152, abs=1e-4)


def test_kurtosis_of_gaussian_vibration_is_three():
    assert kurtosis(np.array(0.0), np.array(30.0)) == 3.0
    # Adding independent Gaussian vibration leaves it Gaussian.
    assert kurtosis(np.array(2.0), np.array(3.0)) == pytest.approx(3.0)


def test_kurtosis_is_that_of_a_signal_with_impulses():
    rng = np.random.default_rng(0)
    n, duty, power = 2_000_000, 0.02, 0.5
    # Impulses of equal height and either sign in 2 % of the samples have kurtosis 1 / 0.02 = 50.
    impulses = (rng.random(n) < duty) * rng.choice([-1.0, 1.0], n) * np.sqrt(power / duty)
    signal = rng.normal(size=n) + impulses
    measured = np.mean(signal**4) / np.mean(signal**2) ** 2
    assert kurtosis(np.array(power), np.array(1 / duty)) == pytest.approx(measured, rel=0.02)


def test_a_new_machine_is_smooth_and_gaussian():
    new = show()
    assert new["acceleration kurtosis"] == 3.0
    assert new["velocity rms"] < 1.8
    assert new["envelope bpfo"] == new["envelope bpfi"]
    assert new["bearing temperature"] == pytest.approx(20 + 22 * (0.6 + 0.4 * 0.8))


@pytest.mark.parametrize(
    ("mode", "own", "others"),
    [
        ("unbalance", "velocity 1x", ["envelope bpfo", "envelope bpfi", "bearing temperature"]),
        ("misalignment", "velocity 2x", ["envelope bpfo", "envelope bpfi", "bearing temperature"]),
        ("outer race", "envelope bpfo", ["velocity 1x", "velocity 2x", "envelope bpfi"]),
        ("inner race", "envelope bpfi", ["velocity 1x", "velocity 2x", "envelope bpfo"]),
        ("lubrication", "bearing temperature", ["velocity 1x", "velocity 2x", "acceleration kurtosis"]),
    ],
)
def test_each_mode_raises_its_own_indicator_gradually(mode, own, others):
    steps = [show(mode, wear) for wear in (0.0, 0.25, 0.5, 0.75, 1.0)]
    values = [step[own] for step in steps]
    assert (np.diff(values) > 0).all()
    assert max(b - a for a, b in pairwise(values)) < 0.5 * (values[-1] - values[0])
    for other in others:
        assert steps[-1][other] == steps[0][other]


@pytest.mark.parametrize("mode", ["outer race", "inner race"])
def test_kurtosis_rises_with_a_pit_and_falls_with_late_damage(mode):
    new, pitted, late = (show(mode, wear)["acceleration kurtosis"] for wear in (0.0, 0.5, 1.0))
    assert new == 3.0
    assert pitted > 4.0
    assert late == pytest.approx(3.0)


def test_velocities_stand_in_the_order_of_the_iso_20816_zones():
    # ISO 20816-3, medium machines on rigid foundations: A/B 1.4, B/C 2.8, C/D 4.5 mm/s.
    assert show()["velocity rms"] < 1.4
    assert 2.8 < show("unbalance", 0.5)["velocity rms"] < 4.5
    assert show("unbalance", 1.0)["velocity rms"] > 4.5


def test_current_follows_the_load():
    assert show(load=0.0)["motor current"] == pytest.approx(0.35 * 20)
    assert show(load=1.0)["motor current"] == pytest.approx(20, rel=0.01)


def test_a_campaign_goes_from_good_to_faulty():
    for table in simulate(3, 400, 0):
        for campaign in np.unique(table.groups):
            labels = table.y[table.groups == campaign]
            assert len(labels) == 20
            assert set(labels) == {0, 1}
            assert len(set(table.kinds[table.groups == campaign])) == 2

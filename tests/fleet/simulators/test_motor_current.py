"""The lines that faults of a motor put beside the supply's, where the literature has them."""

import numpy as np
import pytest

from fedmetaalign.fleet.simulators.motor_current import RATE, Condition, Motor, sidebands, signal
from fedmetaalign.fleet.simulators.vibration import Bearing

MOTOR = Motor(
    pairs=2,
    bars=28,
    slip=0.04,
    full_load=10.0,
    idle=0.35,
    bearing=Bearing(9, 0.2034),
    harmonic=0.02,
    gap=0.002,
    swings=0.0,
    inertia=0.4,
    noise=0.005,
    faults=0.5,
    mix={},
)


def lines(kind, severity=0.0, load=1.0, seed=0, **more):
    """Frequency -> amplitude in A of one minute, 1/64 Hz apart."""
    rows = int(64 * RATE)
    x = signal(MOTOR, Condition(kind, load, severity, **more), rows, np.random.default_rng(seed))[:, 0]
    taper = np.hanning(rows)
    amplitudes = 2 * np.abs(np.fft.rfft(x * taper)) / taper.sum()
    return lambda f: amplitudes[round(f * 64) - 6 : round(f * 64) + 7].max()


def test_full_load_is_the_current_of_the_plate():
    x = signal(MOTOR, Condition("normal", 1.0), 5120, np.random.default_rng(0))
    assert np.sqrt((x**2).mean()) == pytest.approx(10.0, rel=0.02)


def test_broken_bars_show_at_twice_the_slip_beside_the_supply():
    # s = 4 %: 50 (1 - 0.08) = 46 and 54 Hz, at half load 48 and 52.
    broken, sound = lines("broken bar", 2), lines("normal")
    supply = broken(50)
    assert broken(46) / supply == pytest.approx(0.6 * 2 / 28, rel=0.1)
    assert broken(54) / supply == pytest.approx(0.4 * 2 / 28, rel=0.1)
    # n of N bars: both together are n/N of the current.
    assert (broken(46) + broken(54)) / supply == pytest.approx(2 / 28, rel=0.1)
    assert broken(42) / supply == pytest.approx((2 / 28) ** 2, rel=0.3)
    assert sound(46) < supply / 500
    half = lines("broken bar", 2, load=0.5)
    assert half(48) > 5 * half(46)


def test_eccentricity_shows_a_turn_of_the_rotor_beside_the_supply():
    # Two pole pairs, s = 4 %: 24 turns a second.
    off, sound = lines("eccentricity", 0.02), lines("normal")
    for frequency in (26, 74):
        assert off(frequency) / off(50) == pytest.approx(0.022, rel=0.1)
        assert sound(frequency) / sound(50) == pytest.approx(0.002, rel=0.3)


def test_a_pitted_bearing_shows_its_passages_beside_the_supply():
    # BPFO = 4.5 (1 - 0.2034) of 24 turns a second: 86.03 Hz.
    pitted = lines("bearing", 0.02)
    for frequency, share in ((36.03, 0.02), (136.03, 0.02), (122.07, 0.01), (222.07, 0.01)):
        assert pitted(frequency) / pitted(50) == pytest.approx(share, rel=0.15), frequency


def test_what_the_filter_takes_is_not_folded_back():
    # One pole pair, 48 turns a second: BPFO 172 Hz, and 2 BPFO + 50 = 394 Hz would come back as 118.
    fast = Motor(**{**vars(MOTOR), "pairs": 1})
    found = [frequency for frequency, _ in sidebands(fast, Condition("bearing", 1.0, 0.02))]
    assert max(found) < RATE / 2
    assert len(found) == 4


def test_a_swinging_load_looks_like_broken_bars():
    swinging = lines("normal", swing=(4.0, 0.05))
    assert swinging(46) / swinging(50) == pytest.approx(0.0235, rel=0.15)

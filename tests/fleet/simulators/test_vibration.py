"""Pitted bearings: frequencies that Case Western Reserve publishes, in the spectrum of the envelope."""

import numpy as np
import pytest
from scipy.signal import hilbert

from fedmetaalign.fleet.simulators._signals import resonant_noise, ringing
from fedmetaalign.fleet.simulators.vibration import RATE, Bearing, Condition, Machine, load_zone, signal

SKF_6205 = Bearing(9, 0.3126 / 1.537)
MACHINE = Machine(
    bearing=SKF_6205,
    speed=25.0,
    mode=(3000.0, 0.04),
    extent=0.5,
    rolling=0.3,
    sensor=0.1,
    gain=1.0,
    hum=(7, 0.1),
    knocks=0.0,
    faults=0.5,
    mix={},
)


def spectrum(x, rate=RATE):
    """Frequencies, and the amplitudes of sines at them."""
    taper = np.hanning(len(x))
    return np.fft.rfftfreq(len(x), 1 / rate), 2 * np.abs(np.fft.rfft((x - x.mean()) * taper)) / taper.sum()


def envelope_spectrum(x, low=2000.0, high=4000.0):
    """The spectrum of the envelope of what lies between two frequencies."""
    lines, frequencies = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE)
    lines[(frequencies < low) | (frequencies > high)] = 0
    return spectrum(np.abs(hilbert(np.fft.irfft(lines, len(x)))))


def at(frequencies, amplitudes, line, width=1.0):
    """The largest amplitude near a line, over the median of those around."""
    near = np.abs(frequencies - line) < width
    around = (np.abs(frequencies - line) < 15 * width) & ~(np.abs(frequencies - line) < 3 * width)
    return amplitudes[near].max() / np.median(amplitudes[around])


def record(kind, severity=10.0, slip=0.005, speed=25.0, load=1.0, rows=1 << 17, seed=0, **more):
    condition = Condition(kind, speed, load, severity, slip, balance=1.0, **more)
    return signal(MACHINE, condition, rows, np.random.default_rng(seed))


def test_frequencies_of_a_published_bearing():
    # Case Western Reserve University Bearing Data Center: 6205-2RS JEM SKF, multiples of the shaft's speed;
    # its 4.7135 for the rolling element is the rate of impacts, twice its turns.
    orders = SKF_6205.orders
    assert orders["inner"] == pytest.approx(5.4152, abs=1e-4)
    assert orders["outer"] == pytest.approx(3.5848, abs=1e-4)
    assert orders["cage"] == pytest.approx(0.39828, abs=1e-4)
    assert 2 * orders["ball"] == pytest.approx(4.7135, abs=2e-3)
    # Where nothing slips each element passes a point of either race once while shaft and cage part by a turn.
    assert orders["inner"] + orders["outer"] == pytest.approx(9)
    assert orders["outer"] == pytest.approx(9 * orders["cage"])


def test_half_of_the_bearing_is_loaded():
    load = load_zone(np.radians([0, 60, 90, 180, 270, 300]), 0.5)
    assert load == pytest.approx([1, 0.5**1.5, 0, 0, 0, 0.5**1.5], abs=1e-9)


def test_an_impact_between_two_samples_rings_and_dies_away():
    mode, when = (1000.0, 0.05), 10.3 / RATE
    x = ringing(np.array([when]), np.array([2.0]), mode, RATE, 200)
    age = np.arange(200) / RATE - when
    turns = 2 * np.pi * mode[0] * age
    expected = np.where(age >= 0, 2 * np.exp(-0.05 * turns) * np.sin(turns), 0)
    np.testing.assert_allclose(x, expected, atol=1e-12)


def test_coloured_noise_has_its_level_from_the_first_sample_on():
    rng = np.random.default_rng(0)
    first = np.array([resonant_noise(3.0, (3000.0, 0.05), RATE, 20, rng) for _ in range(4000)])
    assert np.sqrt((first**2).mean(axis=0)) == pytest.approx(np.full(20, 3.0), rel=0.05)


def test_the_envelope_of_a_pitted_outer_race_peaks_at_bpfo():
    frequencies, amplitudes = envelope_spectrum(record("outer")[:, 0])
    bpfo = 25 * 3.5848
    top = frequencies[amplitudes.argmax()]
    assert min(abs(top - bpfo), abs(top - 2 * bpfo)) < 1.0
    assert at(frequencies, amplitudes, bpfo) > 20
    assert at(frequencies, amplitudes, 2 * bpfo) > 10
    assert at(frequencies, amplitudes, 25 * 5.4152) < 6


def test_the_envelope_of_a_pitted_inner_race_has_sidebands_of_the_shaft():
    frequencies, amplitudes = envelope_spectrum(record("inner")[:, 0])
    bpfi = 25 * 5.4152
    for line in (25.0, bpfi - 25, bpfi, bpfi + 25):
        assert at(frequencies, amplitudes, line) > 10, line
    assert at(frequencies, amplitudes, 25 * 3.5848) < 6


def test_the_envelope_of_a_pitted_ball_peaks_at_twice_its_spin_with_sidebands_of_the_cage():
    frequencies, amplitudes = envelope_spectrum(record("ball")[:, 0])
    ftf, hits = 25 * 0.39828, 25 * 4.7135
    for line in (hits - ftf, hits, hits + ftf):
        assert at(frequencies, amplitudes, line) > 10, line
    assert at(frequencies, amplitudes, ftf) > 10
    assert at(frequencies, amplitudes, hits / 2) > 3  # one race is farther away than the other


def test_a_sound_bearing_has_no_lines():
    frequencies, amplitudes = envelope_spectrum(record("normal")[:, 0])
    for order in (0.39828, 3.5848, 4.7135, 5.4152):
        assert at(frequencies, amplitudes, 25 * order) < 6, order


def test_slip_smears_the_higher_harmonics():
    steady = envelope_spectrum(record("outer", slip=1e-6)[:, 0])
    slipping = envelope_spectrum(record("outer", slip=0.02)[:, 0])
    tenth = 10 * 25 * 3.5848
    assert at(*steady, tenth) > 2 * at(*slipping, tenth)


def test_unbalance_and_misalignment_show_at_one_and_two_turns():
    still = spectrum(record("normal")[:, 0])
    unbalance = spectrum(record("unbalance", 6.0)[:, 0])
    twisted = spectrum(record("misalignment", 6.0)[:, 0])

    def line(found, frequency):
        return found[1][np.abs(found[0] - frequency) < 1].max()

    # 1 and 7 mm/s at 25 Hz are 0.157 and 1.1 m/s^2; the speed wanders, and smears the lines a little.
    assert line(still, 25) == pytest.approx(0.157, rel=0.25)
    assert line(unbalance, 25) == pytest.approx(1.10, rel=0.25)
    assert line(twisted, 50) == pytest.approx(6.3e-3 * 2 * np.pi * 50, rel=0.25)
    assert line(unbalance, 50) == pytest.approx(line(still, 50), rel=0.1)


def test_levels_grow_with_speed_and_load():
    def level(**condition):
        return np.std(record("outer", rows=24_000, **condition)[:, 0])

    assert level(speed=40.0) > 1.5 * level(speed=25.0)
    assert level(load=1.0) > 1.3 * level(load=0.3)
    assert record("outer", rows=24_000)[:, 1] == pytest.approx(1500.0, rel=0.005)


def test_knocks_are_as_peaked_as_a_pit_and_have_no_lines():
    def kurtosis(x):
        return np.mean((x - x.mean()) ** 4) / np.var(x) ** 2

    knocking = record("normal", knocking=True)[:, 0]
    assert kurtosis(record("normal")[:, 0]) < 3.5
    assert kurtosis(knocking) > 5
    assert at(*envelope_spectrum(knocking), 25 * 3.5848) < 8

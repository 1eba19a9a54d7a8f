"""Band energies, envelopes and orders against NumPy's and SciPy's, in float64."""

import itertools

import numpy as np
import pytest
from scipy.signal import welch

from fedmetaalign.signals import Signal, features, names
from fedmetaalign.signals.fourier import powers
from fedmetaalign.signals.logarithm import logarithm

RATE = 12000.0


def signal(**options):
    usual = {"length": 1024, "stride": 512, "channels": ("a",), "front": ("bands",), "rate": RATE}
    return Signal(**usual | options)


def tone(hertz, amplitude=1.0, length=1024):
    return amplitude * np.cos(2 * np.pi * hertz * np.arange(length) / RATE + 1)


@pytest.mark.parametrize("points", [8, 16, 64, 256, 2048])
def test_powers_are_those_of_numpy_to_a_millionth_of_the_greatest(points):
    x = np.random.default_rng(0).normal(size=(points, 20)).astype(np.float32)
    expected = 4 * np.abs(np.fft.rfft(x.astype(np.float64), axis=0)[1:-1]) ** 2
    np.testing.assert_allclose(powers(x), expected, rtol=1e-6, atol=1e-6 * expected.max())


def test_the_logarithm_is_right_to_a_unit_in_the_last_place():
    x = np.exp(np.random.default_rng(0).uniform(-69, 88, 100_000)).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(logarithm(x) - exact) <= np.spacing(np.abs(exact).astype(np.float32))).all()
    assert logarithm(np.float32([1, 0, 1e-30])).tolist() == [0, *logarithm(np.float32([1e-30] * 2))]
    assert not np.isfinite(logarithm(np.float32([np.inf, np.nan]))).any()


def test_bands_are_sums_over_the_spectrum_of_welch():
    s = signal(length=1000)
    x = np.random.default_rng(0).normal(5, 2, (50, 1000, 1)).astype(np.float32)
    starts = s.spectrum.starts
    assert starts == (0, 124, 248, 372, 496, 620, 744)
    parts = np.concatenate([x[:, start : start + 256, 0] for start in starts]).astype(np.float64)
    density = welch(parts, RATE, "hann", 256)[1].reshape(7, 50, 129).mean(axis=0)
    edges = s.spectrum.edges
    assert edges.tolist() == [1, 3, 4, 7, 9, 12, 16, 20, 26, 32, 40, 49, 60, 72, 88, 106, 128]
    expected = [density[:, a:b].sum(axis=1) * RATE / 256 for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(features(s, x), np.log(expected).T, atol=5e-6)


def test_energies_of_bands_add_up_to_the_variance():
    x = tone(3000, 2.0) + tone(700, 0.5) + 40
    assert np.exp(features(signal(), x[None, :, None])).sum() == pytest.approx(2.0 + 0.125, rel=1e-3)
    untapered = features(signal(taper="none", length=256), tone(12000 / 256 * 20, length=256)[None, :, None])
    assert np.exp(untapered)[0, 7] == pytest.approx(0.5, rel=1e-5)


def test_the_envelope_shows_how_often_a_resonance_is_struck():
    s = signal(front=("envelope",), envelope=(2000.0, 4000.0), length=4096)
    assert s.demodulation.taps.shape == (2, 12)
    assert (s.demodulation.step, s.demodulation.count) == (3, 1362)
    x = (1 + 0.5 * tone(160, length=4096)) * tone(3000, length=4096) + tone(300, 2.0, 4096)
    found = np.exp(features(s, x[None, :, None]))[0]
    struck = 160 * 3 * 256 / RATE
    band = int(np.searchsorted(s.envelope_spectrum.edges, struck, "right")) - 1
    assert found.argmax() == band
    assert found[band] == pytest.approx(0.125, rel=0.05)
    assert found[band] > 100 * np.delete(found, band).max()


def test_bands_follow_the_shaft():
    s = signal(front=("bands", "envelope"), envelope=(2000.0, 4000.0), speed="rpm", orders=40.0, length=4096)
    assert names(s)[-2:] == ("a.envelope_15", "rpm.mean")
    found = []
    for rpm in (1500.0, 2700.0):
        x = tone(rpm / 60 * 30, length=4096) + (1 + tone(rpm / 60 * 3.6, length=4096)) * tone(3000, length=4096)
        window = np.column_stack([x, np.full(4096, rpm)])[None]
        found.append(np.exp(features(s, window)[0, :-1]).reshape(2, 16))
        assert features(s, window)[0, -1] == rpm
    edges = s.spectrum.edges
    (slow, fast), band = found, int(np.searchsorted(edges, 30.0)) - 1
    assert slow[0, band] == pytest.approx(0.5, rel=0.05)
    assert fast[0, band] == pytest.approx(0.5, rel=0.05)
    ball = int(np.searchsorted(edges, 3.6)) - 1
    assert slow[1].argmax() == fast[1].argmax() == ball


def test_a_shaft_that_stands_still_has_no_orders():
    s = signal(speed="rpm", front=("statistics", "bands"), ranges={"rpm": (0.0, 5000.0)})
    x = np.random.default_rng(0).normal(size=(4, 1024, 2))
    x[:, :, 1] = 1000.0
    x[0, :, 1], x[1, 600, 1], x[2, 500, 1] = 0.0, 6000.0, np.nan
    lost = np.isnan(features(s, x))
    assert lost[0].tolist() == lost[1].tolist() == [False] * 8 + [True] * 17
    assert not lost[2:].any()  # only the samples that are new in a window tell its speed


def test_what_is_beyond_float32_is_broken():
    x = np.random.default_rng(0).normal(size=(1, 1024, 1)) * 1e30
    assert np.isnan(features(signal(), x)).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"length": 0}, "a window of 0 samples every 512: both have to be positive"),
        ({"stride": 0}, "a window of 1024 samples every 0: both have to be positive"),
        ({"channels": ("a", "a")}, "channels are a, a: name each of them once"),
        ({"front": ("bands", "bands")}, r"front is \['bands', 'bands'\]: name one or more of raw, statistics"),
        ({"segment": 100}, "segment is 100: give a power of two, 8 at least"),
        ({"length": 20}, "20 numbers in segments of 256 points have 7 frequencies, too few for 16 bands"),
        ({"envelope": (1.0, 2.0)}, "the front end envelope and the band of frequencies that it demodulates"),
        ({"front": ("envelope",), "envelope": (1.0, 2.0), "rate": 0.0}, "need the rate of the samples"),
        (
            {"front": ("envelope",), "envelope": (4e3, 7e3)},
            "envelope is 4000 to 7000 Hz, of 12000 samples a second",
        ),
        ({"front": ("envelope",), "envelope": (400.0, 410.0)}, "takes 2400 samples for a number, and 600 more"),
        ({"front": ("statistics",), "speed": "rpm"}, "a shaft's speed is of use to bands and envelope alone"),
        ({"ranges": {"b": (0.0, 1.0)}}, "the range of 'b' is from 0.0 to 1.0"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        signal(**options)

"""Statistics of windows against SciPy's, and where a signal has none."""

import numpy as np
import pytest
from scipy import stats

from fedmetaalign.signals import Signal, features, names, shared


def signal(**options):
    return Signal(**{"length": 100, "stride": 50, "channels": ("a", "b"), "front": ("statistics",)} | options)


def test_statistics_are_those_of_scipy():
    windows = np.random.default_rng(0).gamma(2, 3, (50, 1000, 2)) - 4
    found = features(signal(length=1000), windows).reshape(50, 2, 8).astype(np.float64)
    x = windows.astype(np.float32).astype(np.float64)
    expected = [
        x.mean(axis=1),
        np.sqrt((x**2).mean(axis=1)),
        x.std(axis=1),
        stats.skew(x, axis=1),
        stats.kurtosis(x, axis=1, fisher=False),
        np.abs(x).max(axis=1) / np.sqrt((x**2).mean(axis=1)),
        np.ptp(x, axis=1),
        np.count_nonzero(np.diff(x > x.mean(axis=1, keepdims=True), axis=1), axis=1),
    ]
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), rtol=2e-6)


def test_an_offset_costs_no_more_digits_than_the_samples_have_lost():
    x = np.random.default_rng(0).normal(0, 1, (20, 1000, 1)).astype(np.float32) + np.float32(1000)
    found = features(signal(length=1000, channels=("a",)), x)
    np.testing.assert_allclose(found[:, 2], x[:, :, 0].std(axis=1, dtype=np.float64), rtol=2e-6)
    np.testing.assert_allclose(
        found[:, 4], stats.kurtosis(x[:, :, 0].astype(float), axis=1, fisher=False), rtol=2e-4
    )


@pytest.mark.parametrize("level", [0.1, -2e4, 0.0, 1e-30])
def test_a_constant_signal_has_neither_spread_nor_shape(level):
    found = features(signal(channels=("a",)), np.full((1, 100, 1), level))[0]
    assert (found[[2, 3, 4, 6, 7]] == 0).all()
    assert found[0] == pytest.approx(level, rel=1e-6)


def test_scale_changes_no_shape():
    x = np.random.default_rng(0).normal(0, 1, (20, 100, 2)).astype(np.float32)
    shapes = [
        features(signal(), x * np.float32(scale)).reshape(20, 2, 8)[..., [3, 4, 5, 7]]
        for scale in (1, 2**-60, 2**50)
    ]
    assert (shapes[0] == shapes[1]).all()
    assert (shapes[0] == shapes[2]).all()


def test_raw_features_come_in_order_of_time_and_share_a_scale_by_channel():
    both = signal(front=("statistics", "raw"), length=3, stride=1)
    assert names(both)[16:] == ("a.0", "b.0", "a.1", "b.1", "a.2", "b.2")
    assert shared(both).tolist() == [*range(16), 16, 17, 16, 17, 16, 17]
    window = np.arange(6.0).reshape(1, 3, 2)
    assert features(both, window)[0, 16:].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_broken_sample_breaks_its_channel_alone_and_of_raw_itself_alone():
    both = signal(front=("statistics", "raw"), length=4, ranges={"b": (0.0, 9.0)})
    windows = np.ones((3, 4, 2))
    windows[0, 1, 0], windows[1, 2, 1] = np.inf, 9.5
    lost = np.isnan(features(both, windows))
    assert np.flatnonzero(lost[0]).tolist() == [*range(8), 16 + 2]
    assert np.flatnonzero(lost[1]).tolist() == [*range(8, 16), 16 + 5]
    assert not lost[2].any()


def test_windows_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"the windows have shape \(1, 99, 2\), but each has to have 100 samples of a, b"
    ):
        features(signal(), np.zeros((1, 99, 2)))

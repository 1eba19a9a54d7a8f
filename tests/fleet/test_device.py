"""Standardisation from sums: what leaves a device under `scaling = "fleet"`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from fedmetaalign.fleet.device import Moments


def column(*values):
    return np.array(values, float)[:, None]


def test_the_mean_and_deviation_of_a_few_numbers():
    # 2, 4, 4, 4, 5, 5, 7, 9: mean 5, variance 4 (over n, not n - 1)
    mean, scale = Moments.of(column(2, 4, 4, 4, 5, 5, 7, 9)).standardization()
    assert mean.tolist() == [5]
    assert scale.tolist() == [2]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 10, -1000]),
)
def test_pooled_moments_are_those_of_all_samples_together(features, rows, seed, offset):
    random = np.random.default_rng(seed)
    shares = [random.normal(offset, 3, (n, features)) for n in rows]
    pooled = Moments.of(shares[0])
    for share in shares[1:]:
        pooled = pooled + Moments.of(share)
    together = Moments.of(np.concatenate(shares))
    assert pooled.count == together.count == sum(rows)
    for one, other in zip(pooled.standardization(), together.standardization(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_it_standardises_as_scikit_learn_does():
    x = np.random.default_rng(0).normal([0, 50, -3e4], [1, 0.01, 200], (500, 3))
    peer = StandardScaler().fit(x)
    mean, scale = Moments.of(x).standardization()
    np.testing.assert_allclose(mean, peer.mean_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scale, peer.scale_, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -273.15, 1e6, 1 / 3, 1e-9, 1e12])
def test_a_constant_feature_has_scale_one(value):
    mean, scale = Moments.of(column(*[value] * 997)).standardization()
    assert mean == pytest.approx(value, rel=1e-12)
    assert scale.tolist() == [1]


def test_rounding_noise_on_a_large_offset_is_still_constant():
    noise = np.random.default_rng(0).choice([0, 1.2e-10, -1.2e-10], 1000)  # the last bit of 1e6
    _, scale = Moments.of(column(*(1e6 + noise))).standardization()
    assert scale.tolist() == [1]


def test_a_constant_feature_does_not_disturb_its_neighbour():
    x = np.column_stack([np.full(4, 7.0), [0, 0, 2, 2]])
    mean, scale = Moments.of(x).standardization()
    assert mean.tolist() == [7, 1]
    assert scale.tolist() == [1, 1]


def test_a_feature_that_is_constant_on_each_device_but_not_in_the_fleet_varies():
    pooled = Moments.of(column(1, 1)) + Moments.of(column(5, 5))
    mean, scale = pooled.standardization()
    assert mean.tolist() == [3]
    assert scale.tolist() == [2]


def test_a_narrow_feature_far_from_zero_is_scaled_as_scikit_learn_scales_it():
    # A quarter of an hour of Unix time: deviation 260 s about 1.7e9 s. With a scale of 1 its inputs would
    # reach 450.
    seconds = column(*(1.7e9 + np.arange(900.0)))
    _, scale = Moments.of(seconds).standardization()
    assert scale[0] == pytest.approx(StandardScaler().fit(seconds).scale_[0], rel=1e-2)

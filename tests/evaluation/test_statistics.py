import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from fedmetaalign.evaluation.statistics import (
    RESAMPLES,
    draw,
    holm,
    over_fleet,
    over_seeds,
    paired_p,
    worst,
    worst_decile,
)

NAN = np.nan


def test_every_replicate_draws_as_many_as_there_are_and_the_same_every_time() -> None:
    draws = draw(3, 7)
    assert draws.seeds.shape == (3, RESAMPLES)
    assert draws.devices.shape == (7, RESAMPLES)
    assert set(draws.seeds.sum(axis=0)) == {3}
    assert set(draws.devices.sum(axis=0)) == {7}
    np.testing.assert_allclose(draws.devices.mean(axis=1), 1, atol=0.05)
    np.testing.assert_array_equal(draw(3, 7).devices, draws.devices)


def test_seeds_are_drawn_alike_whatever_the_devices() -> None:
    np.testing.assert_array_equal(draw(5, 2).seeds, draw(5, 30).seeds)
    assert not np.array_equal(draw(5, 5).seeds, draw(5, 5).devices)


def test_over_seeds_gives_each_quantity_its_own_interval() -> None:
    # Two seeds: a replicate's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    found = over_seeds(np.array([[0.0, 1.0], [0.25, 0.25]]), draw(2, 1))
    np.testing.assert_array_equal(found.mean, [0.5, 0.25])
    np.testing.assert_array_equal(found.low, [0.0, 0.25])
    np.testing.assert_array_equal(found.high, [1.0, 0.25])
    np.testing.assert_array_equal(found.values, [[0.0, 1.0], [0.25, 0.25]])


def test_undefined_seeds_are_left_out_of_mean_and_interval() -> None:
    found = over_seeds(np.array([[0.5, NAN, 0.7], [NAN, 0.4, NAN], [NAN, NAN, NAN]]), draw(3, 1))
    np.testing.assert_allclose(found.mean, [0.6, 0.4, NAN])
    np.testing.assert_allclose(found.low, [0.5, NAN, NAN])
    np.testing.assert_allclose(found.high, [0.7, NAN, NAN])


def test_one_seed_has_no_interval() -> None:
    found = over_seeds(np.array([0.8]), draw(1, 1))
    assert found.mean == 0.8
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_over_seeds_agrees_with_scipy() -> None:
    values = np.array([0.91, 0.93, 0.88, 0.95, 0.90, 0.97, 0.92, 0.85, 0.94, 0.96])
    found = over_seeds(values, draw(10, 1))
    peer = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found.low == pytest.approx(peer.low, abs=0.001)
    assert found.high == pytest.approx(peer.high, abs=0.001)


def test_over_fleet_with_one_seed_is_scipys_bootstrap_over_devices() -> None:
    values = np.array([0.91, 0.73, 0.88, 0.95, 0.60, 0.97, 0.92, 0.85])
    found = over_fleet(values[None], draw(1, 8))
    peer = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found.low == pytest.approx(peer.low, abs=0.004)
    assert found.high == pytest.approx(peer.high, abs=0.004)


def test_the_same_devices_are_drawn_in_every_seed() -> None:
    # Both devices drawn alike has a chance of 1/2, whatever the seeds. Drawn again in each of ten seeds, twenty
    # throws of a coin would stay within 0.3 and 0.7.
    found = over_fleet(np.tile([0.0, 1.0], (10, 1)), draw(10, 2))
    assert (found.low, found.mean, found.high) == (0.0, 0.5, 1.0)


def test_repeating_a_seed_does_not_narrow_the_interval_over_devices() -> None:
    devices = np.array([0.9, 0.7, 0.8, 0.95, 0.6])
    once, often = over_fleet(devices[None], draw(1, 5)), over_fleet(np.tile(devices, (10, 1)), draw(10, 5))
    assert often.low == pytest.approx(float(once.low))
    assert often.high == pytest.approx(float(once.high))


def test_with_one_device_the_fleet_is_that_device() -> None:
    values = np.array([0.5, 0.6, 0.9])
    fleet, device = over_fleet(values[:, None], draw(3, 1)), over_seeds(values, draw(3, 1))
    assert (fleet.mean, fleet.low, fleet.high) == (device.mean, device.low, device.high)


def test_the_fleets_variance_is_that_of_the_pigeonhole_bootstrap() -> None:
    # Only seed 1 and device 1 together give 1: a replicate's mean is a product of two independent shares, each
    # 0, 1/2 or 1 with chances 1/4, 1/2, 1/4. It is 0 with a chance of 7/16 and 1 with one of 1/16.
    found = over_fleet(np.array([[0.0, 0.0], [0.0, 1.0]]), draw(2, 2))
    assert (found.mean, found.low, found.high) == (0.25, 0.0, 1.0)


def test_a_seeds_value_is_the_mean_over_its_defined_devices() -> None:
    found = over_fleet(np.array([[0.2, 0.4], [NAN, 0.8], [NAN, NAN]]), draw(3, 2))
    np.testing.assert_allclose(found.values, [0.3, 0.8, NAN])
    assert found.mean == pytest.approx(0.55)
    assert found.low == pytest.approx(0.2)
    assert found.high == pytest.approx(0.8)


def test_nothing_defined_gives_nothing() -> None:
    found = over_fleet(np.full((2, 3), NAN), draw(2, 3))
    assert np.isnan([found.mean, found.low, found.high]).all()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.just(NAN), st.floats(-1, 1)), min_size=4, max_size=4), min_size=3, max_size=3
    )
)
def test_the_interval_holds_the_mean_and_stays_within_the_data(rows: list[list[float]]) -> None:
    values = np.array(rows)
    found = over_fleet(values, draw(3, 4))
    if np.count_nonzero(~np.isnan(values)) > 1:
        assert found.low <= found.mean <= found.high
        assert found.low >= np.nanmin(values) - 1e-12
        assert found.high <= np.nanmax(values) + 1e-12


def test_a_symmetric_sample_has_a_symmetric_interval() -> None:
    found = over_seeds(np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]), draw(7, 1))
    assert found.low == pytest.approx(-found.high, abs=0.15)
    assert found.high > 1


def test_worst_is_the_least_defined_value() -> None:
    np.testing.assert_array_equal(worst(np.array([[0.9, 0.4, NAN], [NAN, NAN, NAN]])), [0.4, NAN])


def test_worst_decile_is_the_mean_of_the_lowest_tenth_and_of_one_at_least() -> None:
    twenty = np.arange(20.0)[::-1]
    assert worst_decile(twenty) == 0.5
    assert worst_decile(twenty[:19]) == 1.0  # 1.9 devices are one
    assert worst_decile(np.array([0.7, NAN, 0.3])) == 0.3
    assert np.isnan(worst_decile(np.array([NAN, NAN])))
    np.testing.assert_array_equal(worst_decile(np.stack([twenty, twenty + 1])), [0.5, 1.5])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 2 / 8),  # 6 and -6 of the eight sums
        ([3, 2, -1], 4 / 8),  # 4 and 6, and their opposites
        ([1, 1, -1], 1.0),
        ([0.1, 0.2, -0.3], 1.0),  # zero, but not in binary
        ([0.1, 0.2, 0.0], 4 / 8),  # the zero is its own opposite
        ([0.0, 0.0, 0.0], 1.0),
        ([0.01] * 10, 1 / 512),
        ([1, 1], 2 / 4),
    ],
)
def test_paired_p_counts_the_sign_patterns_at_least_as_extreme(differences: list[float], p: float) -> None:
    a = np.array(differences, float)
    assert paired_p(a, np.zeros(len(a))) == pytest.approx(p)
    assert paired_p(np.zeros(len(a)), a) == pytest.approx(p)


def test_equal_differences_count_as_equal_though_they_round_differently() -> None:
    # 0.6, 0.1, -0.1 and -0.6 sum to zero, and so do three more patterns; in binary these four differ, and the p
    # would be 0.875.
    a, b = np.array([0.6, 0.9, 0.3, 0.3]), np.array([0.0, 0.8, 0.4, 0.9])
    assert paired_p(a, b) == 1.0


def test_paired_p_needs_two_pairs() -> None:
    assert paired_p(np.array([0.9, NAN, 0.8]), np.array([0.5, 0.5, NAN])) is None
    assert paired_p(np.array([0.9, NAN, 0.8]), np.array([0.5, 0.5, 0.5])) == pytest.approx(2 / 4)


def test_beyond_thirteen_pairs_random_patterns_come_close_to_all_of_them() -> None:
    a = np.array([1.0] * 11 + [-1.0] * 3)
    # Sums of 14 signs that are at least 8 from zero: 3 or fewer of one sign.
    exact = 2 * (1 + 14 + 91 + 364) / 2**14
    assert paired_p(a, np.zeros(14)) == pytest.approx(exact, abs=0.01)
    assert paired_p(a, np.zeros(14)) == paired_p(a, np.zeros(14))


def test_holm() -> None:
    # Rising: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, which may not be less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_passes_none_through_and_does_not_count_it() -> None:
    assert holm([0.02, None, 0.04]) == [0.04, None, 0.04]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []

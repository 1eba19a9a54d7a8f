"""Median, trimmed mean and Krum with numbers worked out by hand, and against devices that lie."""

from functools import partial

import numpy as np
import pytest
from cohorts import cohort, near
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.aggregation.krum import krum
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.median import median
from fedmetaalign.aggregation.places import shares
from fedmetaalign.aggregation.trimmed_mean import trimmed_mean


class TestPlaces:
    def test_equal_values_share_the_places_they_take_together(self):
        # Sorted: 1 1 2 5. Of the places 1 and 2, the ones have place 1 together and the two has place 2.
        held = shares(np.array([[1.0], [5.0], [1.0], [2.0]]), 1, 3)
        assert held[:, 0] == near([0.25, 0, 0.25, 0.5])

    def test_every_column_is_ranked_by_itself(self):
        assert shares(np.array([[1, 9], [2, 8]]), 0, 1).tolist() == [[1, 0], [0, 1]]


class TestMedian:
    def test_each_coordinate_is_decided_by_itself(self):
        # Sorted: 1 2 9 and -3 4 5 and 0 6 7: the second device is in the middle twice, the first once.
        made = median(cohort([1, 5, 6], [2, 4, 0], [9, -3, 7]))
        assert made.step.tolist() == [2, 4, 6]
        assert made.weights == near([1 / 3, 2 / 3, 0])
        assert made.alignment is None

    def test_of_an_even_number_the_two_in_the_middle_share(self):
        made = median(cohort([1], [2], [4], [9]))
        assert made.step.tolist() == [3]
        assert made.weights.tolist() == [0, 0.5, 0.5, 0]


class TestTrimmedMean:
    def test_the_extremes_are_cut(self):
        made = trimmed_mean(cohort([0], [1], [2], [3], [100]), byzantine=0.2)
        assert made.step == near([2])
        assert made.weights == near([0, 1 / 3, 1 / 3, 1 / 3, 0])

    def test_each_coordinate_is_cut_by_itself(self):
        # Kept: 1 and 2; 3 and 4.
        made = trimmed_mean(cohort([0, 3], [1, 4], [2, 9], [8, 0]), byzantine=0.25)
        assert made.step == near([1.5, 3.5])
        assert made.weights == near([1 / 4, 1 / 2, 1 / 4, 0])

    def test_a_share_of_less_than_one_device_cuts_nothing(self):
        assert trimmed_mean(cohort([0], [1], [2], [101]), byzantine=0.2).step == near([26])


class TestKrum:
    def test_it_follows_the_device_with_the_closest_company(self):
        # 0, 1, 3 and 10 with two neighbours: 1 + 9, 1 + 4, 4 + 9, 49 + 81.
        made = krum(cohort([0], [1], [3], [10]), byzantine=0.2)
        assert made.weights.tolist() == [0, 1, 0, 0]
        assert made.step.tolist() == [1]

    def test_a_liar_less_means_a_neighbour_less_and_ties_share(self):
        # One neighbour: 1, 1, 4, 49.
        made = krum(cohort([0], [1], [3], [10]), byzantine=0.25)
        assert made.weights.tolist() == [0.5, 0.5, 0, 0]
        assert made.step.tolist() == [0.5]

    def test_multi_krum_averages_the_best(self):
        made = krum(cohort([0], [1], [3], [10]), byzantine=0.25, keep=3)
        assert made.weights == near([1 / 3, 1 / 3, 1 / 3, 0])
        assert made.step == near([4 / 3])

    def test_keeping_more_than_there_are_is_the_plain_mean(self):
        made = krum(cohort([0], [1], [3], [10], samples=[1, 2, 3, 4]), keep=9)
        assert made.step == near([3.5])

    def test_of_two_devices_neither_is_preferred(self):
        assert krum(cohort([0, 1], [8, 5])).weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "rule",
    [median, trimmed_mean, krum, partial(krum, keep=2)],
    ids=["median", "trimmed mean", "krum", "multi-krum"],
)
@settings(max_examples=40, deadline=None)
@given(
    honest=st.lists(st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)), min_size=4, max_size=4),
    lie=st.tuples(st.sampled_from([-1e30, -1e6, 1e6, 1e30]), st.sampled_from([-1e30, 0.0, 1e30])),
)
def test_one_liar_of_five_stays_without_power(rule, honest, lie):
    sent = cohort(*honest, lie, query_scores=[0.5, 0.5, 0.5, 0.5, 1], samples=[1, 1, 1, 1, 10**6])
    step, deltas = rule(sent).step, np.array(honest)
    assert (step >= deltas.min(axis=0) - 1e-6).all()
    assert (step <= deltas.max(axis=0) + 1e-6).all()
    assert np.abs(mean(sent).step).max() > 1e5  # the liar has its way with the mean

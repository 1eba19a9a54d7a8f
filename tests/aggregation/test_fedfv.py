"""FedFV with numbers worked out by hand."""

import numpy as np
from cohorts import cohort, near

from fedmetaalign.aggregation.fedfv import fedfv


def test_the_better_device_gives_way_and_the_worst_keeps_its_delta():
    # (4, 0) . (-1, 1) = -4, and |(-1, 1)|^2 = 2: the better device turns to (4, 0) + 2 (-1, 1) = (2, 2).
    # The mean with (-1, 1) is (0.5, 1.5), as long as the mean of the deltas, (1.5, 0.5).
    # Once the first delta and 2 + 1 times the second: shares 1/4 and 3/4.
    made = fedfv(cohort([4, 0], [-1, 1], query_scores=[0.9, 0.5]))
    assert made.step == near([0.5, 1.5])
    assert made.weights == near([0.25, 0.75])


def test_with_the_scores_exchanged_the_other_gives_way():
    # (-1, 1) + 4/16 (4, 0) = (0, 1); the mean (2, 0.5), of length sqrt(4.25), is scaled to sqrt(2.5).
    made = fedfv(cohort([4, 0], [-1, 1], query_scores=[0.5, 0.9]))
    assert made.step == near(np.sqrt(2.5 / 4.25) * np.array([2, 0.5]))
    assert made.weights == near([5 / 9, 4 / 9])


def test_conflicts_are_removed_in_rising_order_of_loss():
    # a = (-1, 0), b = (1, 1), c = (1, -2), from the least loss to the greatest; c keeps its delta.
    # a: with b, -1 of 2: a + b/2 = (-0.5, 0.5); then with c, -1.5 of 5: + 0.3 c = (-0.2, -0.1).
    # b: with a, -1 of 1: b + a = (0, 1); then with c, -2 of 5: + 0.4 c = (0.4, 0.2).
    # The sum is (1.2, -1.9), that of the deltas (1, -1); the factors are 2, 1.5 and 1.7 of 5.2.
    made = fedfv(cohort([-1, 0], [1, 1], [1, -2], query_scores=[0.9, 0.8, 0.5]))
    assert made.step == near(2**0.5 / 3 * np.array([1.2, -1.9]) / 5.05**0.5)
    assert made.weights == near([2 / 5.2, 1.5 / 5.2, 1.7 / 5.2])


def test_the_order_of_removal_matters():
    # Now b has the greatest loss: a meets c first, -1 of 5: a + 0.2 c = (-0.8, -0.4); then b, -1.2 of 2:
    # + 0.6 b = (-0.2, 0.2). c: with a, -1 of 1: c + a = (0, -2); then with b, -2 of 2: + b = (1, -1).
    # The factors are 2, 0.6 + 1 + 1 and 0.2 + 1 of 5.8.
    made = fedfv(cohort([-1, 0], [1, 1], [1, -2], query_scores=[0.9, 0.5, 0.8]))
    assert made.weights == near([2 / 5.8, 2.6 / 5.8, 1.2 / 5.8])


def test_alpha_lets_more_devices_keep_their_deltas():
    # Half of the two others of three: only a gives way, to (-0.2, -0.1) as above. Factors 1, 1.5 and 1.3.
    made = fedfv(cohort([-1, 0], [1, 1], [1, -2], query_scores=[0.9, 0.8, 0.5]), alpha=0.5)
    assert made.weights == near([1 / 3.8, 1.5 / 3.8, 1.3 / 3.8])


def test_without_conflicts_it_is_the_plain_mean():
    made = fedfv(cohort([4, 0], [0, 2], [2, 1], query_scores=[0.9, 0.1, 0.5], samples=[1, 10, 100]))
    assert made.step == near([2, 1])
    assert made.weights == near([1 / 3] * 3)


def test_where_the_conflicts_leave_nothing_the_step_is_zero():
    # 2 and -1 cancel each other, and the worst device did not move, though the mean is 1/3.
    made = fedfv(cohort([2], [-1], [0], query_scores=[0.9, 0.8, 0.5]))
    assert made.step.tolist() == [0]


def test_a_residue_of_rounding_is_not_blown_up_to_the_length_of_the_mean():
    # The direction of 0.3 and -0.1 in float32, removed from each other, is 1e-9 and not 0.
    made = fedfv(cohort([0.3, 0.7], [-0.1, -0.7 / 3], [0, 0], query_scores=[0.9, 0.8, 0.5]))
    assert made.step.tolist() == [0, 0]


def test_of_equal_scores_the_first_comes_first():
    sent = cohort([4, 0], [-1, 1], query_scores=[0.7, 0.7])
    assert fedfv(sent).weights == near([0.25, 0.75])

"""FLTrust with numbers worked out by hand."""

import pytest
from cohorts import cohort, near

from fedmetaalign.aggregation.fltrust import fltrust


def test_trust_is_the_cosine_with_the_root_and_the_length_is_the_roots():
    # Cosines with (2, 0): 3/5, 0, -1, 1. Shares of the trust, 1.6 in all: 3/8 of the direction (3/5, 4/5) and
    # 5/8 of (1, 0), together (0.85, 0.3), times the root's length of 2.
    made = fltrust(cohort([3, 4], [0, 5], [-1, 0], [10, 0], root=[2, 0]))
    assert made.alignment == near([0.6, 0, -1, 1])
    assert made.weights == near([0.375, 0, 0, 0.625])
    assert made.step == near([1.7, 0.6])


def test_a_longer_delta_and_a_better_score_gain_nothing():
    one = fltrust(cohort([3, 4], [4, 3], query_scores=[0.5, 0.5], root=[1, 0]))
    other = fltrust(cohort([3e6, 4e6], [4, 3], query_scores=[1, 0.5], samples=[10**6, 1], root=[1, 0]))
    assert other.step == near(one.step)
    assert other.weights == near([3 / 7, 4 / 7])


@pytest.mark.parametrize("root", [[1, 0], [0, 0]])
def test_where_nobody_is_trusted_the_step_is_zero(root):
    made = fltrust(cohort([-1, 0], [0, 2], root=root))
    assert made.weights.tolist() == [0, 0]
    assert made.step.tolist() == [0, 0]


def test_a_device_that_did_not_move_is_not_trusted():
    made = fltrust(cohort([0, 0], [0, 3], root=[0, 1]))
    assert made.weights.tolist() == [0, 1]
    assert made.step == near([0, 1])


def test_without_a_root_it_says_so():
    with pytest.raises(ValueError, match="the cohort has no root"):
        fltrust(cohort([1, 0]))

"""The paper's rule with numbers worked out by hand, and what the paper leaves open."""

from dataclasses import replace

import numpy as np
import pytest
from cohorts import cohort, near
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.aggregation.similarity import similarity


class TestTwoDevices:
    def test_equal_norms_leave_the_weights_to_the_scores(self):
        # Both align at cos(45 degrees): query scores 0.9 and 0.6 give 3/5 and 2/5.
        made = similarity(cohort([1, 0], [0, 1], query_scores=[0.9, 0.6]))
        assert made.alignment == near([0.5**0.5, 0.5**0.5])
        assert made.weights == near([0.6, 0.4])
        assert made.step == near([0.6, 0.4])

    @given(st.floats(0.01, 3.1), st.floats(0.1, 1), st.floats(0.1, 1))
    @settings(max_examples=50, deadline=None)
    def test_equal_norms_do_so_at_any_angle(self, angle, one, other):
        made = similarity(cohort([1, 0], [np.cos(angle), np.sin(angle)], query_scores=[one, other]))
        # Float32 rounds the second delta's length by 6e-8, and a wide angle magnifies it.
        assert made.weights[0] == pytest.approx(one / (one + other), rel=1e-5)

    def test_the_longer_of_two_orthogonal_deltas_gets_more(self):
        # The mean points along (3, 4), so the cosines are 3/5 and 4/5 and the weights 3/7 and 4/7.
        made = similarity(cohort([3, 0], [0, 4]))
        assert made.alignment == near([0.6, 0.8])
        assert made.weights == near([3 / 7, 4 / 7])
        assert made.step == near([9 / 7, 16 / 7])

    def test_a_lower_score_can_outweigh_a_longer_delta(self):
        # 1 * 3/5 against 1/2 * 4/5: 0.6 to 0.4.
        assert similarity(cohort([3, 0], [0, 4], query_scores=[1, 0.5])).weights == near([0.6, 0.4])

    def test_opposite_deltas_of_equal_norm_have_no_direction_to_agree_with(self):
        made = similarity(cohort([1, -2], [-1, 2], query_scores=[0.75, 0.25]))
        assert made.alignment.tolist() == [0, 0]
        assert made.weights == near([0.75, 0.25])
        assert made.step == near([0.5, -1])


class TestManyDevices:
    @pytest.mark.parametrize("k", [2, 3, 4, 10])
    def test_orthogonal_deltas_align_at_one_over_root_k(self, k):
        made = similarity(cohort(*np.eye(k)))
        assert made.alignment == near([k**-0.5] * k)
        assert made.weights == near([1 / k] * k)

    def test_the_floor_keeps_an_opposing_device_in(self):
        # The deltas sum to (6, 0); cosines with (1, 0): 4/5, 4/5, -1, and the last is lifted to 0.1.
        # Scores 1, 1/2, 1/2 give 0.8, 0.4, 0.05, together 1.25: weights 0.64, 0.32, 0.04.
        # Step: x = 4*0.64 + 4*0.32 - 2*0.04 = 3.76, y = 3*0.64 - 3*0.32 = 0.96.
        made = similarity(cohort([4, 3], [4, -3], [-2, 0], query_scores=[1, 0.5, 0.5]))
        assert made.alignment == near([0.8, 0.8, -1])
        assert made.weights == near([0.64, 0.32, 0.04])
        assert made.step == near([3.76, 0.96])

    def test_without_a_floor_an_opposing_device_is_out(self):
        made = similarity(cohort([4, 3], [4, -3], [-2, 0], query_scores=[1, 0.5, 0.5]), floor=0)
        assert made.weights == near([2 / 3, 1 / 3, 0])

    def test_a_floor_of_one_leaves_the_weights_to_the_scores(self):
        made = similarity(cohort([4, 3], [4, -3], [-2, 0], query_scores=[1, 0.5, 0.5]), floor=1)
        assert made.weights == near([0.5, 0.25, 0.25])

    def test_a_device_that_did_not_move_takes_part_with_the_floor(self):
        # Alignments 1, 1, 0: weights 1, 1, 0.1 of 2.1.
        made = similarity(cohort([2, 0], [2, 0], [0, 0]))
        assert made.alignment.tolist() == [1, 1, 0]
        assert made.weights == near([1 / 2.1, 1 / 2.1, 0.1 / 2.1])

    def test_when_nobody_moved_the_scores_decide(self):
        made = similarity(cohort([0, 0], [0, 0], [0, 0], query_scores=[0.5, 0.3, 0.2]))
        assert made.alignment.tolist() == [0, 0, 0]
        assert made.weights == near([0.5, 0.3, 0.2])

    def test_without_a_floor_and_with_nobody_aligned_all_weigh_the_same(self):
        made = similarity(cohort([1, 0], [-1, 0], query_scores=[0.9, 0.1]), floor=0)
        assert made.weights.tolist() == [0.5, 0.5]
        assert made.step.tolist() == [0, 0]


class TestReference:
    def test_others_leaves_a_delta_out_of_its_own_reference(self):
        # Without itself each sees the sum of the others: (1, 2), (2, 1) and (1, 1).
        # cos((1,0),(1,2)) = cos((0,1),(2,1)) = 1/sqrt(5); cos((1,1),(1,1)) = 1.
        made = similarity(cohort([1, 0], [0, 1], [1, 1]), reference="others")
        assert made.alignment == near([5**-0.5, 5**-0.5, 1])

    def test_orthogonal_deltas_do_not_align_with_the_others(self):
        made = similarity(cohort(*np.eye(4)), reference="others")
        assert made.alignment == near([0] * 4)

    def test_opposite_deltas_oppose_the_others(self):
        made = similarity(cohort([1, -2], [-1, 2]), reference="others")
        assert made.alignment == near([-1, -1])
        assert made.weights == near([0.5, 0.5])

    def test_unit_norm_keeps_a_long_delta_from_setting_the_direction(self):
        # Of (10, 0) and (0, 1) the mean aligns at 10 to 1; of their directions both align at 45 degrees.
        deltas = cohort([10, 0], [0, 1])
        assert similarity(deltas, floor=0).weights == near([10 / 11, 1 / 11])
        made = similarity(deltas, unit_norm=True)
        assert made.alignment == near([0.5**0.5, 0.5**0.5])
        assert made.weights == near([0.5, 0.5])
        assert made.step == near([5, 0.5])  # the step itself keeps the lengths

    def test_unit_norm_with_the_others(self):
        # Directions (1,0), (0,1), (1,0): without itself (1,1), (2,0), (1,1).
        made = similarity(cohort([5, 0], [0, 3], [2, 0]), reference="others", unit_norm=True)
        assert made.alignment == near([0.5**0.5, 0, 0.5**0.5])

    # The root points along (0, 1): cosines 3/5, -3/5 and 0, the last two raised to 0.1. With scores 1, 1/2, 1/2
    # that is 0.6, 0.05 and 0.05 of 0.7.
    ROOTED = cohort([4, 3], [4, -3], [-2, 0], query_scores=[1, 0.5, 0.5], root=[0, 7])

    def test_root_compares_with_the_servers_own_delta(self):
        made = similarity(self.ROOTED, reference="root")
        assert made.alignment == near([0.6, -0.6, 0])
        assert made.weights == near([6 / 7, 0.5 / 7, 0.5 / 7])
        assert made.step == near([(24 + 2 - 1) / 7, (18 - 1.5) / 7])

    def test_the_roots_length_is_of_no_matter_and_unit_norm_neither(self):
        tiny = replace(self.ROOTED, root=self.ROOTED.root * 1e-20)
        for options in ({}, {"unit_norm": True}):
            made = similarity(tiny, reference="root", **options)
            assert made.weights == near([6 / 7, 0.5 / 7, 0.5 / 7])

    def test_a_root_that_did_not_move_leaves_the_weights_to_the_scores(self):
        made = similarity(replace(self.ROOTED, root=np.zeros(2, np.float32)), reference="root")
        assert made.alignment.tolist() == [0, 0, 0]
        assert made.weights == near([0.5, 0.25, 0.25])

    def test_without_a_root_it_says_so(self):
        with pytest.raises(ValueError, match="the cohort has no root"):
            similarity(cohort([1, 0]), reference="root")


class TestCriteria:
    # As above: alignments 4/5, 4/5 and -1, the last raised to 0.1.
    SENT = cohort([4, 3], [4, -3], [-2, 0], query_scores=[1, 0.5, 0.5])

    @pytest.mark.parametrize(
        ("criteria", "weights"),
        [
            (("score", "alignment"), [0.64, 0.32, 0.04]),
            (("alignment", "score"), [0.64, 0.32, 0.04]),
            (("score",), [0.5, 0.25, 0.25]),
            (("alignment",), [8 / 17, 8 / 17, 1 / 17]),
            ((), [1 / 3, 1 / 3, 1 / 3]),
        ],
    )
    def test_the_weight_is_the_product_of_the_criteria(self, criteria, weights):
        made = similarity(self.SENT, criteria=criteria)
        assert made.weights == near(weights)
        assert made.alignment == near([0.8, 0.8, -1])  # told in any case


class TestNumerics:
    def test_a_direction_that_is_only_float32_rounding_is_none(self):
        # 0.1 + 0.2 - 0.3 is zero, but of the nearest float32 numbers it is -7.5e-9. That residue must not
        # decide that the third device is right (weight 10/12) and the two others are wrong.
        made = similarity(cohort([0.1], [0.2], [-0.3]))
        assert made.alignment.tolist() == [0, 0, 0]
        assert made.weights == near([1 / 3, 1 / 3, 1 / 3])

    def test_a_small_common_direction_among_large_opposite_deltas_counts(self):
        # The mean is (0, 0.01): small beside 1, but far above rounding; both align at 0.01 / sqrt(1.0001).
        made = similarity(cohort([1, 0.01], [-1, 0.01]), floor=0)
        assert made.alignment == pytest.approx([0.01 / 1.0001**0.5] * 2, rel=1e-6)

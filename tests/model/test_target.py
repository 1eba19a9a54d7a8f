"""What a label means: numbers worked out by hand, two classes as they always were, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from fedmetaalign.model.target import BINARY, Target

BEARING = Target(("ok", "wear", "crack"))
TWO_NORMAL = Target(("idle", "wear", "ok", "crack"), normal=(0, 2))
TWELVE = Target(tuple(map(str, range(12))), normal=(3,))
LN = np.log([[1, 2, 7, 10]]).astype(np.float32)  # softmax: 1/20, 2/20, 7/20, 10/20

many_logits = st.integers(0, 30).flatmap(
    lambda rows: arrays(np.float32, (rows, 12), elements=st.floats(-1000, 1000, width=32))
)
one_logit = arrays(np.float32, st.integers(0, 30), elements=st.floats(-1000, 1000, width=32))


class TestClasses:
    def test_two_are_distinguished_by_one_output_and_more_by_one_each(self):
        assert [target.outputs for target in (BINARY, BEARING, TWO_NORMAL, TWELVE)] == [1, 3, 4, 12]

    def test_what_is_not_normal_is_a_fault(self):
        assert [target.fault for target in (BINARY, BEARING, TWO_NORMAL)] == [(1,), (1, 2), (1, 3)]
        assert TWO_NORMAL.faults(np.array([0, 1, 2, 3], np.float32)).tolist() == [0, 1, 0, 1]
        y = np.array([0, 1, 1], np.float32)
        assert BINARY.faults(y).tobytes() == y.astype(np.int8).tobytes()

    def test_equal_lists_are_one_target(self):
        # A key of caches: compiled code and stored cells.
        assert {BINARY, Target(), Target(("ok", "fault")), BEARING} == {
            BINARY,
            BEARING,
            Target(("ok", "fault")),
        }


class TestProbabilities:
    def test_two_classes(self):
        # sigmoid(ln 3) = 3/4
        z = np.log(np.array([1, 3, 1 / 3])).astype(np.float32)
        np.testing.assert_allclose(
            BINARY.probabilities(z), [[1 / 2, 1 / 2], [1 / 4, 3 / 4], [3 / 4, 1 / 4]], rtol=1e-7
        )

    def test_four_classes(self):
        np.testing.assert_allclose(TWO_NORMAL.probabilities(LN), [[0.05, 0.1, 0.35, 0.5]], rtol=1e-6)
        np.testing.assert_allclose(TWO_NORMAL.fault_probability(LN), [0.6], rtol=1e-6)

    @given(many_logits)
    @settings(max_examples=50, deadline=None)
    def test_they_sum_to_one_and_a_fault_is_what_is_not_normal(self, z):
        p = TWELVE.probabilities(z)
        assert (p.shape, p.dtype) == (z.shape, np.float64)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
        fault = TWELVE.fault_probability(z)
        assert ((fault >= 0) & (fault <= 1)).all()
        np.testing.assert_allclose(fault, 1 - p[:, 3], rtol=0, atol=1e-12)

    def test_a_fault_far_from_likely_keeps_its_probability(self):
        # e^-50 + e^-50, where 1 - p(normal) is 0
        z = np.array([[50, 0, 0]], np.float32)
        assert BEARING.fault_probability(z)[0] == pytest.approx(2 * np.exp(-50), rel=1e-12)

    @given(one_logit)
    @settings(max_examples=50, deadline=None)
    def test_two_classes_are_three_of_which_one_cannot_be(self, z):
        three = np.stack([np.zeros_like(z), z, np.full_like(z, -5000)], axis=1)
        np.testing.assert_allclose(BEARING.fault_probability(three), BINARY.fault_probability(z), rtol=1e-12)
        np.testing.assert_allclose(BEARING.probabilities(three)[:, :2], BINARY.probabilities(z), atol=1e-14)
        for y in (np.zeros(len(z), np.float32), np.ones(len(z), np.float32)):
            np.testing.assert_allclose(
                BEARING.cross_entropy(three, y), BINARY.cross_entropy(z, y), rtol=1e-12, atol=1e-12
            )

    @given(one_logit)
    @settings(max_examples=50, deadline=None)
    def test_two_classes_are_the_sigmoid_to_the_bit(self, z):
        expected = expit(z.astype(np.float64))
        assert BINARY.fault_probability(z).tobytes() == expected.tobytes()
        assert BINARY.probabilities(z)[:, 1].tobytes() == expected.tobytes()

    @given(many_logits, st.floats(-1000, 1000, width=32))
    @settings(max_examples=50, deadline=None)
    def test_what_all_logits_share_says_nothing(self, z, shift):
        moved = z.astype(np.float64) + shift
        np.testing.assert_allclose(TWELVE.probabilities(moved), TWELVE.probabilities(z), rtol=1e-9, atol=1e-300)

    def test_a_row_does_not_depend_on_the_rows_beside(self):
        z = np.random.default_rng(0).normal(0, 5, (300, 12)).astype(np.float32)
        for of in (TWELVE.probabilities, TWELVE.fault_probability, TWELVE.kinds, TWELVE.predicted):
            for rows in (slice(7, 8), slice(100, 231)):
                assert of(z[rows]).tobytes() == of(z)[rows].tobytes()


class TestCrossEntropy:
    def test_it_is_the_logarithm_of_the_probability_of_the_label(self):
        found = TWO_NORMAL.cross_entropy(np.repeat(LN, 4, axis=0), np.arange(4, dtype=np.float32))
        np.testing.assert_allclose(found, [np.log(20), np.log(10), np.log(20 / 7), np.log(2)], rtol=1e-6)
        found = BINARY.cross_entropy(np.log(np.array([3, 3])), np.array([1, 0], np.float32))
        np.testing.assert_allclose(found, [np.log(4 / 3), np.log(4)], rtol=1e-15)

    def test_a_soft_label_of_two_is_between_both(self):
        z = np.log(np.array([3.0]))
        expected = 0.25 * np.log(4 / 3) + 0.75 * np.log(4)
        assert BINARY.cross_entropy(z, np.array([0.25]))[0] == pytest.approx(expected, rel=1e-15)

    def test_a_thousand_is_certain_and_costs_a_thousand_when_wrong(self):
        z = np.array([[0, 1000, 0], [0, 1000, 0], [0, -1000, -1000]], np.float32)
        assert BEARING.cross_entropy(z, np.array([1, 2, 1])).tolist() == [0, 1000, 1000]

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_row_that_is_not_finite_is_alone_in_it_and_warns_of_nothing(self, bad):
        z = np.zeros((2, 3), np.float32)
        z[0, 1] = bad
        assert BEARING.cross_entropy(z, np.array([1, 1]))[1] == np.log(3)
        assert BEARING.fault_probability(z)[1] == pytest.approx(2 / 3)
        assert BEARING.probabilities(z)[1].tolist() == pytest.approx([1 / 3] * 3)


class TestDecisions:
    def test_the_likeliest_class_and_the_likeliest_fault(self):
        z = np.array([[3, 1, 2], [1, 3, 2], [1, 2, 3], [5, 2, 2], [2, 2, 2]], np.float32)
        assert BEARING.predicted(z).tolist() == [0, 1, 2, 0, 0]
        assert BEARING.kinds(z).tolist() == [2, 1, 2, 1, 1]
        assert TWO_NORMAL.kinds(np.array([[9, 1, 9, 2]], np.float32)).tolist() == [3]

    def test_of_two_classes_the_only_fault_is_the_likeliest(self):
        z = np.array([-2, 0, 1e-30, 2], np.float32)
        assert BINARY.kinds(z).tolist() == [1, 1, 1, 1]
        assert BINARY.predicted(z).tolist() == [0, 0, 0, 1]  # the sigmoid of 1e-30 is one half

    @given(many_logits)
    @settings(max_examples=50, deadline=None)
    def test_the_kind_is_a_fault_and_the_prediction_where_that_is_one(self, z):
        kinds, predicted = TWELVE.kinds(z), TWELVE.predicted(z)
        assert TWELVE.faults(kinds).all()
        alarm = predicted != 3
        assert (kinds[alarm] == predicted[alarm]).all()


class TestRefused:
    @pytest.mark.parametrize(
        ("classes", "normal", "sentence"),
        [
            (("ok",), (0,), "A label has 2 to 64 classes, and this one has 1."),
            (tuple(map(str, range(65))), (0,), "A label has 2 to 64 classes, and this one has 65."),
            (("ok", "wear", "ok"), (0,), "Every class needs a name of its own: 'ok' is there twice."),
            (("a", "b", "c"), (3,), "There is no class 3 to be normal: the classes are 0 to 2."),
            (("a", "b", "c"), (-1,), "There is no class -1 to be normal: the classes are 0 to 2."),
            (("a", "b", "c"), (), "No class is normal: at least one has to be, and at least one a fault."),
            (("a", "b"), (0, 1), "Every class is normal: at least one has to be, and at least one a fault."),
            (("broken", "ok"), (1,), "Of two classes the normal one comes first: list 'ok' first."),
        ],
    )
    def test_a_list_of_classes_says_why(self, classes, normal, sentence):
        with pytest.raises(ValueError, match="^" + sentence.replace(".", r"\.") + "$"):
            Target(classes, normal)

    def test_64_classes_are_allowed(self):
        assert Target(tuple(map(str, range(64)))).outputs == 64

    @pytest.mark.parametrize(
        ("target", "shape", "wanted"),
        [
            (BINARY, (5, 3), r"2 classes are \(rows,\)"),
            (BINARY, (5, 1), r"2 classes are \(rows,\)"),
            (BEARING, (5,), r"3 classes are \(rows, 3\)"),
            (BEARING, (5, 4), r"3 classes are \(rows, 3\)"),
        ],
    )
    def test_logits_of_other_classes(self, target, shape, wanted):
        z = np.zeros(shape, np.float32)
        for of in (target.probabilities, target.fault_probability, target.kinds, target.predicted):
            with pytest.raises(ValueError, match=wanted):
                of(z)
        with pytest.raises(ValueError, match=wanted):
            target.cross_entropy(z, np.zeros(5))


def test_it_needs_no_jax():
    # What only reads a bundle or draws a page need not load it.
    code = "import sys, fedmetaalign.model.target; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603

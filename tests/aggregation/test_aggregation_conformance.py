"""What every aggregation rule promises, whatever it thinks of the devices. A new rule joins RULES."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.aggregation import Cohort
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.similarity import similarity

RULES = {
    "mean": mean,
    "similarity": similarity,
    "similarity without a floor": partial(similarity, floor=0.0),
    "similarity with a floor of one": partial(similarity, floor=1.0),
    "similarity with the others": partial(similarity, reference="others"),
    "similarity of directions": partial(similarity, unit_norm=True),
    "similarity of directions with the others": partial(similarity, reference="others", unit_norm=True),
}

every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@st.composite
def cohorts(draw, most=6):
    """Cohorts of small whole numbers of a unit, so that zero, equal and opposite deltas are common."""
    k, n = draw(st.integers(1, most)), draw(st.integers(1, 5))
    entries = draw(st.lists(st.integers(-4, 4), min_size=k * n, max_size=k * n))
    unit = draw(st.sampled_from([1.0, 2.0**-20]))
    scores = draw(st.lists(st.floats(0.01, 1), min_size=k, max_size=k))
    samples = draw(st.lists(st.integers(1, 1000), min_size=k, max_size=k))
    deltas = (np.array(entries).reshape(k, n) * unit).astype(np.float32)
    return Cohort(deltas, np.array(scores), np.array(samples))


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_weights_are_shares(rule, cohort):
    weights = rule(cohort).weights
    assert weights.shape == (len(cohort.deltas),)
    assert weights.dtype == np.float64
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_the_step_is_the_weighted_sum_of_the_deltas(rule, cohort):
    made = rule(cohort)
    by_hand = sum(w * d for w, d in zip(made.weights, cohort.deltas.astype(np.float64), strict=True))
    assert made.step.dtype == np.float64
    rounding = 1e-15 * len(cohort.deltas) * float(np.abs(cohort.deltas).max())  # the order of the sum differs
    np.testing.assert_allclose(made.step, by_hand, rtol=1e-12, atol=rounding)


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_the_step_stays_between_the_deltas(rule, cohort):
    step, deltas = rule(cohort).step, cohort.deltas.astype(np.float64)
    assert (step >= deltas.min(axis=0) - 1e-12).all()
    assert (step <= deltas.max(axis=0) + 1e-12).all()


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_alignment_is_a_cosine_where_there_is_one(rule, cohort):
    alignment = rule(cohort).alignment
    if alignment is not None:
        assert alignment.shape == (len(cohort.deltas),)
        assert (np.abs(alignment) <= 1).all()


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_devices_may_come_in_any_order(rule, cohort):
    order = np.arange(len(cohort.deltas))[::-1]
    turned = Cohort(cohort.deltas[order], cohort.scores[order], cohort.samples[order])
    np.testing.assert_allclose(rule(turned).weights, rule(cohort).weights[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rule(turned).step, rule(cohort).step, rtol=1e-9, atol=1e-12)


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_identical_deltas_are_the_step(rule, cohort):
    same = np.repeat(cohort.deltas[:1], len(cohort.deltas), axis=0)
    step = rule(Cohort(same, cohort.scores, cohort.samples)).step
    np.testing.assert_allclose(step, cohort.deltas[0].astype(np.float64), rtol=1e-12)


@every_rule
@settings(max_examples=40, deadline=None)
@given(cohort=cohorts())
def test_the_cohort_is_left_as_it_was_and_the_answer_repeats(rule, cohort):
    parts = (cohort.deltas, cohort.scores, cohort.samples)
    before = [part.tobytes() for part in parts]
    first = rule(cohort)
    assert [part.tobytes() for part in parts] == before
    assert rule(cohort).step.tobytes() == first.step.tobytes()
    assert not np.shares_memory(first.step, cohort.deltas)


@every_rule
@settings(max_examples=30, deadline=None)
@given(cohort=cohorts(most=1))
def test_one_device_alone_is_followed_exactly(rule, cohort):
    made = rule(cohort)
    assert made.weights.tolist() == [1.0]
    assert made.step.tolist() == cohort.deltas[0].astype(np.float64).tolist()


@every_rule
def test_zero_deltas_make_a_zero_step(rule):
    made = rule(Cohort(np.zeros((3, 4), np.float32), np.array([0.5, 0.2, 1.0]), np.array([1, 2, 3])))
    assert made.step.tolist() == [0, 0, 0, 0]
    assert made.weights.sum() == pytest.approx(1)


def test_the_mean_weights_by_samples():
    # FedAvg: 10, 30 and 60 of 100 samples, whatever the scores say.
    made = mean(Cohort(np.array([[10, 0], [0, 10], [-10, 10]], np.float32), np.ones(3), np.array([10, 30, 60])))
    assert made.weights.tolist() == [0.1, 0.3, 0.6]
    assert made.step.tolist() == [1 - 6, 3 + 6]
    assert made.alignment is None

"""What aggregation rules promise, whatever they think of the devices. A new rule joins RULES.

Every rule promises what stands first. A rule that mixes whole deltas (MEANS, MIXTURES) promises that its
weights are the mixture; a rule whose step cannot leave the range of the deltas (INSIDE) promises that; all but
FLTrust, which follows a device only as far as its own root agrees, promise to follow devices
that are all of one mind.
"""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
from cohorts import cohort as cohort_of
from hypothesis import given, note, settings
from hypothesis import strategies as st

from fedmetaalign.aggregation import Cohort, over
from fedmetaalign.aggregation.fedadp import fedadp
from fedmetaalign.aggregation.fedfv import fedfv
from fedmetaalign.aggregation.fednova import fednova
from fedmetaalign.aggregation.fltrust import fltrust
from fedmetaalign.aggregation.krum import krum
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.median import median
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.aggregation.similarity_stream import Settings, of_any_size
from fedmetaalign.aggregation.trimmed_mean import trimmed_mean

MEANS = {
    "mean": mean,
    "similarity": similarity,
    "similarity without a floor": partial(similarity, floor=0.0),
    "similarity with a floor of one": partial(similarity, floor=1.0),
    "similarity with the others": partial(similarity, reference="others"),
    "similarity with the root": partial(similarity, reference="root"),
    "similarity of directions": partial(similarity, unit_norm=True),
    "similarity of directions with the others": partial(similarity, reference="others", unit_norm=True),
    "similarity one by one": partial(over, of_any_size(Settings(), 0)),
    "similarity with the others one by one": partial(over, of_any_size(Settings(reference="others"), 0)),
    "similarity with the root one by one": partial(over, of_any_size(Settings(reference="root"), 0)),
    "similarity by score": partial(similarity, criteria=("score",)),
    "similarity by alignment": partial(similarity, criteria=("alignment",)),
    "similarity by nothing": partial(similarity, criteria=()),
    "fedadp": fedadp,
    "krum": krum,
    "multi-krum": partial(krum, byzantine=0.3, keep=3),
}
"""The step is the sum of weight times delta, and so points along that sum and stays between the deltas."""
MIXTURES = {"fednova": fednova, "fedfv": fedfv}
"""The step points along that sum."""
INSIDE = {
    "median": median,
    "trimmed mean": trimmed_mean,
    "trimmed mean of a third": partial(trimmed_mean, byzantine=0.34),
}
"""Each coordinate of the step is between the least and the greatest of the deltas."""
FOLLOWING = MEANS | MIXTURES | INSIDE
"""Devices that all say the same, one alone among them, are followed."""
RULES = FOLLOWING | {"fltrust": fltrust}


def each(rules):
    """Yields the rules one by one; the same cohorts are for all of them, since to draw one takes longest."""
    for name, rule in rules.items():
        note(f"the rule is {name}")
        yield rule


@st.composite
def cohorts(draw, most=6):
    """Cohorts of small whole numbers of a unit, so that zero, equal and opposite deltas are common.

    No two query scores are equal: FedFV, which has to put the devices in some order, breaks ties by name.
    """
    k, n = draw(st.integers(1, most)), draw(st.integers(1, 5))
    entries = draw(st.lists(st.integers(-4, 4), min_size=(k + 1) * n, max_size=(k + 1) * n))
    unit = draw(st.sampled_from([1.0, 2.0**-20]))
    query_scores = draw(st.lists(st.floats(0.01, 1), min_size=k, max_size=k, unique=True))
    samples = draw(st.lists(st.integers(1, 1000), min_size=k, max_size=k))
    steps = draw(st.lists(st.integers(1, 1000), min_size=k, max_size=k))
    seen = draw(st.lists(st.booleans(), min_size=k, max_size=k))
    rows = (np.array(entries).reshape(k + 1, n) * unit).astype(np.float32)
    sent = cohort_of(*rows[1:], query_scores=query_scores, samples=samples, steps=steps, root=rows[0])
    remembered = {name: np.array([0.5, 3.0]) for name, known in zip(sent.names, seen, strict=True) if known}
    return replace(sent, memory={**remembered, "absent": np.array([1.5, 1.0])})


def turned(cohort):
    """The same devices in the opposite order."""
    return Cohort(
        deltas=cohort.deltas[::-1],
        query_scores=cohort.query_scores[::-1],
        samples=cohort.samples[::-1],
        steps=cohort.steps[::-1],
        names=cohort.names[::-1],
        root=cohort.root,
        memory=cohort.memory,
    )


# Every rule


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_the_step_is_finite_weights_are_shares_and_alignment_is_a_cosine(cohort):
    for rule in each(RULES):
        made = rule(cohort)
        assert made.step.shape == cohort.deltas.shape[1:]
        assert np.isfinite(made.step).all()
        assert made.weights.shape == (len(cohort.deltas),)
        assert made.step.dtype == made.weights.dtype == np.float64
        assert (made.weights >= 0).all()
        if made.weights.any():
            assert made.weights.sum() == pytest.approx(1, abs=1e-12)
        else:
            assert not made.step.any()  # the rule follows nobody
        if made.alignment is not None:
            assert made.alignment.shape == (len(cohort.deltas),)
            assert (np.abs(made.alignment) <= 1).all()


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_devices_may_come_in_any_order(cohort):
    for rule in each(RULES):
        one, other = rule(cohort), rule(turned(cohort))
        np.testing.assert_allclose(other.weights, one.weights[::-1], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.step, one.step, rtol=1e-9, atol=1e-12)
        assert set(one.memory) == set(other.memory)
        for name in one.memory:
            np.testing.assert_allclose(other.memory[name], one.memory[name], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts(), exponent=st.integers(-60, 60))
def test_the_unit_of_the_deltas_is_of_no_matter(cohort, exponent):
    for rule in each(RULES):
        unit = 2.0**exponent
        bigger = replace(
            cohort,
            deltas=(cohort.deltas * unit).astype(np.float32),
            root=(cohort.root * unit).astype(np.float32),
        )
        one, scaled = rule(cohort), rule(bigger)
        np.testing.assert_allclose(scaled.step, one.step * unit, rtol=1e-12, atol=1e-15 * unit)
        np.testing.assert_allclose(scaled.weights, one.weights, rtol=1e-12, atol=1e-15)
        if one.alignment is not None:
            np.testing.assert_allclose(scaled.alignment, one.alignment, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_the_cohort_is_left_as_it_was_and_the_answer_repeats(cohort):
    for rule in each(RULES):

        def everything():
            arrays = [getattr(cohort, f.name) for f in fields(cohort) if f.name not in ("names", "memory")]
            return [a.tobytes() for a in [*arrays, *cohort.memory.values()]] + list(cohort.memory)

        before = everything()
        first = rule(cohort)
        assert everything() == before
        again = rule(cohort)
        assert again.step.tobytes() == first.step.tobytes()
        assert [(k, v.tobytes()) for k, v in again.memory.items()] == [
            (k, v.tobytes()) for k, v in first.memory.items()
        ]
        assert not np.shares_memory(first.step, cohort.deltas)
        assert not np.shares_memory(first.step, cohort.root)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_zero_deltas_make_a_zero_step(rule):
    made = rule(
        cohort_of(*np.zeros((3, 4)), query_scores=[0.5, 0.2, 1.0], samples=[1, 2, 3], root=[1, 0, 0, 0])
    )
    assert made.step.tolist() == [0, 0, 0, 0]


# Rules that mix whole deltas


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_the_step_is_the_weighted_sum_of_the_deltas(cohort):
    for rule in each(MEANS):
        made = rule(cohort)
        by_hand = sum(w * d for w, d in zip(made.weights, cohort.deltas.astype(np.float64), strict=True))
        # The order of the sum differs.
        rounding = 1e-15 * len(cohort.deltas) * float(np.abs(cohort.deltas).max())
        np.testing.assert_allclose(made.step, by_hand, rtol=1e-12, atol=rounding)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_the_step_points_along_the_weighted_sum_of_the_deltas(cohort):
    for rule in each(MIXTURES):
        made = rule(cohort)
        along = made.weights @ cohort.deltas.astype(np.float64)
        product = np.linalg.norm(made.step) * np.linalg.norm(along)
        assert made.step @ along == pytest.approx(product, rel=1e-9, abs=1e-25)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_the_step_stays_between_the_deltas(cohort):
    for rule in each(INSIDE):
        step, deltas = rule(cohort).step, cohort.deltas.astype(np.float64)
        assert (step >= deltas.min(axis=0) - 1e-12).all()
        assert (step <= deltas.max(axis=0) + 1e-12).all()


# All but FLTrust


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_identical_deltas_are_the_step(cohort):
    for rule in each(FOLLOWING):
        same = replace(
            cohort,
            deltas=np.repeat(cohort.deltas[:1], len(cohort.deltas), axis=0),
            steps=np.full(len(cohort.deltas), 7),
        )
        made, delta = rule(same), cohort.deltas[0].astype(np.float64)
        np.testing.assert_allclose(made.step, delta, rtol=1e-12)
        if len(cohort.deltas) == 1:  # it is followed exactly
            assert made.weights.tolist() == [1.0]
            assert made.step.tolist() == delta.tolist()


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_fltrust_never_steps_further_than_the_root_nor_against_it(cohort):
    step, root = fltrust(cohort).step, cohort.root.astype(np.float64)
    assert np.linalg.norm(step) <= np.linalg.norm(root) * (1 + 1e-12)
    assert step @ root >= 0


def test_the_mean_weights_by_samples():
    # FedAvg: 10, 30 and 60 of 100 samples, whatever the query scores say.
    made = mean(cohort_of([10, 0], [0, 10], [-10, 10], samples=[10, 30, 60]))
    assert made.weights.tolist() == [0.1, 0.3, 0.6]
    assert made.step.tolist() == [1 - 6, 3 + 6]
    assert made.alignment is None

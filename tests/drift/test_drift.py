"""Drift is told from chance and from faults: in samples one by one, and between two sets of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from fedmetaalign.drift import Reference, follow, shifts
from fedmetaalign.drift.detector import calibrated
from fedmetaalign.drift.reference import LIMIT


def calm(rows, features=1, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, features))


def watched(reference, x, faults=None, **more):
    return follow(reference, x, np.zeros(len(x), bool) if faults is None else faults, **more)


def test_eighths_and_their_scores_by_hand():
    reference = Reference.of(np.arange(80.0)[:, None], np.zeros(80, bool))
    assert reference.edges[0, 0].tolist() == [
        0,
        10,
        20,
        30,
        40,
        50,
        60,
        70,
        np.nextafter(np.float32(79), np.float32(80)),
    ]
    assert reference.counts[0, 0].tolist() == [0, *[10] * 8, 0]
    # The middle ranks of eighths, -7/16 to 7/16, have a standard deviation of sqrt(21)/16, which is 32 units.
    inner = [round(32 * rank / 21**0.5) for rank in (-7, -5, -3, -1, 1, 3, 5, 7)]
    assert reference.scores[0, 0, 1:9, 0].tolist() == inner == [-49, -35, -21, -7, 7, 21, 35, 49]
    # 8 of 32 for a quarter, and two standard errors, 64 / sqrt(80) = 7.2.
    assert reference.slack.tolist() == [[8 + 8]]


def test_what_is_missing_in_training_is_left_out():
    x = calm(200, 2)
    x[::2, 0] = np.nan
    found = Reference.of(np.column_stack([x, np.full(200, np.nan)]), np.zeros(200, bool))
    kept = Reference.of(x[1::2, :1], np.zeros(100, bool))
    assert (found.edges[0, 0] == kept.edges[0, 0]).all()
    assert found.counts.sum(axis=2).tolist() == [[100, 200, 1]]


def test_a_constant_feature_drifts_when_it_moves_at_all():
    reference = Reference.of(np.full((100, 1), 3.0), np.zeros(100, bool))
    assert (reference.counts[0, 0] > 0).sum() == 1
    assert watched(reference, np.full((5000, 1), 3.0)).since.tolist() == [-1]
    assert 0 <= watched(reference, np.full((50, 1), 3.0001)).since[0] < 20
    assert 0 <= watched(reference, np.full((50, 1), 2.9999)).since[0] < 20


def test_a_sensor_that_sticks_drifts():
    reference = Reference.of(calm(1000), np.zeros(1000, bool))
    assert 0 < watched(reference, np.zeros((300, 1))).since[0] < 100


@pytest.mark.parametrize(("shift", "within"), [(0.5, 400), (1.0, 80), (2.0, 40), (-1.0, 80)])
def test_a_shift_is_seen_soon(shift, within):
    reference = Reference.of(calm(1000, 20), np.zeros(1000, bool))
    found = watched(reference, calm(1000, 20, 1) + shift)
    assert (found.since > 0).all()
    assert np.median(found.since) < within
    spread = watched(reference, 3 * calm(1000, 20, 1))
    assert np.median(spread.since) < 80


@pytest.mark.parametrize("rows", [60, 300])
def test_without_drift_an_alarm_is_raised_in_a_hundred_thousand_samples_or_so(rows):
    alarms = 0
    for seed in range(20):
        x = calm(rows, 10, seed)
        reference = calibrated(Reference.of(x, np.zeros(rows, bool)), x, np.zeros(rows, bool))
        alarms += len(watched(reference, calm(5000, 10, 100 + seed)).drifted)
    assert alarms <= 10  # in a million samples of a feature


def test_a_fault_that_training_knew_is_no_drift_and_another_one_is():
    x = np.concatenate([calm(400, 2), calm(100, 2, 1) + 4])
    faults = np.arange(500) >= 400
    reference = Reference.of(x, faults)
    lasting = calm(2000, 2, 2) + 4
    assert not len(watched(reference, lasting, np.ones(2000, bool)).drifted)
    assert len(watched(reference, lasting, np.zeros(2000, bool)).drifted) == 2
    assert len(watched(reference, -lasting, np.ones(2000, bool)).drifted) == 2
    assert len(Reference.of(x, np.arange(500) >= 460).edges) == 1  # 40 faults are too few


def test_what_came_and_went_in_training_is_no_drift():
    hours = np.arange(4000)
    x = np.sin(2 * np.pi * hours / 1000)[:, None] + 0.1 * calm(4000)
    none = np.zeros(4000, bool)
    raw = Reference.of(x, none)
    assert len(follow(raw, x, none).drifted) == 1
    knows = calibrated(raw, x, none)
    assert knows.every[0] > 16  # one sample of the sine is like the next
    assert not len(follow(knows, x, none).drifted)
    assert 0 < watched(knows, np.tile(x + 2, (2, 1))).since[0] < 5000


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400), st.integers(0, 1000), st.sampled_from([1, 2, 16]))
def test_following_in_parts_is_following_at_once(cut, seed, every):
    random = np.random.default_rng(seed)
    reference = replace(
        Reference.of(random.normal(size=(200, 3)), np.zeros(200, bool)), every=np.array([1, every, 1024])
    )
    x = random.normal(size=(400, 3)) + np.array([0, 0.7, 3])
    x[random.random(x.shape) < 0.1] = np.nan
    whole, first = watched(reference, x), watched(reference, x[:cut])
    second = watched(reference, x[cut:], before=first)
    assert (second.seen, second.sums.tolist()) == (whole.seen, whole.sums.tolist())
    assert np.where(
        first.since >= 0, first.since, np.where(second.since >= 0, second.since + cut, -1)
    ).tolist() == (whole.since.tolist())


def test_the_alarms_are_those_of_rivers_page_hinkley():
    """The rows at which river 0.26.1's PageHinkley detects changes in the same scores.

    PageHinkley(min_instances=1, delta=slack, threshold=limit - 1, alpha=1) on either score of each feature; its
    mean is fixed at 0, that of training, and its least and largest sums begin with 0, not the first sample.
    """
    random = np.random.default_rng(7)
    reference = Reference.of(random.normal(size=(400, 6)), np.zeros(400, bool))
    x = random.normal(size=(900, 6)) * [1, 1, 1, 2, 0.3, 1] + [0.6, -1, 2, 0, 0, 0]
    x[:300] = random.normal(size=(300, 6))
    assert watched(reference, x).since.tolist() == [620, 350, 323, 398, 344, -1]


def test_it_is_kept_to_the_last_bit():
    x = np.concatenate([calm(300, 3), calm(60, 3) + 5])
    reference = Reference.of(x, np.arange(360) >= 300)
    again = Reference.read(json.loads(json.dumps(reference.to_dict())))
    assert (again.edges == reference.edges).all()
    assert (again.scores == reference.scores).all()
    for damaged in (
        {"edges": reference.edges[:, :, ::-1].tolist()},
        {"counts": (-reference.counts).tolist()},
        {"limits": [0, 0, 0]},
        {"limits": [LIMIT]},
        {"every": [1, 2, 3]},
    ):
        with pytest.raises(ValueError):
            Reference.read({**reference.to_dict(), **damaged})


def test_a_large_shift_is_told_and_chance_is_not():
    same, moved = calm(400, 3), calm(100, 3, 1)
    moved[:, 1] += 1
    found = shifts(same, moved)
    assert [shift.large for shift in found] == [False, True, False]
    assert found[1].means == pytest.approx((moved[:, 1].mean() - same[:, 1].mean()) / same[:, 1].std())
    assert found[1].probability == pytest.approx(3 * ks_2samp(same[:, 1], moved[:, 1]).pvalue)
    assert not any(
        shift.large for seed in range(20) for shift in shifts(calm(60, 5, seed), calm(15, 5, 50 + seed))
    )


def test_the_population_stability_index_by_hand():
    # Half of the later samples in the first eighth, half in the last; half a sample is added to each bin.
    earlier, later = np.arange(80.0)[:, None], np.repeat([5.0, 75.0], 40)[:, None]
    p = np.array([0.5, *[10.5] * 8, 0.5]) / 85
    q = np.array([0.5, 40.5, *[0.5] * 6, 40.5, 0.5]) / 85
    assert shifts(earlier, later)[0].index == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert shifts(earlier, earlier)[0].index == 0

"""The threshold of a device that knows no fault: the smallest one that raises few enough false alarms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.evaluation.thresholds import few_false_alarms
from fedmetaalign.model.target import BINARY
from fedmetaalign.phases.client import choose_threshold
from fedmetaalign.recipe import Personalize

spread = np.random.default_rng(0).permutation(100) / 100
"""0.00 to 0.99."""


@pytest.mark.parametrize(
    ("rate", "threshold", "alarms"),
    [
        (0.01, 0.98, 1),
        (0.015, 0.98, 1),
        (0.02, 0.97, 2),
        (0.29, 0.7, 29),  # 0.29 * 100 is less than 29 in float64
        (0.999, 0.0, 99),
    ],
)
def test_literal_cases(rate, threshold, alarms):
    choice = few_false_alarms(spread, rate)
    assert choice.threshold == threshold and choice.f1 is None
    assert np.count_nonzero(spread > choice.threshold) == alarms


def test_the_reason_gives_the_interval():
    assert few_false_alarms(spread, 0.01).reason == (
        "There is no fault to choose it by: 1 of 100 normal samples is above the threshold, a share of 0.0% to"
        " 5.4% of all with 95 % confidence, and 1.00% may be."
    )


@pytest.mark.parametrize(("highest", "threshold"), [(0.2, 0.5), (0.75, 0.75)])
def test_too_few_samples_take_the_higher_of_the_highest_and_the_fallback(highest, threshold):
    choice = few_false_alarms(np.linspace(0, highest, 99), 0.01)
    assert choice.threshold == threshold
    assert choice.reason == (
        "There is no fault to choose it by, and 99 normal samples are too few to hold false alarms to 1.00%"
        " (100 needed): 0 of 99 normal samples are above the threshold, a share of 0.0% to 3.7% of all with"
        " 95 % confidence."
    )


def test_no_sample_leaves_the_fallback():
    choice = few_false_alarms(np.empty(0), 0.01, fallback=0.4)
    assert choice.threshold == 0.4 and "0 normal samples are too few" in choice.reason


def test_equal_scores_raise_no_alarm():
    assert few_false_alarms(np.full(200, np.float32(0.3)), 0.01).threshold == np.float32(0.3)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=120), st.floats(0.001, 0.9))
def test_it_keeps_to_the_rate_and_none_that_is_smaller_does(values, rate):
    scores = np.array(values, np.float32)
    choice = few_false_alarms(scores, rate, fallback=0.0)
    assert np.mean(scores.astype(np.float64) > choice.threshold) <= rate
    if choice.threshold > scores.min():
        assert np.mean(scores.astype(np.float64) > np.nextafter(choice.threshold, -1)) > rate


@pytest.mark.parametrize(
    ("scores", "rate", "says"),
    [
        ([0.1, np.nan], 0.1, "finite"),
        ([[0.1]], 0.1, "finite"),
        ([1, 2], 0.1, "floating-point"),
        ([0.1], 0.0, "between 0 and 1"),
        ([0.1], 1.0, "between 0 and 1"),
    ],
)
def test_misuse_of_the_rule(scores, rate, says):
    with pytest.raises(ValueError, match=says):
        few_false_alarms(np.array(scores), rate)


def test_of_a_device_with_faults_it_says_how_many_are_found():
    choice = few_false_alarms(spread, 0.02, faults=np.array([0.1, 0.975, 0.98, 0.99]))
    assert choice.threshold == 0.97
    assert choice.reason == (
        "It finds 3 of 4 faults: 2 of 100 normal samples are above the threshold, a share of 0.2% to 7.0% of"
        " all with 95 % confidence, and 2.00% may be."
    )


def settings(threshold, **more):
    return Personalize.model_validate({"threshold": threshold, **more})


class TestTheRecipesWord:
    """What `personalize.threshold` asks for, on scores of which F1, F2 and false alarms have other opinions."""

    # 40 normal samples from 0.005 to 0.2 and one at 0.6; 20 faults at 0.7, and 5 at 0.15.
    y = np.array([0] * 41 + [1] * 25, np.int8)
    scores = np.array([*np.arange(1, 41) / 200, 0.6, *[0.7] * 20, *[0.15] * 5])

    @pytest.mark.parametrize(
        ("threshold", "chosen"),
        [
            ("f1", 0.65),  # 20 hits and no false alarm: F1 0.889, against 0.806
            ("f2", 0.1475),  # 25 hits and 12 false alarms: F2 0.912, against 0.833
            (0.3, 0.3),
        ],
    )
    def test_chosen(self, threshold, chosen):
        found = choose_threshold(BINARY, self.y.astype(np.float32), self.scores, settings(threshold))
        assert found.threshold == pytest.approx(chosen)

    @pytest.mark.parametrize(("allowed", "chosen"), [(0.025, 0.2), (0.05, 0.195), (0.3, 0.145)])
    def test_false_alarms(self, allowed, chosen):
        asked = settings("false_alarms", max_false_alarms=allowed)
        found = choose_threshold(BINARY, self.y.astype(np.float32), self.scores, asked)
        assert found.threshold == pytest.approx(chosen)
        assert np.mean(self.scores[self.y == 0] > found.threshold) <= allowed
        assert found.reason is not None and found.reason.startswith("It finds ")

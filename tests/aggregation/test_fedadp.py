"""FedAdp with numbers worked out by hand: angles, their mean over the rounds, and the Gompertz curve."""

from dataclasses import replace
from math import e, exp, pi

import numpy as np
import pytest
from cohorts import cohort, near

from fedmetaalign.aggregation.fedadp import fedadp


def test_the_mean_direction_counts_samples_and_equal_angles_leave_the_weights_to_them():
    # 1/4 (12, 0) + 3/4 (0, 4) = (3, 3): 45 degrees each.
    made = fedadp(cohort([12, 0], [0, 4], samples=[10, 30]))
    assert made.alignment == near([0.5**0.5, 0.5**0.5])
    assert made.weights == near([0.25, 0.75])
    assert made.step == near([3, 3])
    assert {name: array.tolist() for name, array in made.memory.items()} == {
        "a": near([pi / 4, 1]),
        "b": near([pi / 4, 1]),
    }


def test_a_device_that_opposes_the_mean_all_but_loses_its_weight():
    # Angles 0 and pi: f(0) = 5 (1 - exp(-exp(5))) = 5, f(pi) = 5 (1 - exp(-exp(-10.70796))) = 1.11835e-4.
    made = fedadp(cohort([4, 0], [-2, 0]))
    assert made.weights == pytest.approx([148.413159 / 149.413271, 1.000111841 / 149.413271], rel=1e-7)


def test_the_curve_at_one_radian():
    # f(1) = 5 (1 - 1/e), remembered as the mean of a thousand rounds; the other stands at an angle of 0.
    memory = {"a": np.array([1.0, 1e9]), "b": np.array([0.0, 1e9])}
    made = fedadp(cohort([1, 0], [1, 0], memory=memory))
    assert made.weights[0] / made.weights[1] == pytest.approx(exp(5 * (1 - 1 / e)) / exp(5), rel=1e-7)


def test_the_angle_is_the_mean_over_the_rounds():
    # 0 and pi in the first round, 0 and 0 in the second: 0 and pi/2, f(pi/2) = 5 (1 - exp(-exp(-2.853982)))
    # = 0.279931, and exp of that is 1.323038.
    first = fedadp(cohort([4, 0], [-2, 0]))
    made = fedadp(cohort([0, 2], [0, 2], memory=first.memory))
    assert made.memory["b"] == near([pi / 2, 2])
    assert made.weights == pytest.approx([148.413159 / 149.736197, 1.323038 / 149.736197], rel=1e-6)
    third = fedadp(cohort([0, 2], [0, 2], memory=made.memory))
    assert third.memory["b"] == near([pi / 3, 3])


def test_who_is_absent_is_remembered_and_who_is_new_starts_anew():
    memory = {"b": np.array([1.0, 4.0]), "z": np.array([2.0, 1.0])}
    made = fedadp(cohort([1, 0], [1, 0], memory=memory))
    assert {name: array.tolist() for name, array in made.memory.items()} == {
        "a": [0, 1],
        "b": near([0.8, 5]),
        "z": [2, 1],
    }
    assert set(memory) == {"b", "z"}


def test_no_direction_is_a_right_angle():
    made = fedadp(cohort([1, 0], [-1, 0]))
    assert made.alignment.tolist() == [0, 0]
    assert made.memory["a"] == near([pi / 2, 1])
    assert made.weights.tolist() == [0.5, 0.5]


def test_it_needs_to_know_who_sent_what():
    with pytest.raises((ValueError, IndexError)):
        fedadp(replace(cohort([1, 0], [0, 1]), names=()))

"""FedNova with numbers worked out by hand, and on quadratics whose answer is known."""

import numpy as np
import pytest
from cohorts import cohort, near

from fedmetaalign.aggregation.fednova import fednova
from fedmetaalign.aggregation.mean import mean


def test_deltas_are_averaged_per_step():
    # One and four steps: (1, 0) and (0, 2) a step, and 2.5 steps on the average of two equal devices.
    # Factors 2.5 * 1/2 / 1 = 1.25 and 2.5 * 1/2 / 4 = 0.3125: shares 4/5 and 1/5.
    made = fednova(cohort([1, 0], [0, 8], samples=[10, 10], steps=[1, 4]))
    assert made.step == near([1.25, 2.5])
    assert made.weights == near([0.8, 0.2])
    assert made.alignment is None


def test_samples_weight_the_mean_step_and_the_number_of_steps():
    # p = 1/4 and 3/4, tau_eff = 2/4 + 18/4 = 5, d = (2, 0) and (0, 1): 5 (0.5, 0.75).
    made = fednova(cohort([4, 0], [0, 6], samples=[10, 30], steps=[2, 6]))
    assert made.step == near([2.5, 3.75])
    assert made.weights == near([0.5, 0.5])


def test_equal_steps_make_it_the_mean():
    sent = cohort([1, 2], [3, -4], [0, 5], samples=[10, 20, 70], steps=[6, 6, 6])
    assert fednova(sent).step == near(mean(sent).step)
    assert fednova(sent).weights == near([0.1, 0.2, 0.7])


def test_on_quadratics_it_ends_where_gradient_descent_does_and_the_mean_does_not():
    # Losses (w - 0)^2 / 2 and (w - 1)^2 / 2 have their common minimum at 1/2. Gradient descent of rate 1e-4
    # takes 1 step on the first and 9 on the second: it moves (c - w) (1 - (1 - 1e-4)^tau), about
    # 1e-4 tau (c - w), so that the plain mean ends near 9/10 and the normalised one near 1/2.
    def ends(rule):
        w = 0.0
        for _ in range(1000):
            deltas = [(c - w) * (1 - (1 - 1e-4) ** tau) for c, tau in ((0, 1), (1, 9))]
            w += 40 * rule(cohort([deltas[0]], [deltas[1]], steps=[1, 9])).step[0]
        return w

    assert ends(fednova) == pytest.approx(0.5, abs=2e-4)
    assert ends(mean) == pytest.approx(0.9, abs=2e-4)


def test_it_counts_in_whole_numbers_of_any_kind():
    made = fednova(cohort([3.0], [3.0], samples=np.array([2, 3]), steps=np.array([49, 49])))
    assert made.step == near([3.0])

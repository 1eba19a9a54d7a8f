"""SCAFFOLD's corrections and what they cost; its convergence is checked on a quadratic."""

import pytest
from fake_learner import Learner, cell_run

from fedmetaalign.methods.scaffold import METHOD


def test_a_device_is_corrected_by_the_mean_gradient_minus_its_own():
    # The devices meet the gradients 1 and 5 in the first round and 2 and 4 in the second.
    learner = Learner(gradients=[1, 5, 2, 4])
    given = cell_run(learner, serial=0, parallel=3)
    given.run(METHOD)
    # Who has the most samples is asked first.
    a, b = sorted((len(device.own.support) for device in given.federated), reverse=True)
    terms = [objective.linear[0] for *_, objective in learner.seen]
    first, second = (a * 1 + b * 5) / (a + b), (a * 2 + b * 4) / (a + b)
    assert terms == pytest.approx([0, 0, first - 1, first - 5, second - 2, second - 4])

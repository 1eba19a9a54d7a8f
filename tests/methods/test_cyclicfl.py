"""Tours first, then FedAvg, by hand."""

import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods.cyclicfl import METHOD


@pytest.mark.parametrize(
    ("serial", "parallel", "expected"),
    [(2, 2, [2, 4, 5, 6]), (0, 2, [1, 2]), (2, 0, [2, 4])],
)
def test_a_tour_adds_both_devices_steps_and_a_round_their_mean(serial, parallel, expected):
    assert firsts(cell_run(Learner(), serial=serial, parallel=parallel).run(METHOD)) == expected


def test_every_visit_is_two_messages():
    given = cell_run(Learner())
    outcome = given.run(METHOD)
    assert outcome.stages["global"].bytes == 4 * 2 * 2 * 2 * 4  # rounds, devices, ways, weights, bytes

"""Yogi on the server, by hand: the mean delta is 1 in the first round and 0 in the second."""

import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods.fedyogi import METHOD


def test_without_a_new_square_the_second_moment_stays():
    # m = 0.9e-6 + 0.1 and v = 1e-6 + 0.01: 0.01 * 1.000009 / (1.00005 + 0.001)
    first, second = firsts(cell_run(Learner([1, 1, 0]), serial=0).run(METHOD))
    assert first == pytest.approx(0.00998960, rel=1e-4)
    # v is 0.010001 still, where Adam's has fallen to 0.0099: 0.01 * 0.473684 / (0.708917 + 0.001)
    assert second - first == pytest.approx(0.00667239, rel=1e-4)

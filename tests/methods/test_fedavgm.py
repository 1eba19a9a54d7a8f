"""Momentum on the server, by hand."""

import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods.fedavgm import METHOD


def test_nine_tenths_of_the_last_step_are_added_to_the_next():
    # v = 1, 1.9, 2.71, 3.439
    assert firsts(cell_run(Learner()).run(METHOD)) == pytest.approx([1, 2.9, 5.61, 9.049])

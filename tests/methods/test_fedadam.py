"""Adam on the server, by hand: the mean delta is 1 in the first round and 0 in the second."""

import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods.fedadam import METHOD


def test_two_rounds():
    # 0.01 * 1 / (1 + 0.001), then m = 0.09 / 0.19 and v = 0.0099 / 0.0199: 0.01 * 0.473684 / (0.705328 + 0.001)
    first, second = firsts(cell_run(Learner([1, 1, 0]), serial=0).run(METHOD))
    assert first == pytest.approx(0.00999001)
    assert second - first == pytest.approx(0.00670629, rel=1e-4)

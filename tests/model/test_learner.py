"""Where a network is split, and what its representation is."""

import pytest

from fedmetaalign.model.learner import NetworkLearner, SplitPoint
from fedmetaalign.model.mlp import Network

LEARNER = NetworkLearner(Network(3, (5, 4, 2)), 0.01, 0)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.5, SplitPoint(2, 4 * 5 + 6 * 4)),
        (0.0, SplitPoint(0, 0)),
        (0.99, SplitPoint(3, 4 * 5 + 6 * 4 + 5 * 2)),
    ],
)
def test_it_is_split_where_phase_3_freezes(share, expected):
    assert LEARNER.split(share) == expected

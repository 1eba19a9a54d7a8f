"""Where a network is split, and what its representation is."""

import numpy as np
import pytest

from fedmetaalign.model.learner import NetworkLearner, SplitPoint
from fedmetaalign.model.mlp import Network, features

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


def test_its_features_are_what_the_last_layer_is_given():
    random = np.random.default_rng(0)
    weights = random.normal(size=LEARNER.network.parameters).astype(np.float32)
    x = random.normal(size=(4, 3)).astype(np.float32)
    found = LEARNER.features(weights, x)
    assert found.shape == (4, 2)
    assert found.tobytes() == features(LEARNER.network, weights, x).tobytes()

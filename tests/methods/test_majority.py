"""A constant score: its decisions are the majority's."""

from dataclasses import replace

import numpy as np
import pytest
from fake_learner import Learner, cell_run

from fedmetaalign.fleet.device import Part
from fedmetaalign.methods.majority import METHOD
from fedmetaalign.model.online import Samples


def labelled(labels):
    y = np.array(labels, np.float32)
    return Samples(np.zeros((len(y), 9), np.float32), y)


@pytest.mark.parametrize(
    ("support", "query", "share", "fault"),
    [([0, 0, 1], [0], 0.25, False), ([1, 1], [1, 0], 0.75, True), ([1, 0], [1, 0], 0.5, False)],
)
def test_the_score_is_the_share_of_faults_and_a_tie_says_normal(support, query, share, fault):
    given = cell_run(Learner(), devices=1)
    device = replace(given.federated[0], own=Part(labelled(support), labelled(query)))
    model = replace(given, federated=(device,)).run(METHOD).models[device.name]
    scores = model.probabilities(np.zeros((3, 9), np.float32))
    assert scores.tolist() == [share] * 3
    assert ((scores > model.threshold.threshold) == fault).all()

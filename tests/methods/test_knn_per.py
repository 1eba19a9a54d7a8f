"""kNN-Per's memory: who votes, how loudly, and how much of it is mixed in."""

from dataclasses import replace

import numpy as np
import pytest
from quadratic import Problem, cell_run, client

from fedmetaalign.federation.messages import Personalize
from fedmetaalign.fleet.device import Part
from fedmetaalign.methods.knn_per import nearness, remembering
from fedmetaalign.model.online import Samples


def samples(*pairs):
    x, y = zip(*pairs, strict=True)
    return Samples(np.array(x, np.float32)[:, None], np.array(y, np.float32))


def model(known, validation):
    """What a device remembers whose network scores 1/2 everywhere; its representation is the input."""
    given = cell_run(Problem((0.0,)))
    device = replace(given.federated[0], own=Part(known, validation))
    return remembering(client(given, device), Personalize(given.start, 1, 1, {}))


def scores(made, *x):
    return made.probabilities(np.array(x, np.float32)[:, None]).tolist()


def test_the_nearer_votes_louder():
    # At 0 the fault at distance 1 weighs 1/e against 1: 1 / (1 + e). The validation part wants only the memory.
    made = model(samples((0, 0), (1, 1)), samples((-9, 0), (10, 1)))
    assert scores(made, 0, 1, 0.5) == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e), 0.5])
    assert made.threshold.threshold == 0.5
    assert made.weights is None


def test_a_memory_that_is_wrong_is_left_out():
    made = model(samples((0, 0), (1, 1)), samples((-9, 1), (10, 0)))
    assert scores(made, 0, 1, 5) == [0.5, 0.5, 0.5]


def test_the_share_has_the_least_brier_score():
    # The memory says e / (1 + e) = 0.731 of samples of which 60 in 100 are faults: 0.5 + share * 0.231 is
    # nearest to 0.6 at a share of 0.4.
    made = model(samples((0, 0), (1, 1)), samples(*[(1, int(i < 60)) for i in range(100)]))
    assert scores(made, 1) == pytest.approx([0.5 + 0.4 * (np.e / (1 + np.e) - 0.5)])


def test_ten_vote_and_no_more():
    # Nine normal samples and one fault at 0, and 50 faults so near that their votes would count.
    known = samples(*[(0, 0)] * 9, (0, 1), *[(0.01, 1)] * 50)
    made = model(known, samples((0, 0), (0, 0)))
    assert scores(made, 0) == pytest.approx([0.1])


def test_far_from_all_that_it_knows_it_still_votes():
    # exp(-1000) is zero in float64.
    made = model(samples((0, 0), (1, 1)), samples((-1000, 0), (1001, 1)))
    assert scores(made, 1001) == pytest.approx([np.e / (1 + np.e)])


def test_nearness_is_the_exponential_but_for_a_factor():
    near = nearness(np.array([[1.0, 2.0], [2000.0, 2003.0]]))
    assert near == pytest.approx(np.array([[1, np.exp(-1)], [1, np.exp(-3)]]))

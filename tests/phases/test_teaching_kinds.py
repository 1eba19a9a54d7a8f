"""What a device does not say of kinds that it never met, in its logits."""

import numpy as np
import pytest

from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network, logits
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.phases.kinds import HELD_BACK, NOWHERE, held_back, met, moved, read, without, written

NETWORK = Network(2, (8,), 3)
LEARNER = NetworkLearner(NETWORK, 0.01, 0, Target(("hot", "ok", "worn"), (1,)))
RANDOM = np.random.default_rng(0)


def blob(kind, rows=60):
    """Samples of one kind, at its corner."""
    x = RANDOM.normal([(4, 0), (0, 0), (0, 4)][kind], 0.5, size=(rows, 2))
    return Samples(x.astype(np.float32), np.full(rows, kind, np.float32))


def both(*parts):
    return Samples(*map(np.concatenate, zip(*parts, strict=True)))


def test_two_classes_are_not_counted_and_nothing_is_added_to_their_logit():
    assert met(np.array([0.0, 1.0]), 1).shape == (0,)
    assert held_back(met(np.array([0.0]), 1)).shape == (0,)
    weights = np.ones(3, np.float32)
    assert moved(weights, held_back(met(np.array([0.0]), 1))) is weights


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0], [0, 0, -HELD_BACK]),
        ([2.0, 0.0, 2.0], [0, -HELD_BACK, 0]),
        ([0.0, 1.0, 2.0], []),
        ([1.0], []),
    ],
)
def test_what_it_has_not_met_is_held_back_unless_it_knows_one_kind_alone(labels, expected):
    assert held_back(met(np.array(labels), 3)).tolist() == expected


def test_a_logit_is_its_bias_higher_and_comes_back():
    weights, by = LEARNER.initial(), np.array([0, -30, 2], np.float32)
    x = blob(0).x
    assert logits(NETWORK, moved(weights, by), x) == pytest.approx(logits(NETWORK, weights, x) + by, abs=1e-5)
    assert moved(moved(weights, by), -by) == pytest.approx(weights, abs=1e-5)


def test_a_kind_that_a_device_never_met_is_not_forgotten_where_it_trains():
    worn = blob(2)
    knows = LEARNER.train(LEARNER.initial(), both(blob(0), blob(1), worn), "all", epochs=30).weights
    own, by = both(blob(0), blob(1)), held_back(np.array([True, True, False]))
    plain = LEARNER.train(knows, own, "device", epochs=60).weights
    kept = moved(LEARNER.train(moved(knows, by), own, "device", epochs=60).weights, -by)
    before, forgot, keeps = (LEARNER.probabilities(w, worn.x)[:, 2].mean() for w in (knows, plain, kept))
    assert before > 0.95 and forgot < 0.9 and keeps > 0.95
    last = slice(-27, None)  # of the nine parameters of the kind none has moved
    assert kept[last].reshape(9, 3)[:, 2] == pytest.approx(knows[last].reshape(9, 3)[:, 2], abs=1e-4)


def test_a_kind_that_nobody_in_a_group_has_met_is_nowhere():
    found = logits(NETWORK, without(LEARNER.initial(), 27, np.array([True, False, True])), blob(0).x)
    assert (found[:, 1] == NOWHERE).all() and (found[:, [0, 2]] != NOWHERE).all()


def test_kinds_travel_in_the_last_places_of_a_vector():
    kinds = np.array([True, False, True])
    assert written(kinds, 5).tolist() == [0, 0, 1, 0, 1]
    assert (read(written(kinds, 5), 3) == kinds).all()

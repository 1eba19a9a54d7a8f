"""Phase 0 (Algorithm 1): random weights, then public data."""

import pytest
from two_classes import losses

from fedmetaalign.fleet.build import build
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.foundation import pretrain
from fedmetaalign.recipe import Foundation, parse

NETWORK = Network(9, (8, 6))


@pytest.fixture(scope="module")
def public():
    simulated = {"simulator": "feeder", "count": 1, "samples": 200}
    return build(parse({"fleet": simulated, "foundation": simulated}, "here")).public


def pretrained(public, epochs=3, learning_rate=None, seed=0):
    settings = Foundation(epochs=epochs, learning_rate=learning_rate)
    learner = NetworkLearner(NETWORK, 1e-2, seed)
    return pretrain(learner, learner.initial(), public, settings)


def initial(seed):
    return NetworkLearner(NETWORK, 1e-2, seed).initial()


def test_the_first_weights_depend_on_the_seed_alone():
    assert initial(0).tobytes() == initial(0).tobytes()
    assert initial(0).tobytes() != initial(1).tobytes()


def test_it_learns_the_public_data(public):
    before = losses(NETWORK, initial(0), *public.support).mean()
    weights, records = pretrained(public)
    assert losses(NETWORK, weights, *public.support).mean() < 0.8 * before
    assert records[2]["support_loss"] < records[0]["support_loss"]


def test_one_record_an_epoch_and_the_outcome_on_the_last(public):
    weights, records = pretrained(public)
    assert [(r["phase"], r["round"], r["device"]) for r in records] == [(0, i, "public") for i in (1, 2, 3)]
    assert ["query_loss" in r for r in records] == [False, False, True]
    assert records[-1]["query_loss"] == pytest.approx(losses(NETWORK, weights, *public.query).mean())


def test_its_own_learning_rate_comes_before_the_optimizers(public):
    plain, own, same = (pretrained(public, learning_rate=rate)[0] for rate in (None, 1e-4, 1e-2))
    assert plain.tobytes() == same.tobytes()
    assert plain.tobytes() != own.tobytes()

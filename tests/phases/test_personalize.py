"""Phase 3 on the device (Algorithm 4): the first half stays, the last half becomes its own."""

from dataclasses import replace

import numpy as np
import pytest
from fake_engine import client_of
from two_classes import fault_probabilities

from fedmetaalign.evaluation.thresholds import best_f1
from fedmetaalign.federation.messages import Personalize
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.personalize import personalize
from fedmetaalign.recipe import parse

NETWORK = Network(9, (8, 6))
WEIGHTS = initialize(NETWORK, np.random.default_rng(0))


@pytest.fixture(scope="module")
def device():
    return build(parse({"fleet": {"simulator": "feeder", "count": 1, "samples": 800}}, "here")).devices[0]


def own(device, weights=WEIGHTS, learning_rate=1e-3, seed=0, **settings):
    client = client_of(device, seed, optimizer={"learning_rate": learning_rate}, personalize=settings)
    return personalize(client, Personalize(weights, 1, 1, {}))


def with_query(device, rows):
    part = device.parts["personalize"]
    query = Samples(part.query.x[rows], part.query.y[rows])
    parts = {**device.parts, "personalize": Part(part.support, query)}
    return replace(device, parts=parts, own=Part(device.own.support, query))


class TestFrozen:
    @pytest.mark.parametrize(
        ("hidden", "freeze", "expected"),
        [
            ((256, 128, 64, 32, 16, 12, 8), 0.5, 4),  # the paper: four of eight
            ((8, 6), 0.5, 1),  # of three the smaller half
            ((8,), 0.5, 1),
            ((8, 6, 4, 2), 0.5, 2),
            ((256, 128, 64, 32, 16, 12, 8), 0.0, 0),
            ((256, 128, 64, 32, 16, 12, 8), 0.99, 7),  # the last layer is always trained
            ((8,) * 9, 0.7, 7),
            ((8,) * 9, 0.3, 3),
        ],
    )
    def test_how_many_layers(self, hidden, freeze, expected):
        assert NetworkLearner(Network(9, hidden), 0.1, 0).split(freeze).body == expected

    def test_the_first_half_keeps_its_bits_and_the_rest_moves(self, device):
        layers = NETWORK.layers(own(device, epochs=2).weights)
        given = NETWORK.layers(WEIGHTS)
        assert layers[0].tobytes() == given[0].tobytes()
        assert (layers[1] != given[1]).any()
        assert (layers[2] != given[2]).any()

    def test_nothing_frozen_moves_the_first_layer_too(self, device):
        moved = NETWORK.layers(own(device, epochs=2, freeze=0).weights)[0]
        assert (moved != NETWORK.layers(WEIGHTS)[0]).any()


class TestThreshold:
    def test_it_maximises_f1_on_the_validation_part(self, device):
        personal = own(device, epochs=3)
        query = device.parts["personalize"].query
        validation = fault_probabilities(NETWORK, personal.weights, query.x)

        def f1(threshold):
            alarms, faults = validation > threshold, query.y > 0
            return 2 * (alarms & faults).sum() / (alarms.sum() + faults.sum())

        assert personal.threshold.reason is None
        assert personal.threshold.f1 == pytest.approx(f1(personal.threshold.threshold))
        assert personal.threshold.f1 >= max(f1(t) for t in [-1, *validation])
        assert personal.threshold == best_f1(query.y.astype(np.int8), validation)

    def test_a_fixed_one_is_taken_as_it_is(self, device):
        assert own(device, epochs=1, threshold=0.3).threshold.threshold == 0.3

    def test_few_validation_samples_fall_back_to_one_half_and_say_why(self, device):
        chosen = own(with_query(device, np.arange(5)), epochs=1).threshold
        assert chosen.threshold == 0.5
        assert chosen.reason == "5 samples are too few to choose a threshold (30 needed)."

    def test_validation_without_a_fault_falls_back_and_says_so(self, device):
        normal = np.flatnonzero(device.parts["personalize"].query.y == 0)
        chosen = own(with_query(device, np.resize(normal, 32)), epochs=1).threshold
        assert chosen.threshold == 0.5
        assert "is a fault sample" in chosen.reason


class TestTraining:
    def test_one_record_an_epoch_and_the_outcome_on_the_last(self, device):
        records = own(device, epochs=3).records
        assert [(r["phase"], r["round"], r["device"]) for r in records] == [
            (3, 1, device.name),
            (3, 2, device.name),
            (3, 3, device.name),
        ]
        assert all(r["support_loss"] > 0 for r in records)
        assert ["accuracy" in r for r in records] == [False, False, True]
        assert 0 <= records[-1]["accuracy"] <= 1
        assert records[-1]["query_loss"] > 0

    def test_it_learns(self, device):
        records = own(device, epochs=10, learning_rate=1e-2).records
        assert records[-1]["support_loss"] < 0.7 * records[0]["support_loss"]

    def test_its_own_learning_rate_comes_before_the_optimizers(self, device):
        slow, fast = own(device, epochs=1), own(device, epochs=1, learning_rate=1e-2)
        other = {"epochs": 1, "learning_rate": 1e-2}
        client = client_of(device, optimizer={"learning_rate": 1e-3}, personalize=other)
        chosen = personalize(client, Personalize(WEIGHTS, 1, 1, {}))
        assert chosen.weights.tobytes() == fast.weights.tobytes()
        assert chosen.weights.tobytes() != slow.weights.tobytes()

    def test_only_the_support_set_of_its_own_part_is_trained_on(self, device):
        def poisoned(samples):
            return Samples(samples.x * np.nan, samples.y)

        spoilt = {name: Part(poisoned(p.support), poisoned(p.query)) for name, p in device.parts.items()}
        part = device.parts["personalize"]
        spoilt["personalize"] = Part(part.support, Samples(part.query.x + 100, part.query.y))
        other = replace(device, parts=spoilt, own=Part(spoilt["serial"].support, spoilt["personalize"].query))
        assert own(other, epochs=2).weights.tobytes() == own(device, epochs=2).weights.tobytes()

    def test_progress_is_reported(self, device):
        told = []
        personalize(
            client_of(device, on_steps=told.append, personalize={"epochs": 2}), Personalize(WEIGHTS, 1, 1, {})
        )
        assert sum(told) == 2 * len(device.parts["personalize"].support)

"""A device's model in so many bytes: what is tried, what is chosen, and what is reported."""

import re
from dataclasses import replace

import numpy as np
import pytest
from fake_engine import client_of
from threadpoolctl import threadpool_limits
from two_classes import fault_probabilities

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.thresholds import best_f1
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples, train
from fedmetaalign.operators.dense import Dense
from fedmetaalign.phases.deploy import deploy
from fedmetaalign.phases.fitting import Candidate, DistillationSet, choose, distil
from fedmetaalign.phases.layers import float_layers, weight_vector
from fedmetaalign.phases.size_limit import smallest_bytes
from fedmetaalign.recipe import Deploy, Personalize, parse
from fedmetaalign.tinyml import compress
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.runtimes import scores as run
from fedmetaalign.tinyml.tflite_reader import read

NETWORK = Network(9, (96, 64, 24, 8))
FORMATS = ("uint8", "int8", "int8-float-io", "int8-float-head", "int4", "float32")


@pytest.fixture(scope="module")
def device():
    fleet = {"simulator": "feeder", "count": 1, "samples": 800}
    return build(parse({"fleet": fleet, "splits": {"reuse": True}}, "here")).devices[0]


@pytest.fixture(scope="module")
def personal(device):
    random = np.random.default_rng(0)
    weights = initialize(NETWORK, random)
    trained = train(NETWORK, weights, device.own.support, learning_rate=1e-3, epochs=8, random=random).weights
    query = device.own.query
    return Personal(
        None, best_f1(query.y.astype(np.int8), fault_probabilities(NETWORK, trained, query.x)), trained
    )


@pytest.fixture(scope="module")
def distillation(device, personal):
    layers = float_layers(NETWORK, personal.weights)
    return DistillationSet.of(layers, device.train.x, np.random.default_rng(0))


@pytest.fixture
def deployed(device, personal, monkeypatch):
    """Deploys, with a distillation set of an eighth of the usual length."""
    for name, rows in (("ROWS", 2048), ("SPLIT", 1024), ("JUDGED", 1024)):
        monkeypatch.setattr(f"fedmetaalign.phases.fitting.{name}", rows)

    def deployed(device=device, seed=0, **settings):
        with threadpool_limits(1, "blas"):
            return deploy(client_of(device, seed, deploy=settings), NETWORK, personal)

    return deployed


def test_vectors_and_layers_are_each_others_inverse():
    weights = initialize(NETWORK, np.random.default_rng(1))
    network, again = weight_vector(float_layers(NETWORK, weights))
    assert network == NETWORK
    np.testing.assert_array_equal(again, weights)


class TestLesson:
    def test_it_holds_what_the_network_says(self, distillation, personal):
        assert distillation.inputs.shape == (16_384, 9)
        assert distillation.unseen.shape == (4_096, 9)
        said = fault_probabilities(NETWORK, personal.weights, distillation.unseen)
        np.testing.assert_allclose(distillation.unseen_scores, said, atol=1e-5)
        assert distillation.difference(said) < 1e-5

    def test_a_difference_is_a_root_of_a_mean_of_squares(self):
        distillation = DistillationSet(*np.zeros((3, 0)), unseen_scores=np.array([0.5, 0.5, 1.0, 0.0]))
        assert distillation.difference(np.array([0.5, 0.6, 0.9, 0.2])) == pytest.approx(np.sqrt(0.06 / 4))


class TestChoice:
    def candidate(self, products, size):
        layer = Dense(np.zeros((1, products), np.float32), np.zeros(products, np.float32), relu=False)
        return Candidate("some", 8, [layer], bytes(size))

    def test_the_nearest_of_those_that_fit(self):
        found = [self.candidate(9, 200), self.candidate(9, 90), self.candidate(5, 80), self.candidate(1, 70)]
        assert choose(found, [0.01, 0.05, 0.03, 0.04], most=100) == 2
        assert choose(found, [0.01, 0.05, 0.03, 0.04], most=200) == 0

    def test_of_those_that_are_alike_the_one_with_the_fewest_products(self):
        found = [self.candidate(9, 90), self.candidate(5, 80), self.candidate(1, 70)]
        assert choose(found, [0.0100, 0.0109, 0.0112], most=100) == 1

    def test_none_fits(self):
        assert choose([self.candidate(9, 90)], [0.1], most=50) is None


class TestDistillation:
    def test_a_pruned_network_learns_what_the_whole_one_says(self, distillation, personal):
        pruned = compress.prune(float_layers(NETWORK, personal.weights), 12, distillation.inputs)
        taught = distil(pruned, distillation, np.random.default_rng(0))
        before, after = (
            distillation.difference(compress.scores(net, distillation.unseen)) for net in (pruned, taught)
        )
        assert after < 0.7 * before
        assert [layer.weights.shape for layer in taught] == [layer.weights.shape for layer in pruned]


class TestLadder:
    def test_without_a_size_there_is_none(self, deployed):
        assert deployed().candidates == ()

    def test_what_fits_as_it_is_stays_so(self, deployed):
        plain = deployed()
        fitted = deployed(max_bytes=len(plain.model))
        assert fitted.model == plain.model
        assert [(candidate.way, candidate.bits, candidate.shipped) for candidate in fitted.candidates] == [
            ("whole", 8, True)
        ]
        assert fitted.threshold == plain.threshold

    def test_every_way_is_tried_and_the_nearest_that_fits_is_shipped(self, deployed):
        whole, found = deployed(), deployed(max_bytes=6_000)
        techniques = [candidate.way.partition(" to ")[0] for candidate in found.candidates]
        assert sorted(zip(techniques, (candidate.bits for candidate in found.candidates), strict=True)) == [
            ("low rank", 4),
            ("low rank", 8),
            ("pruned", 4),
            ("pruned", 8),
            ("whole", 4),
            ("whole", 8),
        ]
        sizes = [candidate.bytes for candidate in found.candidates]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == len(whole.model) > 10_000
        assert all(candidate.bytes <= 6_000 for candidate in found.candidates if candidate.way != "whole")
        shipped = [candidate for candidate in found.candidates if candidate.shipped]
        assert len(shipped) == 1
        assert shipped[0].bytes == len(found.model) <= 6_000
        least = min(candidate.difference for candidate in found.candidates if candidate.bytes <= 6_000)
        assert least <= shipped[0].difference <= 1.1 * least

    def test_little_is_lost(self, deployed, device, personal):
        x = device.train.x
        wanted = fault_probabilities(NETWORK, personal.weights, x)
        for most, tolerated in ((6_000, 0.05), (3_500, 0.12)):
            found = run(deployed(max_bytes=most).model, x)
            assert np.sqrt(np.mean((found - wanted) ** 2)) < tolerated

    def test_the_file_runs_elsewhere(self, deployed, device):
        found = deployed(max_bytes=6_000)
        here = run(found.model, device.train.x, "firmware")
        assert (run(found.model, device.train.x, "tflm") == here).all()
        assert np.mean(np.abs(run(found.model, device.train.x, "litert") - here)) < 0.01

    def test_a_rungs_accuracy_is_that_of_the_validation_part(self, deployed, device):
        found = deployed(max_bytes=6_000)
        query = device.parts["personalize"].query
        alarms = run(found.model, query.x, "firmware") > found.threshold.threshold
        (shipped,) = (candidate for candidate in found.candidates if candidate.shipped)
        assert shipped.accuracy == np.mean(alarms == (query.y > 0))

    def test_labels_do_not_decide_what_is_shipped(self, deployed, device):
        def relabelled(part):
            return Part(Samples(part.support.x, 1 - part.support.y), Samples(part.query.x, 1 - part.query.y))

        parts = {name: relabelled(part) for name, part in device.parts.items()}
        other = replace(device, parts=parts, own=relabelled(device.own))
        assert deployed(other, max_bytes=6_000).model == deployed(max_bytes=6_000).model

    def test_the_seed_decides_alone(self, deployed):
        first, again = deployed(max_bytes=6_000), deployed(max_bytes=6_000)
        assert first.model == again.model
        assert first.candidates == again.candidates
        assert deployed(max_bytes=6_000, seed=1).candidates != first.candidates

    def test_a_way_that_does_not_lead_there_shows_how_far_it_goes(self, deployed):
        found = deployed(max_bytes=3_000)
        sizes = {
            (candidate.way.partition(" to ")[0], candidate.bits): candidate.bytes
            for candidate in found.candidates
        }
        assert sizes["pruned", 8] <= 3_000 < sizes["low rank", 8] < sizes["whole", 8]

    def test_without_validation_samples_there_is_no_accuracy(self, deployed, device):
        nothing = Samples(np.zeros((0, 9), np.float32), np.zeros(0, np.float32))
        part = device.parts["personalize"]
        parts = {**device.parts, "personalize": Part(part.support, nothing)}
        found = deployed(replace(device, parts=parts), max_bytes=6_000)
        assert {candidate.accuracy for candidate in found.candidates} == {None}

    @pytest.mark.parametrize("name", FORMATS)
    def test_every_format_keeps_its_form(self, deployed, name):
        whole = deployed(format=name)
        most = len(whole.model) // 2
        found = deployed(format=name, max_bytes=most)
        assert len(found.model) <= most
        before, after = read(whole.model), read(found.model)
        assert isinstance(after, QuantizedNetwork) == isinstance(before, QuantizedNetwork)
        if isinstance(before, QuantizedNetwork):
            assert (after.edges, len(after.head)) == (before.edges, len(before.head))
        assert {candidate.bits for candidate in found.candidates} == {"float32": {32}, "int4": {4}}.get(
            name, {4, 8}
        )

    def test_scales_for_every_output_exclude_4_bits(self, deployed):
        found = deployed(per_channel=True, max_bytes=8_000)
        assert {candidate.bits for candidate in found.candidates} == {8}
        assert len(found.model) <= 8_000
        assert len(read(found.model).layers[0].weight_scales) > 1

    def test_the_half_that_learns_on_the_device_is_never_in_low_rank(self, deployed):
        found = deployed(max_bytes=6_000)
        assert len(found.layers) > len(NETWORK.shapes)
        assert [layer.relu for layer in found.layers[-3:]] == [True, True, False]


class TestSmallest:
    @pytest.mark.parametrize("name", FORMATS)
    def test_it_is_what_a_device_gets_for_a_little_more(self, deployed, name):
        size = smallest_bytes(NETWORK, Deploy(format=name), Personalize())
        found = deployed(format=name, max_bytes=size + 48)
        assert size - 48 <= len(found.model) <= size + 48

    def test_less_is_an_error_that_says_how_small_it_got(self, deployed):
        size = smallest_bytes(NETWORK, Deploy(), Personalize())
        with pytest.raises(RunError) as caught:
            deployed(max_bytes=size - 100)
        told = re.search(r"smallest uint8 model that can be made of this network has (\d+)", str(caught.value))
        assert told
        assert abs(int(told[1]) - size) <= 48

    def test_a_network_too_narrow_to_prune(self):
        narrow = Network(9, (6, 5))
        assert smallest_bytes(narrow, Deploy(), Personalize()) < 1_800

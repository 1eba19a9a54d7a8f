"""The network as arrays: literal outputs, and promises about rows, sizes and extreme logits."""

from itertools import pairwise

import numpy as np
import pytest
from adam_reference import PAPER, PAPER_12, SMALL, SMALL_12, samples, start
from hypothesis import given, settings
from hypothesis import strategies as st
from two_classes import fault_probabilities, losses

from fedmetaalign.model.mlp import Network, features, initialize, logits

# relu(x) - relu(-x): two hidden units that hand the input through, so that a logit can be asked for.
IDENTITY = Network(1, (2,))
PASS = np.array([1, -1, 0, 0, 1, -1, 0], np.float32)


def column(*values):
    return np.array(values, np.float32)[:, None]


class TestShape:
    def test_the_papers_network_has_46637_parameters(self):
        # 10*256 + 257*128 + 129*64 + 65*32 + 33*16 + 17*12 + 13*8 + 9*1
        assert PAPER.parameters == 46_637
        assert PAPER.shapes[0] == (10, 256)
        assert PAPER.shapes[-1] == (9, 1)
        assert len(PAPER.shapes) == 8

    def test_each_output_has_a_column_of_the_last_layer(self):
        assert PAPER_12.shapes == (*PAPER.shapes[:-1], (9, 12))
        assert PAPER_12.parameters == 46_637 + 9 * 11

    def test_a_matrix_holds_a_row_for_each_input_and_the_bias_last(self):
        # logit = 2*relu(x0 + 10*x1 + 100) + 3
        network = Network(2, (1,))
        weights = np.array([1, 10, 100, 2, 3], np.float32)
        assert [m.tolist() for m in network.layers(weights)] == [[[1], [10], [100]], [[2], [3]]]
        x = np.array([[1, 2], [-200, 0]], np.float32)
        assert logits(network, weights, x).tolist() == [2 * 121 + 3, 3]

    def test_more_outputs_give_a_row_of_logits(self):
        # The unit is relu(x0 + 10*x1 + 100); the last layer is (2 -1 0) times it, plus (3 4 5).
        weights = np.array([1, 10, 100, 2, -1, 0, 3, 4, 5], np.float32)
        x = np.array([[1, 2], [-200, 0]], np.float32)
        assert logits(Network(2, (1,), 3), weights, x).tolist() == [[245, -117, 5], [3, 4, 5]]

    def test_the_layers_are_views_of_the_vector(self):
        weights = np.zeros(SMALL.parameters, np.float32)
        SMALL.layers(weights)[1][0, 0] = 7
        assert weights[10 * 8] == 7


class TestInitialize:
    def test_weights_fill_the_glorot_interval_and_biases_are_zero(self):
        layers = PAPER.layers(initialize(PAPER, np.random.default_rng(0)))
        units = (9, 256, 128, 64, 32, 16, 12, 8, 1)
        for matrix, (fan_in, fan_out) in zip(layers, pairwise(units), strict=True):
            limit = (6 / (fan_in + fan_out)) ** 0.5
            assert (matrix[-1] == 0).all()
            assert np.abs(matrix[:-1]).max() <= np.float32(limit)
            if fan_in * fan_out > 100:
                assert np.abs(matrix[:-1]).max() > 0.95 * limit
                # uniform: the deviation is limit / sqrt(3)
                assert matrix[:-1].std() == pytest.approx(limit / 3**0.5, rel=0.15)

    def test_the_limit_does_not_count_the_bias_as_an_input(self):
        # One input and one unit: sqrt(6/2). Of 2,000 draws the greatest comes within 1 % of it.
        network, random = Network(1, (1,)), np.random.default_rng(0)
        drawn = np.array([initialize(network, random) for _ in range(2000)])
        assert np.abs(drawn).max(axis=0).tolist() == pytest.approx([3**0.5, 0, 3**0.5, 0], rel=0.01)

    def test_a_seed_gives_the_same_bits_and_another_seed_others(self):
        first, again, other = (initialize(PAPER, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert first.dtype == np.float32
        assert first.tobytes() == again.tobytes()
        assert (first == other).mean() < 0.02  # the biases, which are 517 of 46,637


class TestRows:
    def test_they_equal_numpy_in_float64(self):
        x = samples(300).x
        h = x.astype(np.float64)
        for matrix in PAPER.layers(start(PAPER)):
            z = h @ matrix[:-1].astype(np.float64) + matrix[-1]
            h = np.maximum(z, 0)
        # Float32 sums of up to 256 products lose about sqrt(256) roundings of 2^-24 a layer: 8 layers, 8e-6.
        np.testing.assert_allclose(logits(PAPER, start(PAPER), x), z[:, 0], rtol=8e-6, atol=8e-6)

    @pytest.mark.parametrize("network", [SMALL, PAPER, PAPER_12])
    def test_a_row_does_not_depend_on_how_many_there_are(self, network):
        x, weights = samples(600).x, start(network)
        together = logits(network, weights, x)
        for count in (1, 2, 7, 255, 256, 257, 511, 599):
            assert logits(network, weights, x[:count]).tobytes() == together[:count].tobytes()
        for i in range(0, 600, 37):
            assert logits(network, weights, x[i : i + 1])[0].tolist() == together[i].tolist()

    @settings(max_examples=20, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(1, 300))
    def test_a_row_does_not_depend_on_its_place_or_neighbours(self, random, count):
        x, weights = samples(300).x, start(PAPER)
        order = random.sample(range(300), count)
        assert logits(PAPER, weights, x[order]).tobytes() == logits(PAPER, weights, x)[order].tobytes()

    def test_a_neighbour_that_is_not_finite_is_alone_in_it(self):
        x = samples(300).x
        clean = logits(PAPER, start(PAPER), x)
        x[3], x[290] = np.nan, np.inf
        dirty = logits(PAPER, start(PAPER), x)
        others = np.delete(np.arange(300), [3, 290])
        assert clean[others].tobytes() == dirty[others].tobytes()
        assert not np.isfinite(dirty[3])

    def test_no_rows_give_no_logits(self):
        empty = np.zeros((0, 9), np.float32)
        assert logits(SMALL, start(SMALL), empty).shape == (0,)
        assert logits(SMALL_12, start(SMALL_12), empty).shape == (0, 12)
        assert fault_probabilities(SMALL, start(SMALL), empty).shape == (0,)
        assert losses(SMALL, start(SMALL), empty, np.zeros(0)).shape == (0,)


class TestFeatures:
    def test_they_are_the_units_of_the_last_hidden_layer(self):
        # relu(x) and relu(-x)
        assert features(IDENTITY, PASS, column(3, -2)).tolist() == [[3, 0], [0, 2]]

    def test_the_last_layer_makes_the_logit_of_them(self):
        x, weights = samples(300).x, start(PAPER)
        last = PAPER.layers(weights)[-1]
        found = features(PAPER, weights, x)
        assert (found.shape, found.dtype) == ((300, 8), np.float32)
        np.testing.assert_allclose(found @ last[:-1, 0] + last[-1], logits(PAPER, weights, x), atol=1e-6)

    def test_a_network_without_hidden_layers_hands_its_input_on(self):
        x = column(1, 2)
        assert features(Network(1, ()), np.ones(2, np.float32), x).tolist() == x.tolist()

    def test_a_row_does_not_depend_on_the_rows_beside(self):
        x, weights = samples(600).x, start(PAPER)
        together = features(PAPER, weights, x)
        for count in (1, 7, 256, 257):
            assert features(PAPER, weights, x[:count]).tobytes() == together[:count].tobytes()
        assert features(PAPER, weights, x[:0]).shape == (0, 8)


class TestScoresAndLosses:
    def test_the_score_is_the_sigmoid(self):
        # sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4
        x = column(0, np.log(3), -np.log(3))
        np.testing.assert_allclose(fault_probabilities(IDENTITY, PASS, x), [0.5, 0.75, 0.25], rtol=1e-7)

    def test_the_loss_is_the_cross_entropy(self):
        x = column(np.log(3), np.log(3), 0)
        expected = [-np.log(0.75), -np.log(0.25), np.log(2)]
        np.testing.assert_allclose(losses(IDENTITY, PASS, x, np.array([1.0, 0, 1])), expected, rtol=1e-7)

    def test_logits_of_a_thousand_are_certain_and_cost_a_thousand_when_wrong(self):
        x, y = column(1000, 1000, -1000, -1000), np.array([1.0, 0, 0, 1])
        assert fault_probabilities(IDENTITY, PASS, x).tolist() == [1, 1, 0, 0]
        assert losses(IDENTITY, PASS, x, y).tolist() == [0, 1000, 0, 1000]

    @given(st.floats(-1000, 1000, width=32))
    @settings(max_examples=50, deadline=None)
    def test_scores_stay_in_the_unit_interval_and_mirror(self, z):
        up, down = fault_probabilities(IDENTITY, PASS, column(z, -z))
        assert 0 <= up <= 1
        assert up + down == pytest.approx(1, abs=1e-15)
        assert up >= 0.5 if z >= 0 else up <= 0.5

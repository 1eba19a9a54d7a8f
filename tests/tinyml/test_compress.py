"""Pruning: which units stay, and that the others' part is taken over."""

import numpy as np
import pytest

from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.compress import limits, mixtures, prune, scores, truncate
from fedmetaalign.tinyml.network import check_layers


def difference(one, other, x):
    return float(np.sqrt(np.mean((scores(one, x) - scores(other, x)) ** 2)))


class TestMixtures:
    X = np.float32([[0, 0, 0], [1, 2, 4]])

    def test_every_row_lies_between_two_samples(self):
        drawn = mixtures(self.X, 1000, np.random.default_rng(0))
        assert drawn.shape == (1000, 3)
        assert drawn.dtype == np.float32
        share = drawn[:, 0]
        assert ((share >= 0) & (share <= 1)).all()
        np.testing.assert_allclose(drawn, share[:, np.newaxis] * self.X[1], rtol=1e-6)

    def test_half_are_samples_and_of_the_others_half_mix_a_sample_with_itself(self):
        share = mixtures(self.X, 10_000, np.random.default_rng(0))[:, 0]
        ends = (share == 0) | (share == 1)
        assert 0.73 < ends.mean() < 0.77
        between = share[~ends]
        for quantile in (0.25, 0.5, 0.75):
            assert np.mean(between < quantile) == pytest.approx(quantile, abs=0.03)

    def test_one_sample_mixes_with_itself(self):
        drawn = mixtures(self.X[1:], 5, np.random.default_rng(0))
        np.testing.assert_array_equal(drawn, np.tile(self.X[1], (5, 1)))

    def test_the_generator_decides(self):
        first, again, other = (mixtures(self.X, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ((9, 256, 128, 64, 32, 16, 12, 8, 1), [128, 64, 32, 16, 8, 4]),
        ((9, 20, 100, 1), [50, 25, 12, 6]),
        ((9, 8, 4, 1), [4]),
        ((9, 7, 1), []),
        ((9, 1), []),
    ],
)
def test_limits_halve_the_widest_layer_down_to_four_units(network, widths, expected):
    assert limits(network(0, widths)) == expected


def test_scores_are_the_sigmoid_of_the_logit(network, samples, float_scores):
    layers = network(3, (9, 8, 6, 1))
    np.testing.assert_allclose(scores(layers, samples(20)), float_scores(layers, samples(20)), rtol=1e-12)


class TestPrune:
    def test_shapes_are_those_of_truncate_and_the_network_is_one(self, network, samples):
        layers = network(0, (9, 40, 24, 12, 1))
        for limit in (30, 12, 4):
            pruned = prune(layers, limit, samples(200))
            check_layers(pruned)
            shapes = [layer.weights.shape for layer in pruned]
            assert shapes == [layer.weights.shape for layer in truncate(layers, limit)]
            assert shapes[0] == (9, limit)
            assert all(layer.weights.dtype == layer.biases.dtype == np.float32 for layer in pruned)
            assert [layer.relu for layer in pruned] == [True, True, True, False]

    def test_a_limit_that_binds_nothing_changes_nothing(self, network, samples):
        layers = network(0, (9, 8, 6, 1))
        for layer, pruned in zip(layers, prune(layers, 8, samples(100)), strict=True):
            np.testing.assert_allclose(pruned.weights, layer.weights, atol=1e-6)
            np.testing.assert_allclose(pruned.biases, layer.biases, atol=1e-6)

    def test_of_units_that_do_the_same_one_stays_and_takes_over(self):
        # Units 0 and 2 are the same; 3 is twice unit 1. Two units can say all that the four say:
        # the logit is 1 r0 + 2 r1 + 3 r0 + 4 (2 r1) - 1 = 4 r0 + 10 r1 - 1.
        first = np.float32([[1, 0, 1, 0], [0, 1, 0, 2]])
        layers = [
            Dense(first, np.float32([0.1, 0.2, 0.1, 0.4]), relu=True),
            Dense(np.float32([[1], [2], [3], [4]]), np.float32([-1]), relu=False),
        ]
        x = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
        pruned = prune(layers, 2, x)
        per_unit = pruned[1].weights[:, 0] * pruned[0].weights.sum(axis=0)
        np.testing.assert_allclose(np.sort(per_unit), [4, 10], rtol=2e-3)
        assert difference(pruned, layers, x) < 1e-3

    def test_units_that_are_never_active_go_first(self):
        rng = np.random.default_rng(0)
        alive = rng.normal(size=(3, 2)).astype(np.float32)
        dead = rng.normal(size=(3, 2)).astype(np.float32)
        layers = [
            Dense(np.hstack([dead, alive]), np.float32([-50, -50, 0.5, -0.5]), relu=True),
            Dense(rng.normal(size=(4, 1)).astype(np.float32), np.float32([0.3]), relu=False),
        ]
        x = rng.normal(size=(300, 3)).astype(np.float32)
        pruned = prune(layers, 2, x)
        np.testing.assert_array_equal(pruned[0].weights, alive)
        np.testing.assert_allclose(pruned[1].weights, layers[1].weights[2:], rtol=1e-3)

    def test_a_unit_that_nothing_listens_to_goes_before_a_small_one(self):
        layers = [
            Dense(np.float32([[5, 0], [0, 1]]), np.zeros(2, np.float32), relu=True),
            Dense(np.float32([[0], [1]]), np.zeros(1, np.float32), relu=False),
        ]
        x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
        np.testing.assert_array_equal(prune(layers, 1, x)[0].weights, [[0], [1]])

    def test_a_quarter_of_the_units_says_nearly_the_same(self, trained):
        layers, x, _ = trained
        pruned = prune(layers, 64, x[:2000])
        assert sum(layer.weights.size for layer in pruned) < 0.32 * sum(layer.weights.size for layer in layers)
        assert difference(pruned, layers, x[2000:]) < 0.07
        # What a common rule keeps, the units with the largest weights, is far off without training.
        largest = _with_largest_weights(layers, 64)
        assert difference(largest, layers, x[2000:]) > 4 * difference(pruned, layers, x[2000:])

    def test_one_row_is_enough_to_stay_finite(self, network, samples):
        check_layers(prune(network(0, (9, 16, 8, 1)), 4, samples(1)))


def _with_largest_weights(layers, limit):
    kept, made = np.arange(9), []
    for i, layer in enumerate(layers):
        weights = layer.weights[kept]
        order = np.argsort(-np.linalg.norm(layer.weights, axis=0))
        kept = np.sort(order[:limit]) if i < len(layers) - 1 else np.arange(1)
        made.append(Dense(weights[:, kept], layer.biases[kept], layer.relu))
    return made

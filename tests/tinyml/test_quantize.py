import math
from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.dense import Dense, gptq
from fedmetaalign.operators.grid import Grid, grid, to_grid
from fedmetaalign.operators.logistic import HIGHEST_LOGIT, LOWEST_LOGIT, logit_range
from fedmetaalign.tinyml.calibration import activation_ranges
from fedmetaalign.tinyml.integer import firmware_scores
from fedmetaalign.tinyml.network import check_quantized
from fedmetaalign.tinyml.quantize import bits_of_int4, dequantize_score, quantize, quantize_input


def test_two_layers_worked_out_by_hand(by_hand):
    layers, calibration = by_hand
    q = quantize(layers, calibration)
    # Input: [-1, 1.55] in 255 steps of 0.01; -1 is at -128, so 0 is at -28.
    assert q.input == Grid(np.float32(0.01), -28)
    first, second = q.layers
    # Largest weight 1.27 = 127 * 0.01; biases in steps of 0.01 * 0.01.
    assert first.weight_scales.tolist() == [np.float32(0.01)]
    assert first.weights.tolist() == [[127, -50], [30, 63]]
    assert first.biases.tolist() == [8815, -2000]
    # Hidden: row 2 gives 1.27 * 1.55 - 0.3 + 0.8815 = 2.55, the largest; after ReLU the lowest is 0.
    assert first.output.zero_point == -128
    assert first.output.scale == pytest.approx(0.01, rel=1e-6)
    assert second.weights.tolist() == [[-127], [64]]
    assert second.biases.tolist() == [500]
    # Logits: row 2 gives -1.27 * 2.55 + 0.05 = -3.1885, the largest in magnitude; symmetric, 128 steps below 0.
    assert second.output.zero_point == 0
    assert second.output.scale == pytest.approx(3.1885 / 128, rel=1e-6)


def test_input_rounds_ties_away_from_zero_and_saturates(by_hand):
    layers, _ = by_hand
    q = quantize(layers, np.float32([[-32.0, 31.75]]))  # steps of 0.25, zero at 128
    assert q.input == Grid(0.25, 0)
    x = np.float32(
        [[0.125, -0.125], [0.124, -0.124], [0.375, -0.375], [1e9, -1e9], [np.inf, -np.inf], [3e38, -0.0]]
    )
    expected = [[129, 127], [128, 128], [130, 126], [255, 0], [255, 0], [255, 128]]
    assert quantize_input(q, x).tolist() == expected
    assert quantize_input(q, x).dtype == np.uint8


def test_input_in_the_type_of_the_edges(by_hand):
    layers, _ = by_hand
    x = np.float32([[0.125, -0.125], [1e9, -1e9], [0.3, 0.0]])
    ranges = np.float32([[-32.0, 31.75]])  # steps of 0.25, zero at 0 of int8
    whole = quantize_input(quantize(layers, ranges, edges="int8"), x)
    assert (whole.dtype, whole.tolist()) == (np.int8, [[1, -1], [127, -128], [1, 0]])
    real = quantize_input(quantize(layers, ranges, edges="float32"), x)
    assert (real.dtype, real.tolist()) == (np.float32, x.tolist())


def test_classes_beyond_doubt_are_told_apart_on_the_widest_grid_that_kernels_take():
    random = np.random.default_rng(0)
    layers = [Dense(np.float32(1e4 * random.normal(size=(3, 4))), np.zeros(4, np.float32), relu=False)]
    x = random.normal(size=(400, 3)).astype(np.float32)
    network = quantize(layers, x)
    check_quantized(network)
    assert 15.9 < network.layers[-1].output.scale <= 16
    kinds = firmware_scores(network, quantize_input(network, x)).argmax(axis=1)
    assert (kinds == (x @ layers[0].weights).argmax(axis=1)).mean() > 0.97


def test_what_the_logits_of_all_classes_have_in_common_takes_no_room():
    random = np.random.default_rng(0)
    weights, common = random.normal(size=(5, 4)), random.normal(size=(5, 1))
    plain, far = (
        [Dense(np.float32(weights + offset * common), np.full(4, offset, np.float32), relu=False)]
        for offset in (0.0, 300.0)
    )
    x = random.normal(size=(400, 5)).astype(np.float32)
    first, second = (quantize(layers, x) for layers in (plain, far))
    scores, others = (firmware_scores(made, quantize_input(made, x)) for made in (first, second))
    assert second.layers[-1].output.scale < 0.1  # 600 / 255 for logits as they are
    assert np.abs(scores - others).max() < 0.02


def test_a_float_just_below_one_half_rounds_down():
    assert to_grid(np.float32([0.49999997, -0.49999997]), 1.0, 0, np.int8).tolist() == [0, 0]


def test_scores_are_256ths():
    assert dequantize_score(np.uint8([0, 1, 128, 255])).tolist() == [0.0, 1 / 256, 0.5, 255 / 256]
    assert float(dequantize_score(np.uint8(64))) == 0.25
    assert dequantize_score(np.int8([-128, -127, 0, 127])).tolist() == [0.0, 1 / 256, 0.5, 255 / 256]
    assert dequantize_score(np.float32([0.1])).tolist() == [float(np.float32(0.1))]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 2.55, Grid(np.float32(0.01), -128)),
        (0.5, 2.55, Grid(np.float32(0.01), -128)),  # extended to 0
        (-2.55, -0.5, Grid(np.float32(0.01), 127)),
        (-1.28, 1.27, Grid(np.float32(0.01), 0)),
        (0.0, 0.0, Grid(np.float32(1 / 255), -128)),  # silence
    ],
)
def test_grid(low, high, expected):
    assert grid(low, high) == expected


def test_the_limits_of_the_logit_reach_the_first_and_the_last_score_and_hardly_more():
    limits = grid(LOWEST_LOGIT, HIGHEST_LOGIT)
    ends = [limits.scale * (q - limits.zero_point) for q in (-128, -126, 125, 127)]
    first, third, third_last, last = (256 / (1 + math.exp(-logit)) for logit in ends)
    assert first < 0.5 < third
    assert third_last < 254.5 < last


def test_logit_range_leaves_room_for_the_class_that_calibration_lacks():
    assert logit_range(-4.0, -1.0) == (-4.0, 4.0 * 127 / 128)
    assert logit_range(0.5, 4.0) == (-4.0, 4.0 * 127 / 128)
    assert logit_range(-0.01, 0.02) == (-1.0, 127 / 128)
    assert logit_range(-30.0, 40.0) == (LOWEST_LOGIT, HIGHEST_LOGIT)


def test_ranges_are_found_over_all_rows_whatever_the_chunks(network, samples):
    layers, x = network(0, (3, 4, 1)), samples(10_000, 3)
    ranges = activation_ranges(layers, x)
    h = np.maximum(x.astype(np.float64) @ layers[0].weights + layers[0].biases, 0.0)
    logit = h @ layers[1].weights + layers[1].biases
    assert ranges[0] == (x.min(), x.max())
    assert ranges[1] == (h.min(), h.max())
    assert ranges[2] == pytest.approx((logit.min(), logit.max()), rel=1e-12)
    np.testing.assert_allclose(activation_ranges(layers, x[::-1]), ranges, rtol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_weights_come_back_within_half_a_step_and_multipliers_are_below_one(
    network, samples, seed, per_channel
):
    layers = network(seed, (4, 12, 6, 1))
    q = quantize(layers, samples(50, 4, seed), per_channel)
    scale = q.input.scale
    for (weights, biases), layer in zip([(a.weights, a.biases) for a in layers], q.layers, strict=True):
        error = np.abs(layer.weights * layer.weight_scales - weights)
        assert (error <= layer.weight_scales * 0.5001).all()
        bias_scales = np.float32(scale) * layer.weight_scales
        assert (np.abs(layer.biases * bias_scales - biases) <= bias_scales * 0.51 + np.abs(biases) * 1e-6).all()
        assert len(layer.weight_scales) == (len(biases) if per_channel else 1)
        assert bias_scales.max() < layer.output.scale
        scale = layer.output.scale


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_layer_of_zero_weights_keeps_its_biases(per_channel):
    layers = [
        Dense(np.zeros((2, 2), np.float32), np.float32([0.75, -3.0]), relu=True),
        Dense(np.zeros((2, 1), np.float32), np.zeros(1, np.float32), relu=False),
    ]
    q = quantize(layers, np.zeros((3, 2), np.float32), per_channel)
    assert q.input == Grid(np.float32(1 / 255), -128)
    first = q.layers[0]
    assert not first.weights.any()
    scales = np.float32(q.input.scale) * first.weight_scales
    assert (first.biases * scales).tolist() == pytest.approx([0.75, -3.0], rel=1e-6)
    assert q.layers[1].biases.tolist() == [0]


def test_a_huge_bias_fits_into_30_bits():
    for bias in np.linspace(1e6, 2e6, 20, dtype=np.float32):
        layers = [Dense(np.full((1, 1), 1e-6, np.float32), np.full(1, bias), relu=False)]
        q = quantize(layers, np.float32([[1.0], [-1.0]]))
        assert 2**29 < q.layers[0].biases[0] <= 2**30
        check_quantized(q)


def dense(*pairs):
    return [Dense(weights, biases, relu=i < len(pairs)) for i, (weights, biases) in enumerate(pairs, 1)]


def test_what_cannot_be_quantised_is_refused_in_one_sentence(by_hand):
    (w1, b1), (w2, b2) = [(layer.weights, layer.biases) for layer in by_hand[0]]
    x = by_hand[1]
    infinite, missing = w2.copy(), x.copy()
    infinite[0, 0] = np.inf
    missing[1, 0] = np.nan
    cases = [
        (dense((w1, b1), (infinite, b2)), x, "Layer 2 has a weight or bias that is not finite"),
        (dense((w1, b1), (w2, np.float32([np.nan]))), x, "Layer 2 has a weight or bias that is not finite"),
        (dense((w1, b1)), x, "The last layer has 2 outputs"),
        (dense((w1, b1), (w2[:1], b2)), x, "Layer 1 has 2 outputs but layer 2 has 1 inputs"),
        (dense((w1, b2), (w2, b2)), x, r"weights of shape \(2, 2\) and biases of shape \(1,\)"),
        ([], x, "no layers"),
        (by_hand[0], x[:0], r"shape \(0, 2\)"),
        (by_hand[0], x[:, :1], "at least one row of 2 inputs"),
        (by_hand[0], missing, "not finite in row 1, column 0"),
        ([replace(layer, relu=True) for layer in by_hand[0]], x, "The last layer has a ReLU"),
        (dense((w1 * np.float32(1e38), b1), (w2 * np.float32(1e30), b2)), x, "no float32 scale can hold"),
    ]
    for layers, calibration, message in cases:
        with pytest.raises(BundleError, match=message):
            quantize(layers, calibration)


def test_a_head_stays_as_it_is(network, samples):
    layers, x = network(1, (4, 6, 5, 1)), samples(50, 4)
    whole, split = quantize(layers, x), quantize(layers, x, head=2)
    assert split.head == tuple(layers[1:])
    assert split.input == whole.input
    assert len(split.layers) == 1
    assert split.layers[0].output == whole.layers[0].output
    assert (split.layers[0].weights == whole.layers[0].weights).all()


def test_a_layer_without_relu_keeps_its_negative_outputs(network, samples, low_rank):
    layers, x = low_rank(network(1, (4, 6, 5, 1)), 1, 2), samples(50, 4)
    outputs = np.maximum(x @ layers[0].weights + layers[0].biases, 0) @ layers[1].weights
    first = quantize(layers, x).layers[1]
    assert not first.relu
    assert first.output.scale * (-128 - first.output.zero_point) == pytest.approx(outputs.min(), rel=0.02)
    assert first.output.scale * (127 - first.output.zero_point) == pytest.approx(outputs.max(), rel=0.02)
    assert not first.biases.any()


def test_what_excludes_itself_is_refused(by_hand):
    layers, x = by_hand
    for asked, message in (
        ({"head": 2}, "A float32 head of 2 of 2 layers leaves none"),
        ({"head": -1}, "A float32 head of -1 of 2 layers"),
        ({"bits": [4]}, "2 layers are quantised, but bits has 1 numbers"),
        ({"bits": [4, 8], "head": 1}, "1 layers are quantised, but bits has 2 numbers"),
        ({"bits": 4, "per_channel": True}, "leave per_channel out, or ask for 8 bits"),
    ):
        with pytest.raises(BundleError, match=message):
            quantize(layers, x, **asked)


# 4 bits


def test_errors_are_made_up_for_in_inputs_that_vary_together():
    # Two inputs that are always equal: only the sum of their weights counts, and 0.4 + 0.4 is nearer to 1 than
    # to 0, which rounding one by one gives.
    together = np.ones((2, 2))
    assert gptq.round_weights(np.array([[0.4], [0.4]]), together, 7).tolist() == [[0], [1]]
    # Of two opposite ones only the difference counts, here -0.2.
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert gptq.round_weights(np.array([[0.4], [0.6]]), opposite, 7).tolist() == [[0], [0]]
    # Of inputs that vary by themselves nothing makes up for another.
    assert gptq.round_weights(np.array([[0.4, -2.6], [9.0, -9.0]]), np.eye(2), 7).tolist() == [[0, -3], [7, -7]]


def test_inputs_that_never_vary_are_rounded_to_nearest():
    weights = np.array([[0.4, -2.6], [0.6, 3.3]])
    for x in ([[0.0, 0.0]], [[0.1, 1e9], [0.1, 1e9], [0.1, 1e9]], [[1e-9, 0.0]] * 7):
        covariance = gptq.moments([np.array(x)]).covariance
        assert gptq.round_weights(weights, covariance, 7).tolist() == [[0, -3], [1, 3]]


def test_the_best_step_clips_a_large_weight_of_an_input_that_hardly_varies():
    # With 7 steps, 10 would ask for steps of 1.43, of which 0.7 is the worst there is. Clips are 0.3, 0.35,
    # ... of the largest weight: 0.5 of it gives steps of 0.714.
    weights, variances = np.array([[10.0], [0.7]]), np.array([1e-9, 1.0])
    assert gptq.best_step(weights, variances, 7) == pytest.approx(5 / 7)
    assert gptq.best_step(weights, np.zeros(2), 7) == pytest.approx(10 / 7)
    assert gptq.best_step(np.zeros((2, 1)), variances, 7) == 0.0


def test_moments_do_not_depend_on_the_chunks():
    x = np.random.default_rng(0).normal(size=(100, 3)) @ np.array([[1, 2, 0], [0, 1, 0], [0, 1, 3]])
    found = gptq.moments([x[:10], x[10:11], x[11:]])
    np.testing.assert_allclose(found.mean, x.mean(axis=0))
    expected = np.cov(x.T, bias=True)
    np.testing.assert_allclose(found.covariance, expected + expected.trace() / 300 * np.eye(3), rtol=1e-6)


def test_4_bits_keep_the_mean_of_every_output(network, samples):
    layers, x = network(2, (6, 5, 1)), samples(300, 6)
    first = quantize(layers, x, bits=4).layers[0]
    assert np.abs(first.weights).max() <= 7
    scale = quantize(layers, x).input.scale * first.weight_scales
    found = x @ (first.weights * first.weight_scales) + first.biases * scale
    expected = x @ layers[0].weights + layers[0].biases
    # What is left is the rounding of the bias itself.
    assert (np.abs(found.mean(axis=0) - expected.mean(axis=0)) <= 0.501 * scale).all()


def test_4_bits_are_better_than_rounding_to_nearest(trained):
    layers, x, _ = trained
    hidden = np.maximum(x @ layers[0].weights + layers[0].biases, 0).astype(np.float64)
    weights, seen, new = layers[1].weights.astype(np.float64), hidden[:2000], hidden[2000:]
    covariance = gptq.moments([seen]).covariance

    def error(step, rounded):
        return float(np.var(new @ (weights - step * rounded), axis=0).sum())

    plain = np.abs(weights).max() / 7
    nearest = error(plain, np.rint(weights / plain))
    step = gptq.best_step(weights, covariance.diagonal(), 7)
    assert error(step, gptq.round_weights(weights / step, covariance, 7)) < nearest / 4


def test_which_layers_get_4_bits(network):
    # Of 46,120 weights, a fiftieth is 922: the first layer of 2,304 and the last four are left out.
    assert bits_of_int4(network(0)) == [8, 4, 4, 4, 8, 8, 8, 8]
    assert bits_of_int4(network(0, (3, 4, 1))) == [8, 4]

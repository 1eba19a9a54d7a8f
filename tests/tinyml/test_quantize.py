import math

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import Grid, check_quantized
from fedmetaalign.tinyml.quantize import (
    HIGHEST_LOGIT,
    LOWEST_LOGIT,
    activation_ranges,
    dequantize_score,
    grid,
    logit_range,
    quantize,
    quantize_input,
    to_grid,
)


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


def test_a_float_just_below_one_half_rounds_down():
    assert to_grid(np.float32([0.49999997, -0.49999997]), 1.0, 0, np.int8).tolist() == [0, 0]


def test_scores_are_256ths():
    assert dequantize_score(np.uint8([0, 1, 128, 255])).tolist() == [0.0, 1 / 256, 0.5, 255 / 256]
    assert float(dequantize_score(np.uint8(64))) == 0.25


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
    h = np.maximum(x.astype(np.float64) @ layers[0][0] + layers[0][1], 0.0)
    logit = h @ layers[1][0] + layers[1][1]
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
    for (weights, biases), layer in zip(layers, q.layers, strict=True):
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
        (np.zeros((2, 2), np.float32), np.float32([0.75, -3.0])),
        (np.zeros((2, 1), np.float32), np.zeros(1, np.float32)),
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
        layers = [(np.full((1, 1), 1e-6, np.float32), np.full(1, bias))]
        q = quantize(layers, np.float32([[1.0], [-1.0]]))
        assert 2**29 < q.layers[0].biases[0] <= 2**30
        check_quantized(q)


def test_what_cannot_be_quantised_is_refused_in_one_sentence(by_hand):
    (w1, b1), (w2, b2) = by_hand[0]
    x = by_hand[1]
    infinite, missing = w2.copy(), x.copy()
    infinite[0, 0] = np.inf
    missing[1, 0] = np.nan
    cases = [
        ([(w1, b1), (infinite, b2)], x, "Layer 2 has a weight or bias that is not finite"),
        ([(w1, b1), (w2, np.float32([np.nan]))], x, "Layer 2 has a weight or bias that is not finite"),
        ([(w1, b1)], x, "The last layer has 2 outputs"),
        ([(w1, b1), (w2[:1], b2)], x, "Layer 1 has 2 outputs but layer 2 has 1 inputs"),
        ([(w1, b2), (w2, b2)], x, r"weights of shape \(2, 2\) and biases of shape \(1,\)"),
        ([], x, "no layers"),
        (by_hand[0], x[:0], r"shape \(0, 2\)"),
        (by_hand[0], x[:, :1], "at least one row of 2 inputs"),
        (by_hand[0], missing, "not finite in row 1, column 0"),
        ([(w1 * np.float32(1e38), b1), (w2 * np.float32(1e30), b2)], x, "no float32 scale can hold"),
    ]
    for layers, calibration, message in cases:
        with pytest.raises(BundleError, match=message):
            quantize(layers, calibration)

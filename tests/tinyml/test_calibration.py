"""Ranges that are clipped to where scores err least."""

from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml import integer, native
from fedmetaalign.tinyml.calibration import activation_ranges, observe, pushed_out
from fedmetaalign.tinyml.features import outside
from fedmetaalign.tinyml.quantize import quantize, quantize_input, score_error
from fedmetaalign.tinyml.runtimes import ROUNDINGS, run
from fedmetaalign.tinyml.tflite import write

FORMATS = {
    "uint8": {},
    "per channel, int8": {"per_channel": True, "edges": "int8"},
    "int4": {"bits": 4},
    "float head": {"head": 1},
    "float io": {"edges": "float32"},
}


def linear(*weights):
    """A layer of one input without a bias."""
    return Dense(np.float32([weights]), np.zeros(len(weights), np.float32), relu=False)


@pytest.fixture
def switched_off(samples):
    """A thousand rows of which three are of a device that was off."""
    x = samples(1000)
    x[[17, 400, 999]] = -150
    return x


def test_clipped_ranges_leave_out_the_most_extreme_rows_up_to_a_tenth():
    x = np.arange(1, 41, dtype=np.float32)[::-1, np.newaxis]
    found = list(observe([linear(2)], x).clipped())
    assert found == [[ends, (2, 80)] for ends in ((1, 40), (2, 39), (3, 38), (5, 36))]  # the logit's is whole
    assert [len(list(observe([linear(2)], x[:rows]).clipped())) for rows in (1, 9, 10, 19, 20, 39)] == [
        1,
        1,
        2,
        2,
        3,
        3,
    ]


def test_rows_are_pushed_out_until_their_largest_input_is_just_short_of_the_end():
    x = np.float32([[1, -2], [0, 0], [4, 1]])
    expected = [*x.tolist(), [1.98, -3.96], [0, 0], [4, 1]]
    np.testing.assert_allclose(pushed_out(x, 4.0), expected, rtol=1e-6)


def test_ranges_of_rows_pushed_out_hold_what_lies_beyond_them_all_but_the_end_itself(network, samples):
    layers, x = network(1, (9, 16, 8, 1)), samples(400)
    near = np.clip(x, -2.5, 2.5)
    beyond = np.clip(3 * x, -3.9, 3.9)
    expected = observe(layers, beyond).scores
    near_only, reaching = (quantize(layers, rows, by="error") for rows in (near, pushed_out(near, 4.0)))
    errors = [
        np.abs(integer.firmware_scores(made, quantize_input(made, beyond)) - expected).mean()
        for made in (near_only, reaching)
    ]
    assert errors[1] < errors[0] / 4
    q = quantize_input(reaching, np.float32([[3.9] * 9, [-3.9] * 9]))
    assert q.min() > 0
    assert q.max() < 255


def test_logits_of_classes_are_clipped_too():
    x = np.arange(1, 11, dtype=np.float32)[:, np.newaxis]
    # Of the logits (0, x) there count those from 0 to 6.3, beyond which a probability is 1.
    assert list(observe([linear(0, 1)], x).clipped()) == [[(1, 10), (0, 6.3)], [(2, 9), (0, 6.3)]]
    x[7:] = 1e-3
    assert list(observe([linear(0, 1)], x).clipped())[1][1] == (0, 6)


def test_whole_ranges_are_the_plain_ones_whatever_the_chunks(network, samples):
    for outputs in (1, 3):
        layers, x = network(0, (9, 8, 6, outputs)), samples(10_000)
        assert next(observe(layers, x).clipped()) == activation_ranges(layers, x)


def test_one_row_far_away_does_not_cost_the_others_their_grid():
    x = np.float32([*np.linspace(-2, 2, 40), 1000])[:, np.newaxis]
    assert quantize([linear(1)], x).input.scale == pytest.approx(1002 / 255)  # all scores but one are 1/2
    found = quantize([linear(1)], x, by="error")
    # The lowest row goes with it: from -2 + 4 / 39 to 2.
    assert found.input.scale == pytest.approx((4 - 4 / 39) / 255)
    assert quantize_input(found, np.float32([[-2], [-1.9], [2], [1000]]))[:, 0].tolist() == [0, 0, 255, 255]
    assert score_error(found, x, observe([linear(1)], x).scores) < 4e-4  # of that one row
    # The device tells that it has never seen such a value.
    preparation = Preparation(("V",), ("",), {}, (0.0,), (1.0,), (0,))
    assert outside(preparation, found, np.float64([[1.9], [1000]])).tolist() == [0, 1]


def test_rare_alarms_keep_their_scores():
    x = np.float32([-4] * 999 + [5])[:, np.newaxis]
    network = quantize([linear(1)], x, by="error")
    assert integer.firmware_scores(network, quantize_input(network, x[-1:])) >= 254 / 256


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("form", FORMATS)
def test_scores_never_err_by_more_than_with_the_plain_range(network, switched_off, samples, form, outputs):
    gains = []
    for seed in range(4):
        layers = network(seed, (9, 16, 8, outputs))
        for x in (switched_off, samples(40, seed=seed), np.sinh(3 * samples(300, seed=seed))):
            truth = observe(layers, x).scores
            plain, error = (
                score_error(quantize(layers, x, by=by, **FORMATS[form]), x, truth) for by in ("range", "error")
            )
            assert error <= plain
            gains.append(plain / error)
    assert max(gains) > 4


def test_what_errs_little_stays_whole(network, samples):
    layers, x = network(0, (9, 16, 8, 1)), samples(500)
    assert write(quantize(layers, x, by="error")) == write(quantize(layers, x, by="range"))
    assert write(quantize(layers, x)) == write(quantize(layers, x, by="range"))


def test_4_bits_are_rounded_for_what_the_clipped_grid_holds(network, switched_off, samples):
    layers = network(1, (9, 16, 8, 1))
    network = quantize(layers, switched_off, bits=4, by="error")
    new = samples(1000, seed=5)
    assert score_error(network, new, observe(layers, new).scores) < 0.02


@pytest.mark.parametrize("runtime", ROUNDINGS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_runtime_gives_the_same_bits(network, switched_off, runtime, form):
    if runtime == "tflm":
        pytest.importorskip("tflite_micro")
    found = quantize(network(3, (9, 16, 8, 1)), switched_off, by="error", **FORMATS[form])
    assert found.input.scale < 0.1  # clipped: the rows of a device that was off saturate
    x = quantize_input(found, switched_off)
    expected = integer.scores(found, x, ROUNDINGS[runtime])
    apart = 1e-6 if form == "float head" else 0
    np.testing.assert_allclose(run(found, x, runtime), expected, rtol=0, atol=apart)


@pytest.mark.firmware
@pytest.mark.parametrize("form", FORMATS)
def test_the_firmware_gives_the_same_bits(network, switched_off, needs, form):
    needs("gcc")
    found = quantize(network(3, (9, 16, 8, 1)), switched_off, by="error", **FORMATS[form])
    x = quantize_input(found, switched_off)
    assert native.scores(found, x, "gcc").tolist() == integer.firmware_scores(found, x).tolist()


def test_what_grows_out_of_range_is_refused(network, samples):
    layers = [replace(layer, weights=layer.weights * np.float32(1e30)) for layer in network(0, (9, 8, 1))]
    with pytest.raises(BundleError, match="no float32 scale can hold"):
        quantize(layers, samples(50), by="error")

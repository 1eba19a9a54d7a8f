from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml.features import check, constants, device_inputs, outside
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize_input

PREPARATION = Preparation(
    features=("current", "voltage"),
    units=("A", "V"),
    categories={},
    mean=(100.0, -3.0),
    scale=(20.0, 0.5),
    columns=(0, 1, -1, 0),
)


def network_of(edges, scale=0.25, zero_point=-28, inputs=4):
    """A network of one layer, of which only the input counts here."""
    weights, biases = np.ones((inputs, 1), np.int8), np.zeros(1, np.int32)
    layer = QuantizedDense(weights, np.float32([0.01]), biases, Grid(0.1, 0), relu=False)
    return QuantizedNetwork(Grid(scale, zero_point), (layer,), edges=edges)


FLOAT = [Dense(np.ones((4, 1), np.float32), np.zeros(1, np.float32), relu=False)]


def test_two_rows_worked_out_by_hand():
    # 120 A is one standard deviation above the mean, 4 steps of 0.25; -4 V two below, 8 steps.
    raw = np.array([[120.0, -4.0], [100.0, -3.0]])
    whole = device_inputs(PREPARATION, network_of("int8"), raw)
    assert (whole.dtype, whole.tolist()) == (np.int8, [[-24, -36, -28, -24], [-28] * 4])
    unsigned = device_inputs(PREPARATION, network_of("uint8"), raw)
    assert (unsigned.dtype, unsigned.tolist()) == (np.uint8, [[104, 92, 100, 104], [100] * 4])
    for real in (network_of("float32"), FLOAT):
        inputs = device_inputs(PREPARATION, real, raw)
        assert (inputs.dtype, inputs.tolist()) == (np.float32, [[1.0, -2.0, 0.0, 1.0], [0.0] * 4])


def test_constants_worked_out_by_hand():
    found = constants(PREPARATION, network_of("uint8"))
    assert found.mean.tolist() == [100.0, -3.0]
    assert found.factor.tolist() == [np.float32(0.2), 8.0]  # 1 / (20 * 0.25), 1 / (0.5 * 0.25)
    for real in (network_of("float32"), FLOAT):
        assert constants(PREPARATION, real).factor.tolist() == [np.float32(0.05), 2.0]


def test_every_operation_is_in_float32():
    # 16777217 is no float32 number: it becomes 16777216 before the mean is taken off, and 1/3 is rounded.
    preparation = Preparation(("x",), ("",), {}, (16777215.0,), (3.0,), (0,))
    found = device_inputs(preparation, FLOAT, np.array([[16777217.0], [16777218.0]]))
    third = np.float32(1 / 3)
    assert found[:, 0].tolist() == [third, np.float32(3) * third]


def test_ties_go_away_from_zero_and_a_number_just_below_one_half_to_zero():
    # Raw values in steps of a half, less the mean 0.
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,))
    raw = np.array([[0.5, -0.5, 1.5, -1.5, 0.49999997, -0.49999997, 127.5, -128.5, 1e9, -1e9]]).T
    found = device_inputs(preparation, network_of("int8", scale=1.0, zero_point=0, inputs=1), raw)
    assert found[:, 0].tolist() == [1, -1, 2, -2, 0, 0, 127, -128, 127, -128]


def test_what_is_far_away_saturates_and_what_is_beyond_float32_is_broken():
    raw = np.array([[1e38, -1e38], [1e300, -1e38], [np.inf, -3.0], [np.nan, np.nan]])
    found = device_inputs(PREPARATION, network_of("uint8"), raw)
    assert found.tolist() == [[255, 0, 100, 255], [100, 0, 100, 100], [100] * 4, [100] * 4]
    far = float(np.float32(1e38) * np.float32(0.05))
    found = device_inputs(PREPARATION, FLOAT, raw)
    assert found[:, [0, 3]].tolist() == [[far] * 2, [0.0] * 2, [0.0] * 2, [0.0] * 2]
    assert outside(PREPARATION, network_of("uint8"), raw).tolist() == [3, -2, -2, -3]  # of the four inputs
    assert outside(PREPARATION, FLOAT, raw).tolist() == [0, -2, -2, -3]


def test_samples_out_of_range_by_hand():
    # -28 leaves 155 steps of 0.25 above the mean, 38.75 standard deviations, and 100 below, 25.
    raw = np.array(
        [
            [100 + 20 * 38.8, -3.0],  # 155.2 steps: 155
            [100 + 20 * 38.875, -3.0],  # 155.5 steps: 156, in both inputs that take the current
            [100 - 20 * 25.1, -3.0],  # -100.4 steps: -100
            [100 - 20 * 25.125, -3.0],  # -100.5 steps: -101
            [100.0, -3.0 - 0.5 * 30],
            [1e38, -1e38],
        ]
    )
    for edges in ("uint8", "int8", "float32"):
        assert outside(PREPARATION, network_of(edges), raw).tolist() == [0, 2, 0, 2, 1, 3]
    assert outside(PREPARATION, FLOAT, raw).tolist() == [0] * 6


@given(
    st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 2), min_size=1, max_size=20),
    st.sampled_from(["uint8", "int8"]),
)
@settings(max_examples=100, deadline=None)
def test_the_device_is_a_step_from_training_at_most_and_hardly_ever_that(rows, edges):
    raw, network = np.array(rows), network_of(edges)
    found = device_inputs(PREPARATION, network, raw).astype(int)
    trained = quantize_input(network, PREPARATION.apply(raw)).astype(int)
    real = PREPARATION.apply(raw).astype(np.float64) / 0.25
    near_a_tie = np.abs(np.abs(real - np.floor(real)) - 0.5) < 1e-3
    assert ((found == trained) | (near_a_tie & (np.abs(found - trained) == 1))).all()


@pytest.mark.parametrize("kind", ["uint8", "int8", "float32"])
def test_saturated_inputs_are_those_outside(kind):
    raw = np.random.default_rng(0).normal([100, -3], [300, 8], (500, 2))
    network = network_of(kind)
    inputs = device_inputs(PREPARATION, network, raw)
    q = quantize_input(replace(network, edges="int8"), inputs) if kind == "float32" else inputs.astype(int)
    q = q - 128 if kind == "uint8" else q
    counts = outside(PREPARATION, network, raw)
    assert 50 < np.count_nonzero(counts) < 450
    # Whoever is outside is at an end; at an end one may still be inside.
    assert ((q == -128) | (q == 127)).any(axis=1)[counts > 0].all()
    assert not counts[((q > -128) & (q < 127)).all(axis=1)].any()


def test_what_cannot_be_prepared_is_refused():
    network = network_of("uint8")
    for use in (device_inputs, outside):
        with pytest.raises(BundleError, match=r"shape \(1, 3\), but the model takes rows of 2 features"):
            use(PREPARATION, network, np.zeros((1, 3)))
    for name, value in (("mean", 1e39), ("mean", -1e300), ("scale", 1e-40), ("scale", 1e39)):
        changed = replace(PREPARATION, **{name: (1.0, value)})
        with pytest.raises(BundleError, match=r"'voltage' has mean .* float32 cannot hold; give it in anoth"):
            constants(changed, network)
    assert device_inputs(PREPARATION, network, np.zeros((0, 2))).shape == (0, 4)


@pytest.mark.parametrize(
    ("mean", "scale", "fine"),
    [
        (101_325.0, 100.0, True),  # pascals: steps of 2**-7
        (1e9, 1e4, True),  # steps of 64
        (1e9, 1e3, False),
        (-1e9, 1.0, False),
        (0.0, 1e-30, True),
    ],
)
def test_what_float32_cannot_tell_apart_is_refused(mean, scale, fine):
    preparation = Preparation(("time",), ("s",), {}, (mean,), (scale,), (-1, 0))
    x = np.float32([[0, -1], [0, 1]])
    check(preparation, np.zeros_like(x))  # constant: nothing to tell apart
    if fine:
        check(preparation, x)
    else:
        with pytest.raises(BundleError, match=r"'time' varies by .* cannot tell apart; subtract an offset"):
            check(preparation, x)

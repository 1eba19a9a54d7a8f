import functools
import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.dense import QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.logistic import logistic_table
from fedmetaalign.operators.rounding import Rounding, fixed_point
from fedmetaalign.tinyml import integer
from fedmetaalign.tinyml.network import QuantizedNetwork, check_quantized
from fedmetaalign.tinyml.quantize import quantize, quantize_input
from fedmetaalign.tinyml.runtimes import run

ROUNDINGS = {
    "litert-reference": "single",
    "litert": "half-up",
    "litert-xnnpack": "float32",
    "tflm": "gemmlowp",
}
FORMATS = {
    "uint8": {},
    "uint8 per channel": {"per_channel": True},
    "int8": {"edges": "int8"},
    "float32": {"edges": "float32"},
    "int4": {"bits": 4},
}


@pytest.fixture(params=ROUNDINGS)
def runtime(request):
    if request.param == "tflm":
        pytest.importorskip("tflite_micro")
    return request.param


def agree(network, x, runtime):
    """Whether all scores have the same bits in a runtime and in integers."""
    return (run(network, x, runtime) == integer.scores(network, x, ROUNDINGS[runtime])).all()


def one_weight(weight, weight_scale, biases=0, output=Grid(1.0, 0), inputs=Grid(0.5, 0)):  # noqa: B008
    """A network of one int8 input and one weight, whose logit is on the grid `output`."""
    layer = QuantizedDense(
        np.int8([[weight]]), np.float32([weight_scale]), np.int32([biases]), output, relu=False
    )
    return QuantizedNetwork(inputs, (layer,), edges="int8")


def random_network(rng, dyadic):
    """A small network with parameters out to their limits.

    Zero points at the ends, biases of 2**30, weights of 4 and 8 bits, odd and even widths, layers without ReLU
    or bias; and scales that are powers of 2 where `dyadic`, for then half of all accumulators are ties.
    """

    def zero_point():
        return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))

    def scale(low, high):
        exponent = rng.uniform(low, high)
        return float(np.float32(2.0 ** (np.round(exponent) if dyadic else exponent)))

    features = Grid(scale(-9, 0), zero_point())
    widths = [*rng.integers(1, 40, rng.integers(1, 5)), 1]
    narrow, per_channel = [(True, False), (False, True), (False, False)][rng.integers(3)]
    layers, current = [], features.scale
    for inputs, outputs in itertools.pairwise(widths):
        last = len(layers) == len(widths) - 2
        bits = 4 if narrow and rng.random() < 0.7 else 8
        largest = 2 ** (bits - 1) - 1
        scales = np.float32([scale(-9, -3) for _ in range(outputs if per_channel else 1)])
        spread = 50.0 * largest * np.sqrt(inputs)
        biases = rng.normal(0.0, spread * rng.integers(2), outputs)
        if rng.random() < 0.1:
            biases = rng.choice([-(2**30), 0, 2**30], outputs)
            spread = 2.0**30
        finest = current * float(scales.max())
        step = finest * spread / rng.choice([30, 60, 120])
        step = 2.0 ** np.ceil(np.log2(step)) if dyadic else float(np.float32(step))
        output = Grid(min(max(step, 2 * finest), 1.0 if last else 4.0), zero_point())
        weights = rng.integers(-largest, largest + 1, (inputs, outputs)).astype(np.int8)
        relu = not last and rng.random() < 0.7
        layers.append(QuantizedDense(weights, scales, biases.astype(np.int32), output, relu, bits))
        current = output.scale
    return QuantizedNetwork(features, tuple(layers), edges=str(rng.choice(["uint8", "int8", "float32"])))


def random_features(rng, network, rows):
    """Features over the whole grid, and for float32 beyond it, with ties."""
    shape = (rows, len(network.layers[0].weights))
    if network.edges != "float32":
        return rng.integers(0, 256, shape).astype(np.uint8).view(network.edges)
    steps = rng.integers(-300, 300, shape) + rng.choice([0.0, 0.5, 0.3], shape)
    return (steps * network.input.scale).astype(np.float32)


def test_four_ways_to_take_a_quarter(runtime):
    # Of -6, -2, 1 and 2. Two roundings take a half first, -3, -1, 1/2 = 1 and 1, and then another, -3/2, -1/2,
    # 1/2 and 1/2: away from 0, or upwards. One rounding takes -3/2, -1/2, 1/4 and 1/2: away from 0, or to even.
    quarters = {
        "gemmlowp": [-2, -1, 1, 1],
        "half-up": [-1, 0, 1, 1],
        "single": [-2, -1, 0, 1],
        "float32": [-2, 0, 0, 0],
    }
    network, x = one_weight(1, 0.5), np.int8([[-6], [-2], [1], [2]])
    for rounding, expected in quarters.items():
        assert integer.trunk(network, x, 1, rounding)[:, 0].tolist() == expected
    # 256 / (1 + exp(-q)) for q = -2, -1, 0 and 1 is 30.5, 68.8, 128 and 187.2.
    score = {-2: 31, -1: 69, 0: 128, 1: 187}
    expected = [score[q] / 256 for q in quarters[ROUNDINGS[runtime]]]
    assert run(network, x, runtime).tolist() == expected


def test_two_scales_are_multiplied_in_float64_but_for_one_kernel(runtime):
    # The real result is 5.499878. The first rounding of two is near a half, and the product of the scales in
    # float32, 2e-8 above, takes it to 5.5: LiteRT without delegates does that, and only with one scale a
    # tensor.
    features, weight_scale, output = Grid(2928 / 2**16, 0), 258337 / 2**30, Grid(7 / 128, 0)
    network, x = one_weight(1, weight_scale, 27981, output, features), np.int8([[0]])
    first = QuantizedDense(
        np.int8([[1, 1]]), np.float32([weight_scale] * 2), np.int32([27981] * 2), output, relu=False
    )
    same = one_weight(2, 0.5, output=output).layers[0]  # of what it takes from `first`
    both = QuantizedNetwork(features, (first, replace(same, weights=np.int8([[2], [0]]))), edges="int8")
    rounding = ROUNDINGS[runtime]
    assert integer.trunk(network, x, 1, rounding).tolist() == [[6 if rounding == "half-up" else 5]]
    assert integer.trunk(both, x, 2, rounding).tolist() == [[5]]
    assert agree(network, x, runtime)
    assert agree(both, x, runtime)


def test_trunk_worked_out_by_hand(by_hand):
    # Of test_runtimes: (25, -50) steps give 104.9 steps of 0.01 in the first unit, less than 0 in the second,
    # and -51.53 in the logit; 0 is -128 on the hidden grid, which is all positive, and -1 on the logit's.
    network = quantize(*by_hand)
    x = quantize_input(network, np.float32([[0.25, -0.5]]))
    features = integer.trunk(network, x, 0)
    assert (features.dtype, features.tolist()) == (np.int8, [[25 - 28, -50 - 28]])
    assert integer.trunk(network, x, 1).tolist() == [[105 - 128, -128]]
    logit = network.layers[-1].output
    assert integer.trunk(network, x, 2).tolist() == [[logit.zero_point - 52]]
    assert integer.scores(network, x).tolist() == [55 / 256]


def test_fixed_point_multipliers():
    multipliers, shifts = fixed_point(np.array([0.25, 0.75, 2.0**-32, 2.0**-33, 0.5 - 2.0**-40, 1 / 3]))
    assert multipliers.tolist() == [2**30, 3 * 2**29, 2**30, 0, 2**30, round(2**32 / 3)]
    assert shifts.tolist() == [1, 0, 31, 0, 0, 1]


def test_accumulators_at_the_edge_of_int32():
    # 2**15 products of 127 and 255 and a bias of 2**30 are 2**31 - 12,550,144.
    layer = QuantizedDense(
        np.full((2**15, 1), 127, np.int8), np.float32([0.5]), np.int32([2**30]), Grid(1.0, 0), relu=False
    )
    network = QuantizedNetwork(Grid(2.0**-25, -128), (layer,), edges="int8")
    check_quantized(network)
    x = np.full((1, 2**15), 127, np.int8)
    for rounding in get_args(Rounding):
        assert integer.trunk(network, x, 1, rounding).tolist() == [[32]]  # (2**31 - ...) / 2**26 = 31.8


@pytest.fixture(scope="module")
def quantized(network, trained, low_rank):
    """Networks of the paper's shape by name and format: random, trained, and trained and cut to a low rank."""
    layers, x, _ = trained
    random = np.random.default_rng(0).normal(size=(400, 9)).astype(np.float32)
    source = {
        "random": (network(0), random),
        "another random": (network(1), random),
        "trained": (layers, x[:400]),
        "low rank": (low_rank(low_rank(layers, 2, 23), 1, 16), x[:400]),
    }
    return functools.cache(lambda name, form: quantize(*source[name], **FORMATS[form]))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["random", "another random", "trained", "low rank"])
def test_networks_of_the_papers_shape(quantized, samples, runtime, name, form):
    network = quantized(name, form)
    # Wider than in calibration, so that every layer saturates now and then.
    x = quantize_input(network, samples(800) * np.float32(1.3))
    assert agree(network, x, runtime)


@pytest.mark.parametrize("dyadic", [False, True])
def test_parameters_out_to_their_limits(runtime, dyadic):
    rng = np.random.default_rng(dyadic)
    for _ in range(60):
        network = random_network(rng, dyadic)
        check_quantized(network)
        assert agree(network, random_features(rng, network, 50), runtime)


@pytest.mark.parametrize(("inputs", "expected"), [(2, 128), (3, 255)])
def test_xnnpack_takes_sixteen_times_4_bit_weights_and_can_wrap(inputs, expected):
    # 16 * 2**28 is 0 in int32. An odd number of 4-bit weights is not XNNPACK's, and 2**28 / 4 saturates.
    layer = QuantizedDense(
        np.ones((inputs, 1), np.int8), np.float32([0.5]), np.int32([2**28]), Grid(1.0, 0), relu=False, bits=4
    )
    network, x = QuantizedNetwork(Grid(0.5, 0), (layer,), edges="int8"), np.zeros((1, inputs), np.int8)
    assert integer.scores(network, x, "float32").tolist() == [expected / 256]
    assert agree(network, x, "litert-xnnpack")
    assert integer.scores(network, x).tolist() == [255 / 256]


def test_sigmoid_of_every_logit(runtime):
    rng = np.random.default_rng(0)
    x = np.arange(-128, 128).astype(np.int8)[:, np.newaxis]
    scales = [*2.0 ** -np.arange(21), *2.0 ** rng.uniform(-20, 0, 10), *rng.uniform(0.01, 0.06, 10)]
    grids = [(scale, int(rng.choice([-128, 127, rng.integers(-128, 128)]))) for scale in np.float32(scales)]
    # Here a score * 256 is within 5e-6 of the middle between two integers, where its last bits decide.
    grids += [(0.010874053, 80), (0.04709943, 70), (0.067069046, -35), (0.022866527, -80), (0.07120054, -113)]
    for scale, zero_point in grids:
        # Twice a half is one, without a rounding: what comes in is the logit.
        grid = Grid(float(np.float32(scale)), zero_point)
        network = one_weight(2, 0.5, inputs=grid, output=grid)
        assert integer.trunk(network, x, 1, ROUNDINGS[runtime]).tolist() == x.tolist()
        table = logistic_table(grid.scale, grid.zero_point, ROUNDINGS[runtime])
        assert (run(network, x, runtime) * 256).tolist() == table.tolist()


def test_sigmoid_worked_out_by_hand():
    for rounding in get_args(Rounding):
        table = logistic_table(1 / 16, 0, rounding)
        assert table.dtype == np.uint8
        # 256 / (1 + exp(8)), exp(2), exp(1), exp(0), exp(-1), exp(-2) and exp(-127/16).
        assert table[[0, 96, 112, 128, 144, 160, 255]].tolist() == [0, 31, 69, 128, 187, 225, 255]
        assert (np.diff(table.astype(int)) >= 0).all()
    # At 1/128 the score is 128.4999975, and the fixed-point sigmoid errs by more than that.
    near = {rounding: logistic_table(1 / 128, 0, rounding)[[127, 129]] for rounding in get_args(Rounding)}
    assert near.pop("gemmlowp").tolist() == [127, 129]
    assert all(scores.tolist() == [128, 128] for scores in near.values())


def test_the_roundings_differ_on_the_papers_network(network, samples):
    quantized = quantize(network(0), samples(400))
    x = quantize_input(quantized, samples(2000))
    result = {rounding: integer.scores(quantized, x, rounding) for rounding in get_args(Rounding)}
    for rounding in ("single", "half-up", "float32"):
        assert 0.001 < (result[rounding] != result["gemmlowp"]).mean() < 0.5


def test_infinite_float_features_saturate(by_hand):
    network = quantize(*by_hand, edges="float32")
    beyond, limits = np.float32([[np.inf, -np.inf], [3e38, -3e38]]), np.float32([[1.55, -1.0], [1.55, -1.0]])
    for rounding in get_args(Rounding):
        assert (integer.scores(network, beyond, rounding) == integer.scores(network, limits, rounding)).all()


def test_the_other_type_or_shape_is_refused(by_hand):
    network = quantize(*by_hand)
    with pytest.raises(BundleError, match=r"float32 of shape \(1, 2\); the network takes rows of 2 uint8"):
        integer.scores(network, np.zeros((1, 2), np.float32))
    with pytest.raises(BundleError, match=r"uint8 of shape \(1, 3\)"):
        integer.trunk(network, np.zeros((1, 3), np.uint8), 1)
    with pytest.raises(BundleError, match="rows of 2 float32 values"):
        integer.firmware_scores(by_hand[0], np.zeros((1, 2), np.int8))

import numpy as np
import pytest

from fedmetaalign.operators import float32
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.dense.layer import forward_float32
from fedmetaalign.tinyml import compiled
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE

HARNESS = """
#include "fma_float.h"
void exponentials(const float *x, float *y, int count);
void sigmoids(const float *x, float *y, int count);
void exponentials(const float *x, float *y, int count) {
    while (count--) *y++ = fma_exp(*x++);
}
void sigmoids(const float *x, float *y, int count) {
    while (count--) *y++ = fma_sigmoid(*x++);
}
"""


def neighbours(values):
    values = np.float32(values)
    return np.concatenate([values, np.nextafter(values, np.float32(9)), np.nextafter(values, np.float32(-9))])


@pytest.fixture(scope="module")
def values():
    """Float32 numbers of all sizes, and those where the algorithm changes its course."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    bits[np.isnan(bits)] = np.nan  # not one that signals
    halves = (np.arange(-126, 127) + 0.5) * np.log(2.0)  # where k goes on
    special = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45]
    edges = [*halves, 87.0, -87.0, 88.0, -88.0, 104.0, -104.0]
    return np.concatenate(
        [bits, rng.uniform(-90, 90, 20_000).astype(np.float32), neighbours(edges), np.float32(special)]
    )


def same_bits(a, b):
    return np.array_equal(a[~np.isnan(a)].view(np.int32), b[~np.isnan(b)].view(np.int32))


def test_the_exponential_is_right_to_one_unit_in_the_last_place():
    x = np.random.default_rng(1).uniform(-87, 87, 200_000).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(float32.exp(x) - exact) <= np.spacing(exact.astype(np.float32))).all()
    small = np.float32([1e-30, 1e-8, -1e-8, 0.0, -0.0])
    assert float32.exp(small).tolist() == [1.0] * 5


def test_the_exponential_never_falls():
    x = np.sort(neighbours(np.random.default_rng(2).uniform(-88, 88, 200_000)))
    for y in (float32.exp(x), float32.sigmoid(x)):
        assert (y[1:] >= y[:-1]).all()


def test_far_out_scores_are_0_and_1_and_never_subnormal():
    x = np.float32([-np.inf, -1e30, -87.5, -86.9, 0.0, 86.9, 87.5, 1e30, np.inf])
    assert float32.exp(x).tolist()[:3] == [0.0] * 3
    assert float32.exp(x).tolist()[-3:] == [np.inf] * 3
    scores = float32.sigmoid(x)
    assert scores[:3].tolist() == [0.0] * 3
    assert scores[4:].tolist() == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert scores[3] >= np.finfo(np.float32).tiny
    assert np.isnan(float32.sigmoid(np.float32([np.nan]))).all()


def test_a_layer_by_hand():
    x = np.float32([[1.0, 2.0], [-1.0, 0.5]])
    weights, biases = np.float32([[1.0, -1.0], [0.5, 2.0]]), np.float32([0.25, -4.0])
    assert forward_float32(Dense(weights, biases, relu=False), x).tolist() == [[2.25, -1.0], [-0.5, -2.0]]
    assert forward_float32(Dense(weights, biases, relu=True), x).tolist() == [[2.25, 0.0], [0.0, 0.0]]


def test_a_layer_adds_in_order_and_the_bias_last():
    # 2^24 + 1 + 1 is 2^24 in float32 from left to right, and 2^24 + 2 in any other order.
    x, weights = np.float32([[1.0, 1.0, 1.0]]), np.float32([[2**24], [1.0], [1.0]])
    assert forward_float32(Dense(weights, np.float32([-(2.0**24)]), relu=False), x).tolist() == [[0.0]]
    assert forward_float32(Dense(weights[::-1], np.float32([-(2.0**24)]), relu=False), x).tolist() == [[2.0]]


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["zig", "gcc", "cortex-m0", "cortex-m4", "cortex-m33"])
def test_c_gives_the_same_bits(where, values, tmp_path):
    (tmp_path / "harness.c").write_text(HARNESS)
    twins = {"exponentials": float32.exp, "sigmoids": float32.sigmoid}
    machine = compiled.machine([tmp_path / "harness.c"], [FIRMWARE], CORES.get(where, where), [*twins])
    some = values[::7][: 1 << 12] if where in CORES else values  # an emulated core takes its time
    x, y = machine.allocate(some.nbytes), machine.allocate(some.nbytes)
    machine.write(x, some.tobytes())
    for name, twin in twins.items():
        machine.call(name, x, y, len(some), count=False)
        found = np.frombuffer(machine.read(y, some.nbytes), np.float32)
        assert same_bits(found, twin(some))
        assert np.array_equal(np.isnan(found), np.isnan(some))

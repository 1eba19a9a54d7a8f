"""The float layers over time against sums worked out by hand, and against scipy."""

import numpy as np
import pytest
from scipy.signal import correlate

from fedmetaalign.operators.convolution import layer as convolution
from fedmetaalign.operators.depthwise import layer as depthwise
from fedmetaalign.operators.pool import layer as pool

STEPS = np.array([[1.0, 10, 2, 20, 3, 30, 4, 40, 5, 50]])  # five steps of two channels


def test_a_convolution_by_hand():
    weights = np.zeros((2, 2, 1), np.float32)
    weights[0, 0], weights[1, 1] = 1, 2  # this step's first channel, and twice the next one's second
    layer = convolution.Convolution(weights, np.array([-100], np.float32), steps=5, stride=2, relu=True)
    assert (layer.inputs, layer.output_steps, layer.outputs) == (10, 2, 2)
    assert convolution.forward(layer, STEPS).tolist() == [[0.0, 0.0]]  # -59 and -17
    open_end = convolution.Convolution(weights, np.array([-100], np.float32), steps=5, stride=2, relu=False)
    assert convolution.forward(open_end, STEPS).tolist() == [[1 + 2 * 20 - 100, 3 + 2 * 40 - 100]]


def test_convolutions_are_correlations():
    random = np.random.default_rng(0)
    x, weights = random.normal(size=(3, 17, 4)), random.normal(size=(5, 4, 6)).astype(np.float32)
    layer = convolution.Convolution(weights, np.zeros(6, np.float32), 17, 3, relu=False)
    found = convolution.forward(layer, x.reshape(3, -1)).reshape(3, layer.output_steps, 6)
    for f in range(6):
        peer = correlate(x[1], weights[:, :, f], "valid")[::3, 0]
        np.testing.assert_allclose(found[1, :, f], peer, rtol=1e-12)
    each = depthwise.Depthwise(weights[:, :, 0], np.zeros(4, np.float32), 17, 3, relu=False)
    found = depthwise.forward(each, x.reshape(3, -1)).reshape(3, each.output_steps, 4)
    np.testing.assert_allclose(
        found[2, :, 3], correlate(x[2, :, 3], weights[:, 3, 0], "valid")[::3], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("kind", "size", "stride", "expected"),
    [
        ("max", 2, 2, [2, 20, 4, 40]),
        ("average", 2, 3, [1.5, 15, 4.5, 45]),
        ("average", 5, 1, [3, 30]),  # of all steps
    ],
)
def test_a_pool_by_hand(kind, size, stride, expected):
    layer = pool.Pool(kind, size, stride, steps=5, channels=2)
    assert pool.forward(layer, STEPS).tolist() == [expected]
    assert layer.outputs == len(expected)


def test_what_has_no_room_is_told():
    weights = np.ones((6, 2), np.float32)
    found = depthwise.check(depthwise.Depthwise(weights, np.ones(2, np.float32), 5, 1, relu=True))
    assert found == "takes 6 steps at a time with stride 1, which 5 steps have no room for"
    found = pool.check(pool.Pool("max", 2, 0, 5, 2))
    assert found == "takes 2 steps at a time with stride 0, which 5 steps have no room for"
    wrong = convolution.Convolution(np.ones((2, 2), np.float32), np.ones(2, np.float32), 5, 1, relu=True)
    assert "(kernel, channels, filters)" in convolution.check(wrong)

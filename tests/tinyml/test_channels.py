"""Channels that are taken out of networks over time."""

from dataclasses import replace

import numpy as np
import pytest
from networks_over_time import network

from fedmetaalign.operators.convolution import Convolution
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.depthwise import Depthwise
from fedmetaalign.operators.pool import Pool
from fedmetaalign.tinyml import compress
from fedmetaalign.tinyml.network import check_layers
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write


def doubled(layers):
    """The network with every channel of its convolutions and depthwise layers twice, which changes no score."""
    made, channels = [], 1
    for layer in layers:
        match layer:
            case Convolution():
                weights = np.repeat(layer.weights, channels, axis=1) / channels
                weights, channels = np.repeat(weights, 2, axis=2), 2
                made.append(replace(layer, weights=weights, biases=np.repeat(layer.biases, 2)))
            case Depthwise():
                weights = np.repeat(layer.weights, channels, axis=1)
                made.append(replace(layer, weights=weights, biases=np.repeat(layer.biases, channels)))
            case Pool():
                made.append(replace(layer, channels=layer.channels * channels))
            case Dense():
                made.append(replace(layer, weights=np.repeat(layer.weights, channels, axis=0) / channels))
                channels = 1
    return made


def channels_of(layers):
    return [layer.filters if isinstance(layer, Convolution) else layer.outputs for layer in layers]


@pytest.mark.parametrize("kind", ["wide", "plain"])
def test_channels_that_say_the_same_twice_are_taken_out_without_loss(kind):
    layers, x = network(kind)
    twice = doubled(layers)
    check_layers(twice)
    whole = compress.scores(layers, x)
    np.testing.assert_allclose(compress.scores(twice, x), whole, atol=1e-5)
    limit = max(channels_of([layer for layer in layers if isinstance(layer, Convolution)]))
    pruned = compress.prune(twice, limit, x)
    check_layers(pruned)
    assert max(channels_of([layer for layer in pruned if isinstance(layer, Convolution)])) == limit
    assert np.abs(compress.scores(pruned, x) - whole).max() < 0.02


def test_limits_count_channels_and_truncating_has_the_shapes_of_pruning():
    layers, x = network("wide")
    assert compress.limits(layers) == [6]  # of 9 and 12 filters, and 10 hidden units
    pruned, truncated = compress.prune(layers, 6, x), compress.truncate(layers, 6)
    assert channels_of(pruned) == channels_of(truncated) == [6, 42, 6, 36, 12, 6, 6, 1]
    assert len(write(quantize(truncated, x))) == pytest.approx(len(write(quantize(pruned, x))), abs=32)
    whole = compress.scores(layers, x)
    lost = [float(np.mean((compress.scores(made, x) - whole) ** 2)) for made in (pruned, truncated)]
    assert lost[0] < lost[1] / 3

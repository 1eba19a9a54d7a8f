"""A depthwise convolution in a `.tflite` file: DEPTHWISE_CONV_2D of height 1, perhaps with a ReLU."""

import numpy as np

from fedmetaalign.operators import filters
from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.depthwise.quantized import QuantizedDepthwise
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Node, require

_PLAIN = {"depthMultiplier": 1, "dilationWFactor": 1, "dilationHFactor": 1}
_CHANNELS = 3  # the dimension of the weights that scales belong to


def node(layer: Depthwise | QuantizedDepthwise, source: Grid | None) -> Node:
    """Returns what a file holds of a layer that takes the grid `source`, None for float32."""
    integer = isinstance(layer, QuantizedDepthwise)
    scales = layer.weight_scales if isinstance(layer, QuantizedDepthwise) else None
    return Node(
        filters.constants(layer.weights[np.newaxis, np.newaxis], layer.biases, scales, source, _CHANNELS),
        source,
        layer.output if isinstance(layer, QuantizedDepthwise) else None,
        filters.options(layer.stride, layer.relu, **_PLAIN),
        3 if integer else 1,
        "DEPTHWISE_CONV_2D",
        (1, layer.steps, layer.channels),
        (1, layer.output_steps, layer.channels),
    )


def read(found: Node) -> Depthwise | QuantizedDepthwise:
    """Makes a layer of what a file holds.

    Raises:
        BundleError: it is not as `node` gives it.
    """
    weights, biases = filters.checked(found, _PLAIN, found.takes[-1])
    shape = weights.values.shape
    require(len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == found.takes[-1], "filters have height 1")
    kernel = weights.values[0, 0]
    stride, relu = found.options["strideW"], filters.RELU[found.options[filters.ACTIVATION]]
    if found.output is None or weights.scales is None:
        return Depthwise(kernel, biases.values, found.takes[1], stride, relu)
    require(weights.dimension == _CHANNELS or len(weights.scales) == 1, "scales belong to filters")
    return QuantizedDepthwise(kernel, weights.scales, biases.values, found.output, found.takes[1], stride, relu)

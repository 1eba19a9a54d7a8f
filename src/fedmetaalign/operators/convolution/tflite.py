"""A convolution over time in a `.tflite` file: CONV_2D of height 1, perhaps with a ReLU."""

import numpy as np

from fedmetaalign.operators import filters
from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.convolution.quantized import QuantizedConvolution
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Node, require

_PLAIN = {"dilationWFactor": 1, "dilationHFactor": 1}


def node(layer: Convolution | QuantizedConvolution, source: Grid | None) -> Node:
    """Returns what a file holds of a layer that takes the grid `source`, None for float32."""
    integer = isinstance(layer, QuantizedConvolution)
    weights = np.ascontiguousarray(
        layer.weights.transpose(2, 0, 1)[:, np.newaxis]
    )  # filter, height, step, channel
    scales = layer.weight_scales if isinstance(layer, QuantizedConvolution) else None
    return Node(
        filters.constants(weights, layer.biases, scales, source, dimension=0),
        source,
        layer.output if isinstance(layer, QuantizedConvolution) else None,
        filters.options(layer.stride, layer.relu, **_PLAIN),
        3 if integer else 1,
        "CONV_2D",
        (1, layer.steps, layer.channels),
        (1, layer.output_steps, len(layer.biases)),
    )


def read(found: Node) -> Convolution | QuantizedConvolution:
    """Makes a layer of what a file holds.

    Raises:
        BundleError: it is not as `node` gives it.
    """
    weights, biases = filters.checked(found, _PLAIN, found.gives[-1])
    require(
        weights.values.ndim == 4 and weights.values.shape[:2] == (found.gives[-1], 1), "filters have height 1"
    )
    kernel = np.ascontiguousarray(weights.values[:, 0].transpose(1, 2, 0))
    require(kernel.shape[1] == found.takes[-1], "filters have as many channels as what they go over")
    stride, relu = found.options["strideW"], filters.RELU[found.options[filters.ACTIVATION]]
    if found.output is None or weights.scales is None:
        return Convolution(kernel, biases.values, found.takes[1], stride, relu)
    require(weights.dimension == 0, "scales belong to filters")
    return QuantizedConvolution(
        kernel, weights.scales, biases.values, found.output, found.takes[1], stride, relu
    )

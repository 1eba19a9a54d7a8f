"""Pooling over time in a `.tflite` file: MAX_POOL_2D, AVERAGE_POOL_2D, and MEAN for the mean of all steps."""

import numpy as np

from fedmetaalign.operators import filters
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Constant, Node, require
from fedmetaalign.operators.pool.layer import Kind, Pool
from fedmetaalign.operators.pool.quantized import QuantizedPool, is_mean

_KINDS: dict[str, Kind] = {"MAX_POOL_2D": "max", "AVERAGE_POOL_2D": "average"}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_AXES = np.array([1, 2], np.int32)  # height and steps, behind the rows


def node(layer: Pool | QuantizedPool, source: Grid | None) -> Node:
    """Returns what a file holds of a layer that takes the grid `source`, None for float32."""
    output = layer.output if isinstance(layer, QuantizedPool) else None
    takes, version = (1, layer.steps, layer.channels), 1 if output is None else 2
    if is_mean(layer):
        options = {"keepDims": 0}
        return Node([Constant(_AXES)], source, output, options, version, "MEAN", takes, (layer.channels,))
    options = filters.options(layer.stride, False, filterWidth=layer.size, filterHeight=1)
    gives = (1, layer.output_steps, layer.channels)
    return Node([], source, output, options, version, _NAMES[layer.kind], takes, gives)


def read(found: Node) -> Pool | QuantizedPool:
    """Makes a layer of what a file holds.

    Raises:
        BundleError: it is not as `node` gives it.
    """
    require(len(found.takes) == 3 and found.takes[0] == 1, "pooling goes over time")
    steps, channels = found.takes[1:]
    if found.builtin == "MEAN":
        (axes,) = found.constants
        require(
            axes and axes.values.tolist() == _AXES.tolist() and not found.options["keepDims"],
            "means are of all steps",
        )
        kind: Kind = "average"
        size = stride = steps
        # The stride of a mean is not in the file, and without effect.
    else:
        kind, size, stride = _KINDS[found.builtin], found.options["filterWidth"], found.options["strideW"]
        expected = filters.options(stride, False, filterWidth=size, filterHeight=1)
        require(
            all(found.options[name] == value for name, value in expected.items()) and size > 0 < stride,
            "pooling goes over time, without padding",
        )
    if found.source is None or found.output is None:
        require(found.source is found.output, "what is float32 stays so up to the score")
        return Pool(kind, size, stride, steps, channels)
    return QuantizedPool(kind, size, stride, steps, channels, found.output)

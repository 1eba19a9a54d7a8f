"""A fully connected layer in integers, to the last bit, in each family's rounding (see `rounding`).

The sums of products are exact integers everywhere.
"""

import numpy as np

from fedmetaalign.operators import requantize
from fedmetaalign.operators.dense.layer import QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.rounding import Rounding, fixed_point


def run(layer: QuantizedDense, q: np.ndarray, source: Grid, rounding: Rounding) -> np.ndarray:
    """Returns a layer's output, (rows, outputs) int8, for (rows, inputs) int8 on the grid `source`."""
    steps = _requantize(sums(layer, q, source), source.scale, layer, rounding)
    return requantize.placed(steps, layer.output, layer.relu)


def sums(layer: QuantizedDense, q: np.ndarray, source: Grid) -> np.ndarray:
    """Returns a layer's accumulators, (rows, outputs) int32."""
    # float64 holds these whole numbers, and has the fastest products. The sums fit into int32: `faults`
    # confines products and biases to half of it each.
    centred = q.astype(np.float64) - source.zero_point
    return np.asarray((centred @ layer.weights.astype(np.float64)).astype(np.int32) + layer.biases)


def firmware_multipliers(input_scale: float, layer: QuantizedDense) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's multipliers and right shifts in `gemmlowp` rounding, as `fixed_point` gives them.

    Args:
        input_scale: of the layer's input.
        layer: the layer.

    Returns:
        Two int64 arrays in the shape of the layer's weight scales, (1,) or (outputs,).
    """
    return fixed_point(requantize.multipliers(input_scale, layer.weight_scales, layer.output))


def _requantize(sums: np.ndarray, input_scale: float, layer: QuantizedDense, rounding: Rounding) -> np.ndarray:
    """Scales accumulators, (rows, outputs) int32, down to steps of the layer's output, whole numbers."""
    scales, output = layer.weight_scales, layer.output
    if rounding == "float32" and layer.bits == 4:
        if layer.inputs % 2:
            rounding = "half-up"  # XNNPACK leaves it to LiteRT: rows of weights that are not whole bytes
        else:
            sums = sums << 4 >> 4  # its weights fill the high half of a byte, and 16-fold sums can wrap
    if rounding == "half-up" and len(scales) == 1:  # LiteRT multiplies the two scales of a tensor in float32
        product = (np.float32(input_scale) * scales).astype(np.float64)
        return requantize.fixed(sums, *fixed_point(product / output.scale), rounding)
    return requantize.scaled(sums, input_scale, scales, output, rounding)

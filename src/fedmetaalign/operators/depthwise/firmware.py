"""A depthwise convolution as C, for `firmware/fma_time.h`."""

import numpy as np

from fedmetaalign.operators import c_text
from fedmetaalign.operators.dense.blocks import multipliers
from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.depthwise.quantized import QuantizedDepthwise
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.stage import FloatStage, Layout, Stage


def c_stage(source: Grid, layer: QuantizedDepthwise, layout: Layout) -> Stage:
    """Returns what the firmware has to know of an integer layer.

    Its words are bias, multiplier and shift of each channel; biases make up for the zero point of the inputs.
    """
    biases = layer.biases - source.zero_point * layer.weights.astype(np.int64).sum(axis=0)
    every, shifts = (np.broadcast_to(a, layer.channels) for a in multipliers(source, layer.columns))
    words = np.stack([biases, every, shifts], axis=1).ravel()
    return Stage(
        "FMA_DEPTHWISE",
        [
            ("int32_t fma_blocks", list(c_text.lines(words))),
            ("int8_t fma_weights", list(c_text.lines(layer.weights.ravel()))),
        ],
        0,
        int(shifts.min()),
        steps=layer.kernel,
        outputs=layer.channels,
        places=layer.output_steps,
        stride=layer.stride * layer.channels,
        zero_point=layer.output.zero_point,
        relu=layer.relu,
    )


def c_float_stage(layer: Depthwise) -> FloatStage:
    """Returns what the firmware has to know of a float layer."""
    stride = layer.stride * layer.channels
    return FloatStage("FMA_DEPTHWISE", layer.kernel, layer.channels, layer.output_steps, stride, layer.relu)

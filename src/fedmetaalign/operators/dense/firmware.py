"""Fully connected layers as C, for `fma_layers.h`."""

from collections.abc import Sequence

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import c_text
from fedmetaalign.operators.dense.blocks import blocks, multipliers
from fedmetaalign.operators.dense.layer import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.stage import FloatStage, Layout, Stage

_MOST_UNITS = 2**14  # of a layer; with more, sums over inputs as `fma_pack` makes them could overflow int32

_LAYER_TYPE = """
typedef struct {
    const int32_t *blocks; /* of 4 outputs: biases, multipliers and shifts per channel, weights */
    int32_t multiplier;    /* times 2^-31 */
    uint16_t steps;        /* of 4 inputs */
    uint16_t outputs;
    uint8_t shift;
    int8_t zero_point; /* of the outputs */
    int8_t lowest;     /* output */
    uint8_t bits;      /* of a weight */
} fma_layer_t;
"""


def check_widths(layers: Sequence[QuantizedDense]) -> None:
    """Makes sure that the firmware has room for layers.

    Raises:
        BundleError: one is too wide.
    """
    widest = max(units for layer in layers for units in (layer.inputs, layer.outputs))
    if widest > _MOST_UNITS:
        raise BundleError(f"A layer has {widest} units, but the firmware takes {_MOST_UNITS} at most.")


def c_integer(sources: Sequence[Grid], layers: Sequence[QuantizedDense], pairs: bool = False) -> list[str]:
    """Writes integer layers as blocks of four outputs, and the table that the firmware goes through.

    With `pairs` weights are for cores whose multiplier gives 32 bits.
    """
    check_widths(layers)
    bits = {layer.bits for layer in layers}
    per_channel = any(len(layer.weight_scales) > 1 for layer in layers)
    layout = Layout(per_channel, pairs)
    shifts = [multipliers(*pair)[1].min() for pair in zip(sources, layers, strict=True)]
    clips = any(layer.relu and layer.output.zero_point > -128 for layer in layers)
    arrays, table = [], []
    for i, (source, layer) in enumerate(zip(sources, layers, strict=True), 1):
        inputs, outputs = layer.weights.shape
        arrays += ["", f"/* Layer {i}: {inputs} inputs, {outputs} outputs{', ReLU' if layer.relu else ''}. */"]
        arrays.append(f"static const int32_t fma_blocks_{i}[] = {{")
        for first, weights in zip(*blocks(source, layer, layout), strict=True):
            arrays += [*c_text.lines(first), *c_text.lines(weights)]
        arrays.append("};")
        (multiplier, *_), (shift, *_) = multipliers(source, layer)
        zero = layer.output.zero_point
        lowest = zero if layer.relu else -128
        fields = (multiplier, -(-inputs // 4), outputs, shift, zero, lowest, layer.bits)
        table.append(f"    {{fma_blocks_{i}, {', '.join(map(str, fields))}}},")
    return [
        f"#define FMA_8_BITS {int(8 in bits)} /* whether some layer's weights have so many */",
        f"#define FMA_4_BITS {int(4 in bits)}",
        *(["#define FMA_PAIRS 1 /* weights lie as fma_pairs.h takes them */"] * pairs),
        f"#define FMA_PER_CHANNEL {int(per_channel)}",
        f"#define FMA_SMALLEST_SHIFT {min(shifts)}",
        f"#define FMA_RELU_CLIPS {int(clips)} /* whether the 0 of some ReLU is not its lowest integer */",
        f"#define FMA_BLOCK_HEAD {9 if per_channel else 4} /* words of a block before its weights */",
        *_LAYER_TYPE.splitlines(),
        *arrays,
        "",
        "static const fma_layer_t fma_layers[] = {",
        *table,
        "};",
    ]


def c_float(layers: Sequence[Dense]) -> list[str]:
    """Writes float layers as one array, and the sizes that say where each begins."""
    weights = [array.ravel() for layer in layers for array in (layer.weights, layer.biases)]
    return [
        "/* Inputs of the float layers, and outputs of each; whether each has a ReLU; and layer by layer a row",
        " * of weights for each input, and one of biases. */",
        *c_text.array("uint16_t fma_float_sizes", np.array([layers[0].inputs, *(x.outputs for x in layers)])),
        *c_text.array("uint8_t fma_float_relu", np.array([layer.relu for layer in layers])),
        *c_text.array("float fma_float_weights", np.concatenate(weights).astype(np.float32)),
    ]


def c_stage(source: Grid, layer: QuantizedDense, layout: Layout) -> Stage:
    """Returns what the firmware has to know of a layer beside others."""
    if (widest := max(layer.weights.shape)) > _MOST_UNITS:
        raise BundleError(f"A layer has {widest} units, but the firmware takes {_MOST_UNITS} at most.")
    words = [
        line
        for first, weights in zip(*blocks(source, layer, layout), strict=True)
        for line in (*c_text.lines(first), *c_text.lines(weights))
    ]
    every, shifts = multipliers(source, layer)
    return Stage(
        "FMA_DENSE",
        [("int32_t fma_blocks", words)],
        int(every[0]),
        int(shifts.min()),
        steps=-(-layer.inputs // 4),
        outputs=layer.outputs,
        places=1,
        stride=0,
        zero_point=layer.output.zero_point,
        relu=layer.relu,
        bits=layer.bits,
        packs=True,
    )


def c_float_stage(layer: Dense) -> FloatStage:
    """Returns what the firmware has to know of a float layer beside others."""
    return FloatStage("FMA_DENSE", layer.inputs, layer.outputs, 1, 0, layer.relu)

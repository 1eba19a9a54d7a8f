"""Writes networks with layers over time as C: a table of layers, and where each one's units lie.

All units share one buffer, through which activations move towards its beginning: a layer writes its outputs
where its inputs were, or before them, one place of its kernel after the other. Where a place gives more units
than the kernel steps over, outputs run ahead, and so the inputs begin behind them. The buffer is then about as
large as the largest layer's inputs or outputs, and not as both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import Layer, operator_of
from fedmetaalign.operators.c_text import array
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.stage import FloatStage, Layout, Stage
from fedmetaalign.tinyml.network import DeployedNetwork, Layers, QuantizedNetwork, flat_weights

SOURCES = ("fma_time.h",)
"""C files that such a network needs beside the others."""

_KINDS = ("FMA_DENSE", "FMA_DEPTHWISE", "FMA_MAX", "FMA_AVERAGE", "FMA_MEAN")
_MOST_UNITS = 2**16 - 1  # of the buffer: places in it are uint16

_LAYER_TYPE = """
typedef struct {
    const int32_t *blocks; /* of a dense layer's 4 outputs; of a channel: bias, multiplier, shift */
    const int8_t *weights; /* of depthwise layers, a row a step */
    int32_t multiplier;    /* times 2^-31 */
    uint16_t from, to;     /* where inputs and outputs begin in fma_units */
    uint16_t places;       /* of the kernel; of dense layers one */
    uint16_t stride;       /* units from a place to the next */
    uint16_t steps;        /* at a place: of 4 inputs of dense layers, else of time */
    uint16_t outputs;      /* of a place */
    uint8_t kind;
    uint8_t shift;
    int8_t zero_point; /* of the outputs */
    int8_t lowest;     /* output */
    int8_t source;     /* zero point of the inputs, for a mean */
    uint8_t bits;      /* of a weight */
} fma_layer_t;
"""

_FLOAT_TYPE = """
typedef struct {
    int32_t weights; /* of the layer, with its biases */
    uint16_t places, stride, steps, outputs;
    uint8_t kind, relu;
} fma_float_layer_t;
"""


@dataclass(frozen=True)
class Plan:
    """Where units lie in the one buffer.

    Attributes:
        starts: where the units begin that each layer takes, and those that the last one gives, which is 0.
        units: of the buffer.
    """

    starts: tuple[int, ...]
    units: int


def goes_over_time(network: DeployedNetwork) -> bool:
    """Tells whether a network has other layers than dense ones."""
    layers = [*network.layers, *network.head] if isinstance(network, QuantizedNetwork) else network
    return not all(isinstance(layer, Dense | QuantizedDense) for layer in layers)


def plan(stages: Sequence[Stage], inputs: int) -> Plan:
    """Places the units of a network's layers, from its last one back to its first.

    Args:
        stages: of the layers.
        inputs: of the first one.
    """
    starts = [0]
    for stage in reversed(stages):
        starts.insert(0, starts[0] + _ahead(stage))
    ends = [starts[0] + inputs]
    for start, stage in zip(starts[1:], stages, strict=True):
        ends.append(start + (stage.places - 1) * stage.outputs + _written(stage))
    for start, stage in zip(starts, stages, strict=False):  # steps of four inputs reach beyond the last one
        ends.append(start + (stage.places - 1) * stage.stride + (4 * stage.steps if stage.packs else 0))
    return Plan(tuple(starts), -(-max(ends) // 4) * 4)


def _written(stage: Stage) -> int:
    """Returns how many units a place writes, some of them for nothing."""
    return -(-stage.outputs // 4) * 4 if stage.packs else stage.outputs


def _ahead(stage: Stage) -> int:
    """Returns how far behind the first output the first input has to lie, so that no input is lost.

    A dense layer has copied a place's inputs before it writes its outputs, which may so lie on all that the
    next place does not need. The others write an output when they have read its inputs.
    """
    if not stage.packs or stage.places == 1:
        return 0
    # What it gains a place over the inputs is the same everywhere, so that the ends decide.
    gained = [
        place * stage.outputs + _written(stage) - (place + 1) * stage.stride for place in (0, stage.places - 2)
    ]
    return max(0, *gained)


def layout_of(network: QuantizedNetwork, pairs: bool = False) -> Layout:
    """Returns how a network's weights lie, for cores whose multiplier gives 32 bits where `pairs` is set."""
    return Layout(any(len(layer.weight_scales) > 1 for layer in network.layers), pairs)


def stages_of(network: QuantizedNetwork, layout: Layout) -> list[Stage]:
    """Returns what the firmware has to know of a network's integer layers."""
    sources = [network.input, *(layer.output for layer in network.layers[:-1])]
    return [
        operator_of(layer).c_stage(source, layer, layout)
        for source, layer in zip(sources, network.layers, strict=True)
    ]


def ram(network: QuantizedNetwork, pairs: bool = False) -> int:
    """Returns the bytes that the integer layers of a network over time need for what they work on."""
    layout = layout_of(network, pairs)
    return _ram(network, stages_of(network, layout), layout)


def _ram(network: QuantizedNetwork, stages: Sequence[Stage], layout: Layout) -> int:
    return plan(stages, network.layers[0].inputs).units + layout.step * _steps(stages, layout)


def _steps(stages: Sequence[Stage], layout: Layout) -> int:
    """Returns how many steps of four inputs are multiplied at once, at most: of two places of a kernel."""
    return max((_packed(stage, layout) for stage in stages if stage.packs), default=1)


def _packed(stage: Stage, layout: Layout) -> int:
    """Returns for how many steps a layer needs room; inputs of wide weights are a word each."""
    more = min(stage.places, 2) - 1
    if stage.bits == 16:
        return -(-4 * (4 * stage.steps + more * stage.stride) // layout.step)
    return stage.steps * (1 + more)


def integer_part(network: QuantizedNetwork, trunk: int, pairs: bool) -> list[str]:
    """Returns the C text of the integer layers of a network over time.

    Args:
        network: the network.
        trunk: how many of its layers stay as they are when the device learns; 0 where it does not.
        pairs: as in `layout_of`.

    Raises:
        BundleError: a layer is too wide for the firmware.
    """
    layers, layout = network.layers, layout_of(network, pairs)
    stages = stages_of(network, layout)
    units = plan(stages, layers[0].inputs)
    if units.units > _MOST_UNITS:
        raise BundleError(
            f"The network's activations take {units.units} bytes, and the firmware has room for "
            f"{_MOST_UNITS}; give the first layers larger strides."
        )
    bits = {stage.bits for stage in stages if stage.packs}
    used = {stage.kind for stage in stages}
    clips = any(stage.relu and stage.zero_point > -128 for stage in stages)
    arrays, table = [], []
    for i, (layer, stage) in enumerate(zip(layers, stages, strict=True), 1):
        arrays += [
            "",
            f"/* Layer {i}: {layer.inputs} inputs, {layer.outputs} outputs{', ReLU' * stage.relu}. */",
        ]
        for name, words in stage.arrays:
            arrays += [f"static const {name}_{i}[] = {{", *words, "};"]
        named = [name.split()[1] for name, _ in stage.arrays]
        pointers = [f"{name}_{i}" if name in named else "0" for name in ("fma_blocks", "fma_weights")]
        lowest = stage.zero_point if stage.relu else -128
        ends = (units.starts[i - 1], units.starts[i], stage.places, stage.stride, stage.steps, stage.outputs)
        rest = (stage.kind, stage.shift, stage.zero_point, lowest, stage.source, stage.bits)
        table.append(f"    {{{', '.join(map(str, (*pointers, stage.multiplier, *ends, *rest)))}}},")
    return [
        f"#define FMA_UNITS {units.units} /* of all layers, which share them; a multiple of 4 */",
        f"#define FMA_INPUTS_AT {units.starts[0]} /* where the network's inputs lie among them */",
        f"#define FMA_STEPS {_steps(stages, layout)} /* of 4 inputs at once, at most */",
        f"#define FMA_NETWORK_RAM {_ram(network, stages, layout)} /* bytes that all of that takes */",
        "",
        "#define FMA_TIME /* layers go over time, and are of several kinds: */",
        *(f"#define {kind} {i}" for i, kind in enumerate(_KINDS)),
        *(f"#define FMA_USES_{kind.removeprefix('FMA_')} {int(kind in used)}" for kind in _KINDS[1:]),
        *([f"#define FMA_TRUNK_UNITS {layers[trunk - 1].outputs}"] if trunk else []),
        "",
        f"#define FMA_8_BITS {int(8 in bits)} /* whether some layer's weights have so many */",
        f"#define FMA_4_BITS {int(4 in bits)}",
        *(["#define FMA_PAIRS 1 /* weights lie as fma_pairs.h takes them */"] * pairs),
        f"#define FMA_PER_CHANNEL {int(layout.per_channel)}",
        f"#define FMA_SMALLEST_SHIFT {min((s.shift for s in stages if s.arrays), default=1)}",
        f"#define FMA_RELU_CLIPS {int(clips)} /* whether the 0 of some ReLU is not its lowest integer */",
        f"#define FMA_BLOCK_HEAD {9 if layout.per_channel else 4} /* words of a block before its weights */",
        *_LAYER_TYPE.splitlines(),
        *arrays,
        "",
        "static const fma_layer_t fma_layers[] = {",
        *table,
        "};",
    ]


def float_part(layers: Layers) -> list[str]:
    """Returns the C text of a float network over time."""
    stages: list[FloatStage] = [operator_of(layer).c_float_stage(layer) for layer in layers]
    used = {stage.kind for stage in stages}
    table = [
        f"    {{{_size(layer)}, {s.places}, {s.stride}, {s.steps}, {s.outputs}, {s.kind}, {int(s.relu)}}},"
        for layer, s in zip(layers, stages, strict=True)
    ]
    return [
        "#define FMA_FLOAT_TABLE",
        f"#define FMA_FLOAT_INPUTS {layers[0].inputs}",
        *(f"#define {kind} {i}" for i, kind in enumerate(_KINDS)),
        *(f"#define FMA_FLOAT_{kind.removeprefix('FMA_')} {int(kind in used)}" for kind in _KINDS[1:4]),
        *_FLOAT_TYPE.splitlines(),
        "",
        "static const fma_float_layer_t fma_float_layers[] = {",
        *table,
        "};",
        *array("float fma_float_weights", flat_weights(layers)),
    ]


def _size(layer: Layer) -> int:
    return sum(getattr(layer, name).size for name in operator_of(layer).arrays.values())

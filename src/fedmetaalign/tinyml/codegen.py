"""Writes a deployed network as C: what the firmware of one device is compiled with.

The C sources in `firmware/` are the same for all devices; `fma_model.h` is one device's own. It holds
constants, weights, and macros, which leave out of the compiled code what the network does not use. The same
network gives the same text.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.target import Target
from fedmetaalign.preparation import Preparation
from fedmetaalign.tinyml import decision, features, integer, softmax
from fedmetaalign.tinyml.blocks import blocks, multipliers
from fedmetaalign.tinyml.head import split
from fedmetaalign.tinyml.network import (
    Dense,
    Grid,
    Interface,
    Network,
    QuantizedLayer,
    QuantizedNetwork,
    flat_weights,
    layer_widths,
)

_SOURCES = ("fma_infer.c", "fma_infer.h", "fma_dsp.h", "fma_float.h", "main.c")
_CLASSES = ("fma_softmax.h",)
_LEARNING = ("fma_adapt.c", "fma_adapt.h")
_MOST_UNITS = 2**14  # of a layer; with more, sums over inputs as `fma_pack` makes them could overflow int32
_WIDTH = 112  # of a line

_TWO = {
    "more": "",
    "scores": "fma_score_t score;",
    "classify": "int fault = fma_classify(raw, &score);",
}
_SEVERAL = {
    "more": " `fma_softmax.h`,",
    "scores": "fma_score_t scores[FMA_CLASSES]; /* the probability of each class */",
    "classify": "int kind, fault = fma_classify(raw, scores, &kind); /* kind: the likeliest fault */",
}
"""What the README says of classifiers of two classes, and of more."""

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

_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}


def files(
    device: str,
    network: Network,
    preparation: Preparation,
    threshold: float,
    raw: np.ndarray,
    head: str | None = None,
    labels: Target | None = None,
) -> dict[str, str]:
    """Returns what goes into a bundle's `firmware/`, texts by file name.

    Args:
        device: its name.
        network: what it runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        raw: (rows, features) float64, samples that the firmware can be tried with.
        head: the text of `fma_head.h` where the device can learn, see `head.header`.
        labels: the classes that the network tells apart; without them they have no names.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale, or a layer is too wide.
    """
    folder = resources.files("fedmetaalign") / "firmware"
    several = Interface.of(network).outputs > 1
    names = [*_SOURCES, *(_CLASSES if several else ()), *(_LEARNING if head else ())]
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    readme = Template((folder / "README.md").read_text(encoding="utf-8"))
    texts["README.md"] = readme.substitute(
        device=_plain(device), features=", ".join(_names(preparation)), **(_SEVERAL if several else _TWO)
    )
    trunk = len(split(network).trunk) if head else 0
    texts["fma_model.h"] = model_header(device, network, preparation, threshold, trunk, labels)
    texts["fma_golden.h"] = golden_header(network, preparation, threshold, raw, labels)
    if head:
        texts["fma_head.h"] = head
    return texts


def model_header(
    device: str,
    network: Network,
    preparation: Preparation,
    threshold: float,
    trunk: int = 0,
    labels: Target | None = None,
) -> str:
    """Returns `fma_model.h`.

    Args:
        device: its name, for a comment.
        network: what it runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        trunk: how many integer layers `fma_trunk` runs, for learning on the device; 0 for no such function.
        labels: as in `files`.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale, or a layer is too wide.
    """
    constants = features.constants(preparation, network)
    layers, dense = (network.layers, network.head) if isinstance(network, QuantizedNetwork) else ((), network)
    interface = Interface.of(network)
    edges, score = interface.input.name, interface.score.name
    labels = labels or decision.unnamed(interface.outputs)
    several = interface.outputs > 1
    lines = [
        *_comment(f"The classifier of {device}, made by Fed-Meta-Align. Raw features, in order:", preparation),
        "#ifndef FMA_MODEL_H",
        "#define FMA_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define FMA_FEATURES {len(preparation.features)}",
        f"#define FMA_INPUTS {len(preparation.columns)}",
        f"typedef {_TYPES[edges]} fma_input_t;",
        f"typedef {_TYPES[score]} fma_score_t;",
        f"#define FMA_TRUNK {trunk} /* layers that fma_trunk runs; without it 0 */",
        *(_classes(labels) if several else []),
        "",
        "#ifdef FMA_MODEL_DATA /* the rest is for fma_infer.c */",
        "",
        f"/* The highest {'probability' if several else 'score'} that is no fault, of a threshold of"
        f" {float(threshold)!r}. */",
        f"static const {'float' if score == 'float32' else 'int'} fma_threshold ="
        f" {_limit(threshold, score, several)};",
        *(_normal(labels) if several else []),
        "",
        "/* An input is (raw - mean) * factor of the feature in its column; column -1 is the real 0. */",
        *_array("float fma_mean", constants.mean),
        *_array("float fma_factor", constants.factor),
        *_array("int16_t fma_columns", np.array(preparation.columns)),
        "",
        f"#define FMA_FLOAT_EDGES {int(edges == 'float32')}",
        f"#define FMA_LAYERS {len(layers)}",
        f"#define FMA_FLOAT_LAYERS {len(dense)} /* after them */",
    ]
    if isinstance(network, QuantizedNetwork):
        lines += _integer_part(network)
    if dense:
        lines += _float_part(dense, layers[-1].output if layers else None)
    return "\n".join([*lines, "", "#endif", "#endif", ""])


def golden_header(
    network: Network,
    preparation: Preparation,
    threshold: float,
    raw: np.ndarray,
    labels: Target | None = None,
) -> str:
    """Returns `fma_golden.h`: samples, what they become, and what the firmware has to make of them.

    Args:
        network: what the device runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        raw: (rows, features) float64, at least one row, which float32 can hold.
        labels: as in `files`.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale, or a value of `raw` is missing.
    """
    inputs = features.device_inputs(preparation, network, raw)
    scores = integer.firmware_scores(network, inputs)
    labels = labels or decision.unnamed(Interface.of(network).outputs)
    results = _as_type(Interface.of(network).score.name, scores)
    if labels.outputs == 1:
        expected = _array("fma_score_t fma_golden_scores", results)
    else:
        expected = [
            *_table("fma_score_t fma_golden_scores", "FMA_CLASSES", results),
            *_array("uint8_t fma_golden_kinds", decision.kinds(scores, labels)),
        ]
    lines = [
        "/* Samples with what fma_infer.c has to make of them, for main.c. */",
        "#ifndef FMA_GOLDEN_H",
        "#define FMA_GOLDEN_H",
        "",
        '#include "fma_infer.h"',
        "",
        f"#define FMA_GOLDEN_ROWS {len(raw)}",
        "",
        *_table("float fma_golden_raw", "FMA_FEATURES", raw.astype(np.float32)),
        *_table("fma_input_t fma_golden_inputs", "FMA_INPUTS", inputs),
        *expected,
        *_array("uint8_t fma_golden_faults", decision.faults(scores, labels, threshold)),
    ]
    return "\n".join([*lines, "", "#endif", ""])


def _integer_part(network: QuantizedNetwork) -> list[str]:
    layers = network.layers
    widths = layer_widths(layers)
    if max(widths) > _MOST_UNITS:
        raise BundleError(f"A layer has {max(widths)} units, but the firmware takes {_MOST_UNITS} at most.")
    bits = {layer.bits for layer in layers}
    per_channel = any(len(layer.weight_scales) > 1 for layer in layers)
    sources = [network.input, *(layer.output for layer in layers[:-1])]
    shifts = [multipliers(*pair)[1].min() for pair in zip(sources, layers, strict=True)]
    clips = any(layer.relu and layer.output.zero_point > -128 for layer in layers)
    return [
        "",
        f"#define FMA_INPUT_SCALE {_float(network.input.scale)}",
        f"#define FMA_INPUT_ZERO_POINT ({network.input.zero_point})",
        f"#define FMA_EDGE_OFFSET {128 if network.edges == 'uint8' else 0} /* of an input to int8 */",
        f"#define FMA_UNITS {-(-max(widths) // 4) * 4} /* of the widest layer, a multiple of 4 */",
        f"#define FMA_8_BITS {int(8 in bits)} /* whether some layer's weights have so many */",
        f"#define FMA_4_BITS {int(4 in bits)}",
        f"#define FMA_PER_CHANNEL {int(per_channel)}",
        f"#define FMA_SMALLEST_SHIFT {min(shifts)}",
        f"#define FMA_RELU_CLIPS {int(clips)} /* whether the 0 of some ReLU is not its lowest integer */",
        f"#define FMA_BLOCK_HEAD {9 if per_channel else 4} /* words of a block before its weights */",
        *_LAYER_TYPE.splitlines(),
        *_layers(sources, layers, per_channel),
        *([] if network.head else _probabilities(network)),
    ]


def _layers(sources: Sequence[Grid], layers: Sequence[QuantizedLayer], per_channel: bool) -> list[str]:
    arrays, table = [], []
    for i, (source, layer) in enumerate(zip(sources, layers, strict=True), 1):
        inputs, outputs = layer.weights.shape
        arrays += ["", f"/* Layer {i}: {inputs} inputs, {outputs} outputs{', ReLU' if layer.relu else ''}. */"]
        arrays.append(f"static const int32_t fma_blocks_{i}[] = {{")
        for first, weights in zip(*blocks(source, layer, per_channel), strict=True):
            arrays += [*_lines(first), *_lines(weights)]
        arrays.append("};")
        (multiplier, *_), (shift, *_) = multipliers(source, layer)
        zero = layer.output.zero_point
        lowest = zero if layer.relu else -128
        fields = (multiplier, -(-inputs // 4), outputs, shift, zero, lowest, layer.bits)
        table.append(f"    {{fma_blocks_{i}, {', '.join(map(str, fields))}}},")
    return [*arrays, "", "static const fma_layer_t fma_layers[] = {", *table, "};"]


def _probabilities(network: QuantizedNetwork) -> list[str]:
    """Writes what makes probabilities of the last integer layer's output."""
    last = network.layers[-1]
    if len(last.biases) == 1:
        return _logistic(last.output, "int8" if network.edges == "int8" else "uint8")
    p = softmax.parameters(last.output.scale)
    return ["", f"#define FMA_SOFTMAX {{{p.multiplier}, {p.shift}, {p.lowest}}} /* see fma_softmax_t */"]


def _classes(labels: Target) -> list[str]:
    said = [" (normal)" if i in labels.normal else "" for i in range(len(labels.classes))]
    names = [f"{i} {_plain(name)}{end}" for i, (name, end) in enumerate(zip(labels.classes, said, strict=True))]
    comment = textwrap.wrap(f"/* {', '.join(names)} */", _WIDTH, subsequent_indent=" * ")
    return [f"#define FMA_CLASSES {len(names)} /* probabilities of a sample: */", *comment]


def _normal(labels: Target) -> list[str]:
    flags = np.isin(np.arange(len(labels.classes)), labels.normal)
    return ["", "/* Whether each class means no fault. */", *_array("uint8_t fma_normal", flags)]


def _logistic(logit: Grid, kind: str) -> list[str]:
    table = integer.logistic_table(logit.scale, logit.zero_point) / 256.0
    array = _array(f"{_TYPES[kind]} fma_logistic", _as_type(kind, table))
    return ["", "/* The score for each logit from -128 to 127. */", *array]


def _float_part(layers: Sequence[Dense], trunk: Grid | None) -> list[str]:
    widths = layer_widths(layers)
    lines = ["", f"#define FMA_FLOAT_UNITS {max(widths)} /* of the widest float layer */"]
    if trunk is not None:
        lines.append(f"#define FMA_HEAD_SCALE {_float(trunk.scale)} /* of the integers that go into them */")
        lines.append(f"#define FMA_HEAD_ZERO_POINT ({trunk.zero_point})")
    return [
        *lines,
        "",
        "/* Inputs of the float layers, and outputs of each; whether each has a ReLU; and layer by layer a row",
        " * of weights for each input, and one of biases. */",
        *_array("uint16_t fma_float_sizes", np.array(widths)),
        *_array("uint8_t fma_float_relu", np.array([layer.relu for layer in layers])),
        *_array("float fma_float_weights", flat_weights(layers)),
    ]


def _as_type(kind: str, scores: np.ndarray) -> np.ndarray:
    """Returns scores, (rows,) or (rows, classes) float64, as a device has them."""
    if kind == "float32":
        return scores.astype(np.float32)
    return (256.0 * scores).astype(int) - (128 if kind == "int8" else 0)


def _limit(threshold: float, kind: str, several: bool) -> str:
    """Returns the highest score that is not above a threshold, or a number below all scores.

    Of several classes it is the highest probability of a fault, in steps of 1/256 whatever the type of a score.
    """
    threshold = min(max(threshold, -1.0), 2.0)
    if kind == "float32":
        limit = np.float32(threshold)
        return _float(limit if float(limit) <= threshold else np.nextafter(limit, np.float32(-np.inf)))
    if several:
        return str(math.floor(threshold * 256.0))
    return str(min(max(math.floor(threshold * 256.0), -1), 255) - (128 if kind == "int8" else 0))


def _array(name: str, values: np.ndarray) -> list[str]:
    return [f"static const {name}[] = {{", *_lines(values), "};"]


def _table(name: str, columns: str, values: np.ndarray) -> list[str]:
    rows = [line for row in values for line in ("    {", *_lines(row), "    },")]
    return [f"static const {name}[][{columns}] = {{", *rows, "};"]


def _lines(values: np.ndarray) -> Iterator[str]:
    """Writes numbers, some in a line."""
    real = values.dtype == np.float32
    texts = [_float(value) if real else str(int(value)) for value in values.tolist()]
    for start in range(0, len(texts), step := 6 if real else 8):
        yield f"    {', '.join(texts[start : start + step])},"


def _float(value: float | np.float32) -> str:
    """Returns a float32 number as C writes it, with all of its bits."""
    return np.format_float_scientific(np.float32(value), trim="0") + "f"


def _comment(title: str, preparation: Preparation) -> list[str]:
    """Writes a title and the features below it."""
    lines = textwrap.wrap(_plain(title), _WIDTH - 3)
    for name in _names(preparation):
        lines += textwrap.wrap(name, _WIDTH - 3, initial_indent="  ", subsequent_indent="    ")
    return [f"/* {lines[0]}", *(f" * {line}" for line in lines[1:]), " */"]


def _names(preparation: Preparation) -> list[str]:
    """Returns the features with their units, and with the numbers that stand for texts."""
    return [
        _plain(f"{name}{f' [{unit}]' if unit else ''}{_codes(preparation.categories.get(name, ()))}")
        for name, unit in zip(preparation.features, preparation.units, strict=True)
    ]


def _codes(texts: Sequence[str]) -> str:
    codes = ", ".join(f"{text} = {code}" for code, text in enumerate(texts))
    return f" ({codes})" if texts else ""


def _plain(text: str) -> str:
    """Returns a text that can stand in a comment in C: in one line, and without what ends or starts one."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")

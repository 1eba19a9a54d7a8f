"""Writes a deployed network as C: what the firmware of one device is compiled with.

The C sources in `firmware/` are the same for all devices; `fma_model.h` is one device's own. It holds
constants, weights, and macros, which leave out of the compiled code what the network does not use. The same
network gives the same text.
"""

import hashlib
import json
import math
import textwrap
from functools import cache
from importlib import resources

import numpy as np

from fedmetaalign.drift import Reference
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.operators import output_of
from fedmetaalign.operators.c_text import TYPES, array, real
from fedmetaalign.operators.dense import QuantizedDense
from fedmetaalign.operators.dense import firmware as dense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import (
    decision,
    drift_code,
    features,
    firmware_readme,
    golden_code,
    memory,
    signal_code,
    time_code,
)
from fedmetaalign.tinyml.firmware_readme import names_of, plain
from fedmetaalign.tinyml.head import split
from fedmetaalign.tinyml.network import (
    DeployedNetwork,
    Interface,
    Layers,
    QuantizedNetwork,
    dense_layers,
    layer_widths,
)

_SOURCES = ("fma_infer.c", "fma_infer.h", "fma_prepare.h", "fma_float.h", "main.c")
_INTEGERS = ("fma_layers.h", "fma_dsp.h")
_FLOATS = ("fma_float_layers.h",)
_CURVES = ("fma_curves.h",)
_PAIRS = ("fma_pairs.h",)
_LEARNING = ("fma_adapt.c", "fma_adapt.h", "fma_learn.h")
_WIDTH = 112  # of a line
_RAW_WINDOW = "#define FMA_RAW_WINDOW /* the inputs are the samples of a window, in order */"


def files(
    device: str,
    network: DeployedNetwork,
    preparation: Preparation,
    threshold: float,
    raw: np.ndarray,
    head: str | None = None,
    labels: Target | None = None,
    reference: Reference | None = None,
    constant: str | None = None,
    windows: np.ndarray | None = None,
    target: str = "",
) -> dict[str, str]:
    """Returns a device's folder of C code, texts by file name.

    Args:
        device: its name.
        network: what it runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        raw: (rows, features) float64, samples that the firmware can be tried with.
        head: the text of `fma_head.h` where the device can learn, see `head.header`.
        labels: the classes that the network tells apart; without them they have no names.
        reference: how the training samples were distributed, where the device shall tell drift.
        constant: what it says of every sample, if that is the same.
        windows: (windows, length, columns) float32 of a signal, whose features are the last rows of `raw`.
        target: the core that it is meant for: how its weights lie suits that one best.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale, or a layer is too wide.
    """
    folder = resources.files("fedmetaalign") / "firmware"
    several = Interface.of(network).outputs > 1
    more = [*output_of(Interface.of(network).outputs).sources, *(_CURVES if preparation.curves else ())]
    more += _sources(network)
    more += signal_code.sources(preparation.signal)
    pairs = has_pairs(network, target)
    more += _PAIRS if pairs else ()
    names = [*_SOURCES, *more, *(_LEARNING if head else ()), *(drift_code.SOURCES if reference else ())]
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    texts["README.md"] = firmware_readme.text(device, preparation, more, several, constant)
    trunk = len(split(network).trunk) if head else 0
    texts["fma_model.h"] = model_header(device, network, preparation, threshold, trunk, labels, pairs)
    texts["fma_golden.h"] = golden_code.header(network, preparation, threshold, raw, labels)
    if head:
        texts["fma_head.h"] = head
    if preparation.signal:
        texts["fma_signal.h"] = signal_code.signal_header(preparation, network, pairs)
        texts["README.md"] += signal_code.README
        if windows is not None:
            texts["fma_golden.h"] = signal_code.with_windows(texts["fma_golden.h"], windows)
    if reference:
        texts["fma_reference.h"] = drift_code.reference_header(reference)
        texts["README.md"] += drift_code.README
    return texts


def _sources(network: DeployedNetwork) -> tuple[str, ...]:
    """Returns the C files that a network's layers need."""
    if not isinstance(network, QuantizedNetwork):
        return _FLOATS
    over_time = time_code.SOURCES if time_code.goes_over_time(network) else ()
    return (*_INTEGERS, *over_time, *(_FLOATS if network.head else ()))


def check(network: DeployedNetwork) -> None:
    """Makes sure that the firmware has room for a network, without writing its weights.

    Raises:
        BundleError: a layer is too wide.
    """
    if not isinstance(network, QuantizedNetwork):
        return
    if time_code.goes_over_time(network):
        time_code.integer_part(network, 0, False)
    else:
        dense.check_widths([layer for layer in network.layers if isinstance(layer, QuantizedDense)])


@cache
def sources_digest() -> str:
    """Returns the sha256 of the C sources that are the same for all devices."""
    folder = resources.files("fedmetaalign") / "firmware"
    texts = {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith((".c", ".h"))}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def has_pairs(network: DeployedNetwork, target: str) -> bool:
    """Tells whether a network's weights lie as `fma_pairs.h` takes them, which a Cortex-M0 is quickest with."""
    whole = isinstance(network, QuantizedNetwork) and all(layer.bits == 8 for layer in network.layers)
    return target == "cortex-m0" and whole


def model_header(
    device: str,
    network: DeployedNetwork,
    preparation: Preparation,
    threshold: float,
    trunk: int = 0,
    labels: Target | None = None,
    pairs: bool = False,
) -> str:
    """Returns `fma_model.h`.

    Args:
        device: its name, for a comment.
        network: what it runs.
        preparation: from its raw features to the network's inputs.
        threshold: a sample is a fault if its score is strictly greater.
        trunk: how many integer layers `fma_trunk` runs, for learning on the device; 0 for no such function.
        labels: as in `files`.
        pairs: what `has_pairs` says.

    Raises:
        BundleError: float32 cannot hold a feature's mean or scale, or a layer is too wide.
    """
    layers, floats = (network.layers, network.head) if isinstance(network, QuantizedNetwork) else ((), network)
    interface = Interface.of(network)
    edges, score = interface.input.name, interface.score.name
    labels = labels or decision.unnamed(interface.outputs)
    several = interface.outputs > 1
    missing = preparation.missing
    lines = [
        *_comment(f"The classifier of {device}, made by Fed-Meta-Align. Raw features, in order:", preparation),
        "#ifndef FMA_MODEL_H",
        "#define FMA_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define FMA_FEATURES {len(preparation.measured)}",
        f"#define FMA_INPUTS {len(preparation.columns)}",
        f"typedef {TYPES[edges]} fma_input_t;",
        f"typedef {TYPES[score]} fma_score_t;",
        f"#define FMA_TRUNK {trunk} /* layers that fma_trunk runs; without it 0 */",
        *(_classes(labels) if several else []),
        f"#define FMA_STRICT {int(not missing.fills)} /* whether a broken value is a sensor fault always */",
        *([_RAW_WINDOW] * memory.takes_samples(preparation)),
        *(["#define FMA_LAST /* the last good value stands for a broken one */"] * (missing.rule == "last")),
        "",
        "#ifdef FMA_MODEL_DATA /* the rest is for fma_infer.c */",
        "",
        f"/* The highest {'probability' if several else 'score'} that is no fault, of a threshold of"
        f" {float(threshold)!r}. */",
        f"static const {'float' if score == 'float32' else 'int'} fma_threshold ="
        f" {_limit(threshold, score, several)};",
        *(_normal(labels) if several else []),
        "",
        *(_curves if preparation.curves else _linear)(preparation, network),
        *_columns(preparation),
        *_missing(preparation, network),
        "",
        f"#define FMA_FLOAT_EDGES {int(edges == 'float32')}",
        f"#define FMA_LAYERS {len(layers)}",
        f"#define FMA_FLOAT_LAYERS {len(floats)} /* after them */",
    ]
    if isinstance(network, QuantizedNetwork):
        lines += _integer_part(network, trunk, pairs)
    if floats:
        lines += _float_part(floats, layers[-1].output if layers else None)
    return "\n".join([*lines, "", "#endif", "#endif", ""])


def _linear(preparation: Preparation, network: DeployedNetwork) -> list[str]:
    constants = features.constants(preparation, network)
    if preparation.signal:
        kept = signal_code.kept(preparation.signal)
        constants = features.Constants(constants.mean[kept], constants.factor[kept])
    return [
        "/* An input is (raw - mean) * factor of the feature in its column; column -1 is the real 0. */",
        *array("float fma_mean", constants.mean),
        *array("float fma_factor", constants.factor),
    ]


def _curves(preparation: Preparation, network: DeployedNetwork) -> list[str]:
    tables = features.tables(preparation, network)
    parts = [
        np.concatenate(part) for part in zip(*((t.knots, t.levels, t.slopes) for t in tables), strict=True)
    ]
    return [
        "/* An input is level + (raw - knot) * slope of the last knot that is not above the raw value, of the",
        " * feature in its column; those of feature i begin at fma_first[i]. Column -1 is the real 0. */",
        "#define FMA_CURVES",
        *array("int32_t fma_first", np.cumsum([0, *(len(t.knots) for t in tables)])),
        *(
            line
            for name, part in zip(("knots", "levels", "slopes"), parts, strict=True)
            for line in array(f"float fma_{name}", part)
        ),
    ]


def _columns(preparation: Preparation) -> list[str]:
    """Writes which feature an input takes, and of a signal's features which constants each takes."""
    columns, signal = preparation.columns, preparation.signal
    if signal is None:
        return array("int16_t fma_columns", np.array(columns))
    lines = [
        f"#define FMA_CONSTANT(feature) {signal_code.constant(signal)} /* which mean, factor and fill it has */"
    ]
    if columns == tuple(range(len(columns))):
        return [*lines, "#define FMA_COLUMN(input) (input)"]
    return [*lines, *array("int16_t fma_columns", np.array(columns))]


def _fills(preparation: Preparation, network: DeployedNetwork) -> np.ndarray:
    fills = features.fills(preparation, network)
    return fills if preparation.signal is None else fills[signal_code.kept(preparation.signal)]


def _missing(preparation: Preparation, network: DeployedNetwork) -> list[str]:
    """Writes which values are broken, and what takes their place."""
    missing, measured = preparation.missing, preparation.measured
    lines = [""]
    if missing.fills:
        place = "FMA_CONSTANT(feature)" if preparation.signal else "feature"
        lines += [
            "/* What an input becomes whose value is broken. */",
            f"#define FMA_FILL(feature) fma_fill[{place}]",
            *array("float fma_fill", _fills(preparation, network)),
        ]
    else:
        lines.append("#define FMA_FILL(feature) 0.0f")
    if missing.ranges:
        low, high = missing.limits(measured)
        lines += ["/* The least and the greatest value that a sensor can have. */", "#define FMA_RANGES"]
        lines += [*array("float fma_low", low), *array("float fma_high", high)]
    if preparation.flags:
        lines += [
            "/* Columns from FMA_FEATURES on are 1 where the value of these is broken, and else 0. */",
            "#define FMA_FLAGS",
            *array("int16_t fma_flags", np.array(preparation.flags)),
        ]
    return lines


def _integer_part(network: QuantizedNetwork, trunk: int, pairs: bool) -> list[str]:
    layers, last, widest = network.layers, network.layers[-1].output, max(layer_widths(network.layers))
    sources = [network.input, *(layer.output for layer in layers[:-1])]
    kind = "int8" if network.edges == "int8" else "uint8"
    score = [] if network.head else output_of(layers[-1].outputs).c(last, kind)
    edges = [
        "",
        f"#define FMA_INPUT_SCALE {real(network.input.scale)}",
        f"#define FMA_INPUT_ZERO_POINT ({network.input.zero_point})",
        f"#define FMA_EDGE_OFFSET {128 if network.edges == 'uint8' else 0} /* of an input to int8 */",
    ]
    flat = [layer for layer in layers if isinstance(layer, QuantizedDense)]
    if len(flat) < len(layers):
        return [*edges, *time_code.integer_part(network, trunk, pairs), *score]
    return [
        *edges,
        f"#define FMA_UNITS {-(-widest // 4) * 4} /* of the widest layer, a multiple of 4 */",
        *dense.c_integer(sources, flat, pairs),
        *score,
    ]


def _classes(labels: Target) -> list[str]:
    said = [" (normal)" if i in labels.normal else "" for i in range(len(labels.classes))]
    names = [f"{i} {plain(name)}{end}" for i, (name, end) in enumerate(zip(labels.classes, said, strict=True))]
    comment = textwrap.wrap(f"/* {', '.join(names)} */", _WIDTH, subsequent_indent=" * ")
    return [f"#define FMA_CLASSES {len(names)} /* probabilities of a sample: */", *comment]


def _normal(labels: Target) -> list[str]:
    flags = np.isin(np.arange(len(labels.classes)), labels.normal)
    return ["", "/* Whether each class means no fault. */", *array("uint8_t fma_normal", flags)]


def _float_part(layers: Layers, trunk: Grid | None) -> list[str]:
    lines = ["", f"#define FMA_FLOAT_UNITS {max(layer_widths(layers))} /* of the widest float layer */"]
    if trunk is not None:
        lines.append(f"#define FMA_HEAD_SCALE {real(trunk.scale)} /* of the integers that go into them */")
        lines.append(f"#define FMA_HEAD_ZERO_POINT ({trunk.zero_point})")
    over_time = time_code.goes_over_time(layers)
    return [*lines, "", *(time_code.float_part(layers) if over_time else dense.c_float(dense_layers(layers)))]


def _limit(threshold: float, kind: str, several: bool) -> str:
    """Returns the highest score that is not above a threshold, or a number below all scores.

    Of several classes it is the highest probability of a fault, in steps of 1/256 whatever the type of a score.
    """
    threshold = min(max(threshold, -1.0), 2.0)
    if kind == "float32":
        limit = np.float32(threshold)
        return real(limit if float(limit) <= threshold else np.nextafter(limit, np.float32(-np.inf)))
    if several:
        return str(math.floor(threshold * 256.0))
    return str(min(max(math.floor(threshold * 256.0), -1), 255) - (128 if kind == "int8" else 0))


def _comment(title: str, preparation: Preparation) -> list[str]:
    """Writes a title and the features below it."""
    lines = textwrap.wrap(plain(title), _WIDTH - 3)
    for name in names_of(preparation):
        lines += textwrap.wrap(name, _WIDTH - 3, initial_indent="  ", subsequent_indent="    ")
    return [f"/* {lines[0]}", *(f" * {line}" for line in lines[1:]), " */"]

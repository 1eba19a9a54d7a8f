"""What one kind of layer, and one kind of output, has to say for a network of it to be deployed.

Whatever a field is called with is a layer of the operator's own types. Shapes: `x` is (rows, inputs), what
comes out is (rows, outputs).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.grid import Bits, Grid
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.operators.stage import FloatStage, Layout, Stage

L = TypeVar("L")
Q = TypeVar("Q")


class Constant(NamedTuple):
    """A tensor of a `.tflite` file that has values.

    Attributes:
        values: int8 (weights of 4 bits, too), int32 or float32.
        scales: (1,) or (channels,) float32; None for float32 values.
        bits: of an integer in the file, if fewer than its type has.
        dimension: of the values that the scales belong to.
    """

    values: np.ndarray
    scales: np.ndarray | None = None
    bits: Bits = 8
    dimension: int = 0


class Node(NamedTuple):
    """A layer as it stands in a `.tflite` graph.

    Attributes:
        constants: its inputs after the first, which is the layer's; None where one is left out.
        source: grid of what it takes; None for float32.
        output: grid of what it gives; None for float32.
        options: numbers of its table of options, by the names that the schema's object API gives them.
        version: of the operator that its types ask for.
        builtin: its name in TensorFlow Lite's schema, one of the operator's.
        takes: shape of what it takes, without the rows.
        gives: shape of what it gives.
    """

    constants: Sequence[Constant | None]
    source: Grid | None
    output: Grid | None
    options: Mapping[str, int]
    version: int = 1
    builtin: str = ""
    takes: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()


class Builtin(NamedTuple):
    """An operator of TensorFlow Lite's schema.

    Attributes:
        options: name of its table of options.
        constants: how many inputs it has beside what it works on; the last may be left off.
    """

    options: str
    constants: int


class Request(NamedTuple):
    """How a layer is to be quantised.

    Attributes:
        bits: of its weights.
        per_channel: whether each output has a scale of its own.
        span: smallest and largest value of the layer's output.
        inputs: what the layer is given on calibration data, float64, in chunks of rows; made when asked for.
    """

    bits: Bits
    per_channel: bool
    span: tuple[float, float]
    inputs: Iterable[np.ndarray]


@dataclass(frozen=True)
class Operator(Generic[L, Q]):
    """One kind of layer on a device. Its layers have `inputs`, `outputs`, `relu`, and integer ones `output`.

    Attributes:
        layer: the type of its float layers.
        quantized: the type of its integer layers.
        arrays: a float layer's parameters, in the order of the flat vector: attributes by their names in files.
        builtins: what it can be in a file, by name.
        check: tells what is wrong with a float layer, as in "layer 3 ...".
        forward: the output on float64 `x`, for calibration.
        forward_float32: the output on float32 `x` as the firmware computes it, to the last bit.
        weights: how many weights it has, without biases.
        products: how many multiplications a sample takes: its cost.
        quantize: turns a float layer into an integer one; takes the grid of its input, and how.
        dequantize: the float layer that an integer one stands for; takes the grid of its input.
        faults: tells why kernels cannot run an integer layer; takes the grid of its input.
        run: the int8 output on int8 `x` in a family's rounding; takes the grid of its input.
        node: what the `.tflite` file holds of a layer; takes the grid of its input, None for float32.
        read: makes a layer of what the file holds.
        c_stage: what the firmware has to know of an integer layer; takes the grid of its input, and how the
            network's weights lie.
        c_float_stage: the same of a float layer.
    """

    layer: type[L]
    quantized: type[Q]
    arrays: Mapping[str, str]
    builtins: Mapping[str, Builtin]
    check: Callable[[L], str | None]
    forward: Callable[[L, np.ndarray], np.ndarray]
    forward_float32: Callable[[L, np.ndarray], np.ndarray]
    weights: Callable[[L], int]
    products: Callable[[L], int]
    quantize: Callable[[L, Grid, Request], Q]
    dequantize: Callable[[Q, Grid], L]
    faults: Callable[[Q, Grid], Iterator[str]]
    run: Callable[[Q, np.ndarray, Grid, Rounding], np.ndarray]
    node: Callable[[L | Q, Grid | None], Node]
    read: Callable[[Node], L | Q]
    c_stage: Callable[[Grid, Q, Layout], Stage]
    c_float_stage: Callable[[L], FloatStage]


@dataclass(frozen=True)
class Output:
    """What turns a network's last activations into scores.

    Attributes:
        builtin: its name in TensorFlow Lite's schema.
        options: name of its table of options there, with all that stands in it; None for no table.
        sources: C files that its firmware needs.
        versions: of the operator, on float32 and on int8.
        grid: of its int8 output, which the specification fixes.
        counting: what a grid has to hold of the last layer's values, (rows, units) float64.
        span: the range of the last layer's grid, of the smallest and largest value seen in calibration.
        widest: the longest such range that kernels take; from there on all scores are 0 and 1.
        fault: tells why a kernel cannot take a grid.
        run: scores of int8 values, (rows, units), on a grid in a family's rounding: float64, (rows,) of one
            logit, else (rows, units).
        forward: scores of float64 values, for calibration.
        forward_float32: scores of float32 values as the firmware computes them.
        c: C text for the firmware of an integer network; takes the grid, and the score's type.
    """

    builtin: str
    options: tuple[str, Mapping[str, float]] | None
    sources: tuple[str, ...]
    versions: tuple[int, int]
    grid: Grid
    counting: Callable[[np.ndarray], np.ndarray]
    span: Callable[[float, float], tuple[float, float]]
    widest: float
    fault: Callable[[Grid], str | None]
    run: Callable[[np.ndarray, Grid, Rounding], np.ndarray]
    forward: Callable[[np.ndarray], np.ndarray]
    forward_float32: Callable[[np.ndarray], np.ndarray]
    c: Callable[[Grid, str], list[str]]


def require(holds: object, what: str) -> None:
    """Raises BundleError unless a .tflite file is one that this version runs."""
    if not holds:
        raise BundleError(f"The .tflite file cannot be used: this version runs a network only if {what}.")

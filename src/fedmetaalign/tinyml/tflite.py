"""Writes a network as a `.tflite` flatbuffer; `tflite_reader` reads one back.

The graph is built with the schema's object API that `ai-edge-litert` carries; TensorFlow is not involved. With
FC for FULLY_CONNECTED, where there is a ReLU fused with it:

    uint8:   features -> QUANTIZE -> FC ... FC -> LOGISTIC -> QUANTIZE -> score
    int8:    features -> FC ... FC -> LOGISTIC -> score
    float32 around int8:  features -> QUANTIZE -> FC ... FC -> LOGISTIC -> DEQUANTIZE -> score
    float32 head:         features -> (as above) FC ... FC -> DEQUANTIZE -> FC ... FC -> LOGISTIC -> score
    float32: features -> FC ... FC -> LOGISTIC -> score

A network of several classes has SOFTMAX in place of LOGISTIC, and a score for each class. FC may be an operator
over time, too, which takes and gives (rows, 1, steps, channels): where the shape changes there is a RESHAPE.

The same network gives the same bytes, and few beside the weights: equal vectors are stored once, biases that
are all 0 not at all, weights of 4 bits two to a byte, the first in the low half, and only features and score
have names.
"""

import math
from typing import Any

import numpy as np

from fedmetaalign.operators import Layer, QuantizedLayer, operator_of, output_of
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Constant, Output
from fedmetaalign.tinyml.network import DeployedNetwork, Layers, QuantizedNetwork, check_layers, check_quantized

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every .tflite file."""

NO_TENSOR = -1
"""Stands in an operator's inputs for one that is left out, such as biases that are all 0."""

_ALIGNMENT = 16  # of every buffer: kernels on the device read weights in place, in words
_SCHEMA_VERSION = 3


def write(network: DeployedNetwork) -> bytes:
    """Writes a `.tflite` file.

    Args:
        network: a quantised network, or float layers for a file that is float32 throughout.

    Returns:
        The file's bytes.

    Raises:
        BundleError: the layers do not form a network that the runtimes can run (see `check_layers` and
            `check_quantized`).
    """
    graph = _Graph()
    if isinstance(network, QuantizedNetwork):
        check_quantized(network)
        _add_quantized(graph, network)
    else:
        check_layers(network)
        features = graph.activation(np.float32, network[0].inputs, name="features")
        graph.inputs, graph.outputs = [features], [_add_float(graph, features, network)]
    return graph.pack()


def _add_quantized(graph: "_Graph", network: QuantizedNetwork) -> None:
    inputs, edge = network.layers[0].inputs, np.dtype(network.edges).type
    if network.edges == "int8":
        features = current = graph.activation(np.int8, inputs, network.input, "features")
    else:
        outside = network.input.unsigned if network.edges == "uint8" else None
        features = graph.activation(edge, inputs, outside, "features")
        current = graph.activation(np.int8, inputs, network.input)
        graph.operator("QUANTIZE", 2, [features], current)
    source = network.input
    for layer in network.layers:
        current, source = graph.layer(layer, current, source), layer.output
    current = graph.flat(current, source)
    graph.inputs = [features]
    if network.head:
        reals = graph.activation(np.float32, network.layers[-1].outputs)
        graph.operator("DEQUANTIZE", 2, [current], reals)
        graph.outputs = [_add_float(graph, reals, network.head)]
        return
    output = output_of(network.layers[-1].outputs)
    units = network.layers[-1].outputs
    if network.edges == "int8":
        graph.outputs = [graph.activation(np.int8, units, output.grid, "score")]
        graph.output(output, 1, current, graph.outputs[0])
    else:
        inside = graph.activation(np.int8, units, output.grid)
        graph.output(output, 1, current, inside)
        unsigned = network.edges == "uint8"
        score = graph.activation(edge, units, output.grid.unsigned if unsigned else None, "score")
        graph.operator("QUANTIZE" if unsigned else "DEQUANTIZE", 2, [inside], score)
        graph.outputs = [score]


def _add_float(graph: "_Graph", current: int, layers: Layers) -> int:
    """Adds float layers and what makes scores of them; returns the score's tensor."""
    for layer in layers:
        current = graph.layer(layer, current, None)
    current = graph.flat(current, None)
    output = output_of(layers[-1].outputs)
    score = graph.activation(np.float32, layers[-1].outputs, name="score")
    graph.output(output, 0, current, score)
    return score


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Packs int8 values in [-8, 7], of any shape, two to a byte: (ceil(size / 2),) uint8, the first one low."""
    nibbles = np.append(values.ravel(), np.zeros(values.size % 2, np.int8)).view(np.uint8) & 0xF
    packed: np.ndarray = nibbles[::2] | nibbles[1::2] << 4
    return packed


def unpack_int4(data: np.ndarray, count: int) -> np.ndarray:
    """Returns the first `count` values that `pack_int4` has packed, (count,) int8."""
    low, high = data.astype(np.uint8) << 4, data.astype(np.uint8)
    return np.stack([low, high], axis=1).ravel().view(np.int8)[:count] >> 4


class _Graph:
    """A growing subgraph; each method adds a tensor or an operator, and tensors are known by their index."""

    def __init__(self) -> None:
        # Imported here: the schema takes a tenth of a second, which `fedmetaalign --help` need not wait for.
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._types = {
            np.dtype(np.float32): schema.TensorType.FLOAT32,
            np.dtype(np.int32): schema.TensorType.INT32,
            np.dtype(np.int8): schema.TensorType.INT8,
            np.dtype(np.uint8): schema.TensorType.UINT8,
        }
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is empty: "computed at run time"
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[str, Any] = {}
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def activation(
        self, dtype: type[np.generic], units: int, grid: Grid | None = None, name: str | None = None
    ) -> int:
        return self._activation(dtype, (units,), grid, name)

    def _activation(
        self, dtype: type[np.generic], shape: tuple[int, ...], grid: Grid | None, name: str | None = None
    ) -> int:
        parameters = None
        if grid is not None:
            parameters = self._parameters(np.array([grid.scale]), grid.zero_point)
        return self._tensor(self._types[np.dtype(dtype)], (1, *shape), 0, parameters, name)

    def flat(self, current: int, source: Grid | None) -> int:
        """Returns units in a row, whatever shape they have."""
        return self._shaped(current, (math.prod(self._shape(current)),), source)

    def _shape(self, tensor: int) -> tuple[int, ...]:
        """Returns the shape of an activation, without the rows."""
        return tuple(self._tensors[tensor].shape.tolist()[1:])

    def _shaped(self, current: int, shape: tuple[int, ...], source: Grid | None) -> int:
        """Returns an activation in a shape."""
        if self._shape(current) == shape:
            return current
        kind = np.float32 if source is None else np.int8
        output = self._activation(kind, shape, source)
        rows = self.constant(Constant(np.array([-1, *shape], np.int32)))
        self.operator(
            "RESHAPE", 1, [current, rows], output, self._schema.ReshapeOptionsT(newShape=[-1, *shape])
        )
        return output

    def constant(self, constant: Constant | None) -> int:
        if constant is None:
            return NO_TENSOR
        values, four = constant.values, constant.bits == 4
        data = pack_int4(values) if four else np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(self._schema.BufferT(data=data))
        parameters = None
        if constant.scales is not None:
            parameters = self._parameters(constant.scales, 0, constant.dimension)
        kind = self._schema.TensorType.INT4 if four else self._types[values.dtype]
        return self._tensor(kind, values.shape, len(self._buffers) - 1, parameters)

    def layer(self, layer: Layer | QuantizedLayer, current: int, source: Grid | None) -> int:
        operator = operator_of(layer)
        node = operator.node(layer, source)
        options = getattr(self._schema, f"{operator.builtins[node.builtin].options}T")
        inputs = [self._shaped(current, node.takes, source), *map(self.constant, node.constants)]
        output = self._activation(np.float32 if node.output is None else np.int8, node.gives, node.output)
        self.operator(node.builtin, node.version, inputs, output, options(**node.options))
        return output

    def output(self, output: Output, integers: int, current: int, score: int) -> None:
        options = None
        if output.options:
            name, fields = output.options
            options = getattr(self._schema, f"{name}T")(**fields)
        self.operator(output.builtin, output.versions[integers], [current], score, options)

    def operator(self, name: str, version: int, inputs: list[int], output: int, options: Any = None) -> None:
        schema = self._schema
        number = getattr(schema.BuiltinOperator, name)
        code = self._codes.setdefault(
            name, schema.OperatorCodeT(deprecatedBuiltinCode=number, builtinCode=number, version=version)
        )
        code.version = max(code.version, version)
        operator = schema.OperatorT(
            opcodeIndex=list(self._codes).index(name), inputs=inputs, outputs=[output], builtinOptions=options
        )
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._operators.append(operator)

    def pack(self) -> bytes:
        schema = self._schema
        subgraph = schema.SubGraphT(
            tensors=self._tensors, inputs=self.inputs, outputs=self.outputs, operators=self._operators
        )
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=list(self._codes.values()),
            subgraphs=[subgraph],
            description="Fed-Meta-Align",
            buffers=self._buffers,
        )
        builder = _sharing_builder()
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(
        self, kind: int, shape: tuple[int, ...], buffer: int, parameters: Any, name: str | None = None
    ) -> int:
        self._tensors.append(
            self._schema.TensorT(
                name=name,
                type=kind,
                shape=np.array(shape, np.int32),
                buffer=buffer,
                quantization=parameters,
            )
        )
        return len(self._tensors) - 1

    def _parameters(self, scales: np.ndarray, zero_point: int, dimension: int = 0) -> Any:
        # LiteRT refuses a scale without its zero point, and TensorFlow Lite Micro silently computes nonsense.
        return self._schema.QuantizationParametersT(
            scale=scales.astype(np.float32),
            zeroPoint=np.full(len(scales), zero_point, np.int64),
            quantizedDimension=dimension,
        )


def _sharing_builder() -> Any:
    """A flatbuffer builder that stores equal vectors once and aligns the buffers' bytes.

    Zero points, scales and shapes repeat from tensor to tensor, and a file may point to one vector many times;
    the generated code would write each again, and would give buffers no alignment at all.
    """
    import flatbuffers

    class Builder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
        def __init__(self) -> None:
            super().__init__(1 << 16)
            self.shared: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  # the name that generated code calls
            key = (x.dtype.str, x.tobytes())
            if key not in self.shared:
                if x.dtype == np.uint8:
                    self.Prep(_ALIGNMENT, x.size)
                self.shared[key] = super().CreateNumpyVector(x)
            return self.shared[key]

    return Builder()

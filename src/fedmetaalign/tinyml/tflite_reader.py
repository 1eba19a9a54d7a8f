"""Reads a `.tflite` file back into the network that `tflite.write` made it from.

Reading is strict: it goes through the file with bounds-checked access, takes exactly the graphs that the
writer gives, and refuses everything else in one sentence, so what it returns is a sound network whatever the
bytes were.
"""

import math
import struct
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import (
    SCORE,
    Bits,
    Dense,
    Edges,
    Grid,
    QuantizedLayer,
    QuantizedNetwork,
    check_layers,
    check_outputs,
    check_quantized,
)
from fedmetaalign.tinyml.tflite import IDENTIFIER, NO_TENSOR, unpack_int4

_MOST_OPERATORS = 256  # a damaged length must not send the reader through millions of tables
_EXIT = {"uint8": ["QUANTIZE"], "int8": [], "float32": ["DEQUANTIZE"]}


def read(model: bytes) -> QuantizedNetwork | list[Dense]:
    """Reads a `.tflite` file of the kinds that `write` writes; `write(read(model)) == model` for its files.

    Args:
        model: the file's bytes, from this writer or from another that gives the same graph.

    Returns:
        The quantised network or the float layers, in arrays of their own.

    Raises:
        BundleError: the bytes are no .tflite file, are damaged, or hold another kind of network.
    """
    if model[4:8] != IDENTIFIER:
        raise BundleError(
            f"Not a .tflite file: bytes 4 to 8 are {bytes(model[4:8])!r} instead of {IDENTIFIER!r}."
        )
    try:
        with np.errstate(all="ignore"):  # numbers are checked below, whatever their bits are
            network = _Reader(model).network()
    except (struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # What Python's bounds-checked access raises on offsets and lengths that lead nowhere.
        raise BundleError("The .tflite file is damaged or cut short; take it from the bundle again.") from error
    if isinstance(network, QuantizedNetwork):
        check_quantized(network)
    else:
        check_layers(network)
    return network


class _Tensor(NamedTuple):
    kind: str  # uint8, int8, int4, int32 or float32
    shape: tuple[int, ...]
    scales: np.ndarray  # (0,), (1,) or (channels,) float32
    zero_points: np.ndarray  # as many int64
    buffer: int

    @property
    def grid(self) -> Grid:
        (scale,), (zero_point,) = self.scales, self.zero_points
        return Grid(float(scale), int(zero_point))


class _Operator(NamedTuple):
    name: str
    inputs: list[int]
    output: int
    relu: bool


class _Reader:
    """Goes through a flatbuffer with Python's bounds-checked access; nothing in it is trusted."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._model = schema.Model.GetRootAs(model, 0)
        kinds, codes = schema.TensorType, schema.BuiltinOperator
        self._kinds = {getattr(kinds, k.upper()): k for k in ("uint8", "int8", "int4", "int32", "float32")}
        operators = ("FULLY_CONNECTED", "LOGISTIC", "SOFTMAX", "QUANTIZE", "DEQUANTIZE")
        self._names = {getattr(codes, name): name for name in operators}
        self._require(self._model.SubgraphsLength() == 1, "it has one subgraph")
        self._graph = self._model.Subgraphs(0)

    def network(self) -> QuantizedNetwork | list[Dense]:
        graph = self._graph
        self._require(graph.InputsLength() == graph.OutputsLength() == 1, "it has one input and one output")
        operators = self._operators()
        features, score = self._tensor(graph.Inputs(0)), self._tensor(graph.Outputs(0))
        path = [graph.Inputs(0)]
        for operator in operators:
            self._require(operator.inputs[0] == path[-1], "its operators form a chain")
            path.append(operator.output)
        self._require(path[-1] == graph.Outputs(0), "its last operator gives the output")
        names = [operator.name for operator in operators]
        dense = [operator for operator in operators if operator.name == "FULLY_CONNECTED"]
        self._require(dense, "it has a fully connected layer")
        layers = [self._dense(operator) for operator in dense]
        for before, after in pairwise(layers):
            self._require(before.weights.shape[1] == len(after.weights), "the shapes of its layers chain")
        self._require(features.shape[-1:] == layers[0].weights.shape[:1], "the shapes of its layers chain")
        outputs = layers[-1].weights.shape[1]
        check_outputs(outputs)
        self._require(score.shape[-1:] == (outputs,), "it has a score for each output of the last layer")
        last = "LOGISTIC" if outputs == 1 else "SOFTMAX"
        if names == ["FULLY_CONNECTED"] * len(dense) + [last] and features.kind == "float32":
            self._require_float(path, layers)
            return layers
        return self._network(operators, features, score, layers, last)

    def _network(
        self, operators: list[_Operator], features: _Tensor, score: _Tensor, layers: list[Dense], last: str
    ) -> QuantizedNetwork:
        edges = cast(Edges, features.kind)
        self._require(edges in _EXIT, "its features are uint8, int8 or float32")
        entry = [] if edges == "int8" else ["QUANTIZE"]
        names = [operator.name for operator in operators]
        first, exit_ = len(entry), _EXIT[edges]
        # A DEQUANTIZE with layers after it is where a float head begins.
        head = names[::-1].index("DEQUANTIZE") - 1 if names[-1] == last and "DEQUANTIZE" in names else 0
        depth = len(layers) - head
        middle = ["DEQUANTIZE", *["FULLY_CONNECTED"] * head, last] if head else [last, *exit_]
        self._require(
            depth > 0 and names == [*entry, *["FULLY_CONNECTED"] * depth, *middle],
            f"it is fully connected layers and a {last}, with QUANTIZE and DEQUANTIZE where types change",
        )
        source = self._tensor(operators[first].inputs[0])
        self._require(source.kind == "int8", "layers are int8 from the first one on")
        inside = source.grid
        if edges == "uint8":
            self._require(features.grid == inside.unsigned, "QUANTIZE moves the features by 128 and no more")
        trunk = operators[first : first + depth]
        quantized = tuple(self._quantized(*pair) for pair in zip(trunk, layers[:depth], strict=True))
        if head:
            self._require_float([operator.output for operator in operators[first + depth :]], layers[depth:])
        else:
            scored = self._tensor(operators[first + depth].output)
            self._require(scored.kind == "int8" and scored.grid == SCORE, "its score has steps of 1/256")
            self._require(score.kind == edges, "features and score have one type")
            self._require(edges != "uint8" or score.grid == SCORE.unsigned, "its score has steps of 1/256")
        return QuantizedNetwork(inside, quantized, tuple(layers[depth:]), edges)

    def _dense(self, operator: _Operator) -> Dense:
        _, weights, biases = operator.inputs
        kernel = self._values(weights).T.copy()
        if biases == NO_TENSOR:
            return Dense(kernel, np.zeros(kernel.shape[1], self._bias_type(weights)), operator.relu)
        offsets = self._values(biases)
        self._require(offsets.dtype == self._bias_type(weights), "weights and biases have types that agree")
        self._require(offsets.shape == kernel.shape[1:], "every output has a bias")
        return Dense(kernel, offsets, operator.relu)

    def _bias_type(self, weights: int) -> type[np.generic]:
        return np.float32 if self._tensor(weights).kind == "float32" else np.int32

    def _quantized(self, operator: _Operator, layer: Dense) -> QuantizedLayer:
        source, filters = self._tensor(operator.inputs[0]), self._tensor(operator.inputs[1])
        output, biases = self._tensor(operator.output), layer.biases
        self._require(filters.kind in {"int8", "int4"} and output.kind == "int8", "layers are int8")
        self._require(filters.scales.shape in {(1,), biases.shape}, "weights have one scale, or one an output")
        if operator.inputs[2] != NO_TENSOR:
            expected = np.float64(source.grid.scale) * filters.scales
            scales = self._tensor(operator.inputs[2]).scales
            self._require(
                np.allclose(scales, expected, rtol=1e-6, atol=0.0), "biases have the accumulators' scale"
            )
        bits: Bits = 4 if filters.kind == "int4" else 8
        return QuantizedLayer(layer.weights, filters.scales, biases, output.grid, layer.relu, bits)

    def _operators(self) -> list[_Operator]:
        graph, codes = self._graph, self._model.OperatorCodesLength()
        self._require(graph.OperatorsLength() <= _MOST_OPERATORS, f"it has at most {_MOST_OPERATORS} operators")
        found = []
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            self._require(operator.OpcodeIndex() < codes, "every operator has a code")
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            name = self._names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "another operator")
            inputs = operator.InputsAsNumpy().tolist()
            if name == "FULLY_CONNECTED" and len(inputs) == 2:
                inputs.append(NO_TENSOR)
            self._require(
                len(inputs) == (3 if name == "FULLY_CONNECTED" else 1) and operator.OutputsLength() == 1,
                "every operator has the inputs and the output that belong to it",
            )
            if name == "SOFTMAX":
                self._require_plain_softmax(operator)
            found.append(_Operator(name, inputs, operator.Outputs(0), self._relu(name, operator)))
        return found

    def _relu(self, name: str, operator: Any) -> bool:
        if name != "FULLY_CONNECTED":
            return False
        options, table = self._schema.FullyConnectedOptions(), operator.BuiltinOptions()
        self._require(
            operator.BuiltinOptionsType() == self._schema.BuiltinOptions.FullyConnectedOptions,
            "layers have options",
        )
        options.Init(table.Bytes, table.Pos)
        kinds, kind = self._schema.ActivationFunctionType, options.FusedActivationFunction()
        self._require(
            kind in {kinds.NONE, kinds.RELU} and options.WeightsFormat() == 0, "layers are ReLU or plain"
        )
        return bool(kind == kinds.RELU)

    def _require_plain_softmax(self, operator: Any) -> None:
        options, table = self._schema.SoftmaxOptions(), operator.BuiltinOptions()
        kind = self._schema.BuiltinOptions.SoftmaxOptions
        self._require(operator.BuiltinOptionsType() == kind, "SOFTMAX has options")
        options.Init(table.Bytes, table.Pos)
        self._require(options.Beta() == 1.0, "SOFTMAX has beta 1")

    def _tensor(self, index: int) -> _Tensor:
        self._require(0 <= index < self._graph.TensorsLength(), "its operators name tensors that exist")
        tensor = self._graph.Tensors(index)
        grid, none = tensor.Quantization(), np.zeros(0)
        if grid is None or grid.ScaleIsNone():
            scales, zero_points = none.astype(np.float32), none.astype(np.int64)
        else:
            scales, zero_points = grid.ScaleAsNumpy().copy(), grid.ZeroPointAsNumpy().copy()
        shape = tuple(tensor.ShapeAsNumpy().tolist())
        return _Tensor(self._kinds[tensor.Type()], shape, scales, zero_points, tensor.Buffer())

    def _values(self, index: int) -> np.ndarray:
        tensor = self._tensor(index)
        self._require(0 < tensor.buffer < self._model.BuffersLength(), "its constants have values")
        self._require(min(tensor.shape, default=0) > 0, "its constants have values")
        self._require(not tensor.zero_points.any(), "weights and biases have zero point 0")
        data = self._model.Buffers(tensor.buffer).DataAsNumpy().copy()
        if tensor.kind == "int4":
            count = math.prod(tensor.shape)
            self._require(len(data) == (count + 1) // 2, "weights of 4 bits lie two to a byte")
            data = unpack_int4(data, count)
        else:
            data = data.view(np.dtype(tensor.kind).newbyteorder("<"))
        return np.asarray(data.reshape(tensor.shape))

    def _require_float(self, activations: list[int], layers: list[Dense]) -> None:
        self._require(
            all(self._tensor(index).kind == "float32" for index in activations)
            and all(layer.weights.dtype == np.float32 for layer in layers),
            "what is float32 stays so up to the score",
        )

    def _require(self, holds: object, what: str) -> None:
        if not holds:
            raise BundleError(f"The .tflite file cannot be used: this version runs a network only if {what}.")

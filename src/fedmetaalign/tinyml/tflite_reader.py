"""Reads a `.tflite` file back into the network that `tflite.write` made it from.

Reading is strict: it goes through the file with bounds-checked access, takes exactly the graphs that the
writer gives, and refuses everything else in one sentence, so what it returns is a sound network whatever the
bytes were.
"""

import math
import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import OPERATORS, OUTPUTS, Layer, QuantizedLayer, output_of
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Constant, Node, require
from fedmetaalign.tinyml.network import Edges, QuantizedNetwork, check_layers, check_outputs, check_quantized
from fedmetaalign.tinyml.tflite import IDENTIFIER, NO_TENSOR, unpack_int4

_MOST_OPERATORS = 256  # a damaged length must not send the reader through millions of tables
_LAYERS = {name: operator for operator in OPERATORS for name in operator.builtins}
_RESHAPE = "RESHAPE"
_OPTIONS = {output.builtin: output.options for output in OUTPUTS if output.options}
_EXIT = {"uint8": ["QUANTIZE"], "int8": [], "float32": ["DEQUANTIZE"]}


def read(model: bytes) -> QuantizedNetwork | list[Layer]:
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
    dimension: int  # that the scales belong to

    @property
    def grid(self) -> Grid:
        (scale,), (zero_point,) = self.scales, self.zero_points
        return Grid(float(scale), int(zero_point))


class _Operator(NamedTuple):
    name: str
    inputs: list[int]
    output: int
    options: Mapping[str, int]


class _Reader:
    """Goes through a flatbuffer with Python's bounds-checked access; nothing in it is trusted."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._model = schema.Model.GetRootAs(model, 0)
        kinds, codes = schema.TensorType, schema.BuiltinOperator
        self._kinds = {getattr(kinds, k.upper()): k for k in ("uint8", "int8", "int4", "int32", "float32")}
        operators = (*_LAYERS, *(output.builtin for output in OUTPUTS), _RESHAPE, "QUANTIZE", "DEQUANTIZE")
        self._names = {getattr(codes, name): name for name in operators}
        require(self._model.SubgraphsLength() == 1, "it has one subgraph")
        self._graph = self._model.Subgraphs(0)

    def network(self) -> QuantizedNetwork | list[Layer]:
        graph = self._graph
        require(graph.InputsLength() == graph.OutputsLength() == 1, "it has one input and one output")
        operators = self._operators()
        features, score = self._tensor(graph.Inputs(0)), self._tensor(graph.Outputs(0))
        path, end = [graph.Inputs(0)], graph.Inputs(0)
        for operator in operators:
            require(operator.inputs[0] == end, "its operators form a chain")
            end = operator.output
            if operator.name == _RESHAPE:
                self._check_reshape(operator)
            else:
                path.append(end)
        require(end == graph.Outputs(0), "its last operator gives the output")
        operators = [operator for operator in operators if operator.name != _RESHAPE]
        layers = [self._layer(operator) for operator in operators if operator.name in _LAYERS]
        require(layers, "it has a layer")
        for before, after in pairwise(layers):
            require(before.outputs == after.inputs, "the shapes of its layers chain")
        require(features.shape[1:] == (layers[0].inputs,), "the shapes of its layers chain")
        check_outputs(layers[-1].outputs)
        require(score.shape[-1:] == (layers[-1].outputs,), "it has a score for each output of the last layer")
        output = output_of(layers[-1].outputs)
        names = ["layer" if operator.name in _LAYERS else operator.name for operator in operators]
        if names == ["layer"] * len(layers) + [output.builtin] and features.kind == "float32":
            return self._float(layers, path)
        edges = cast(Edges, features.kind)
        require(edges in _EXIT, "its features are uint8, int8 or float32")
        entry = [] if edges == "int8" else ["QUANTIZE"]
        first, exit_ = len(entry), _EXIT[edges]
        # A DEQUANTIZE with layers after it is where a float head begins.
        cut = names[-1] == output.builtin and "DEQUANTIZE" in names
        head = names[::-1].index("DEQUANTIZE") - 1 if cut else 0
        depth = len(layers) - head
        middle = ["DEQUANTIZE", *["layer"] * head, output.builtin] if head else [output.builtin, *exit_]
        require(
            depth > 0 and names == [*entry, *["layer"] * depth, *middle],
            f"it is layers and a {output.builtin}, with QUANTIZE and DEQUANTIZE where types change",
        )
        source = self._tensor(path[first])
        require(source.kind == "int8", "layers are int8 from the first one on")
        if edges == "uint8":
            require(features.grid == source.grid.unsigned, "QUANTIZE moves the features by 128 and no more")
        trunk = [layer for layer in layers[:depth] if isinstance(layer, QuantizedLayer)]
        require(len(trunk) == depth, "layers are int8 up to a float head")
        if head:
            tail = self._float(layers[depth:], path[first + depth + 1 :])
            return QuantizedNetwork(source.grid, tuple(trunk), tuple(tail), edges)
        last = self._tensor(path[first + depth + 1])
        require(last.kind == "int8" and last.grid == output.grid, "its score has steps of 1/256")
        require(score.kind == edges, "features and score have one type")
        require(edges != "uint8" or score.grid == output.grid.unsigned, "its score has steps of 1/256")
        return QuantizedNetwork(source.grid, tuple(trunk), (), edges)

    def _float(self, layers: list[Layer | QuantizedLayer], path: list[int]) -> list[Layer]:
        """Returns float layers, whose activations are those of `path`."""
        floats = [layer for layer in layers if isinstance(layer, Layer)]
        require(
            len(floats) == len(layers) and all(self._tensor(index).kind == "float32" for index in path),
            "what is float32 stays so up to the score",
        )
        return floats

    def _layer(self, operator: _Operator) -> Layer | QuantizedLayer:
        first, *others = operator.inputs
        source, output = self._tensor(first), self._tensor(operator.output)
        require({source.kind, output.kind} <= {"int8", "float32"}, "layers are int8 or float32")
        node = Node(
            [None if index == NO_TENSOR else self._constant(index) for index in others],
            source.grid if source.kind == "int8" else None,
            output.grid if output.kind == "int8" else None,
            operator.options,
            builtin=operator.name,
            takes=source.shape[1:],
            gives=output.shape[1:],
        )
        layer: Layer | QuantizedLayer = _LAYERS[operator.name].read(node)
        return layer

    def _check_reshape(self, operator: _Operator) -> None:
        """Makes sure that a RESHAPE changes nothing but the shape."""
        first, shape = operator.inputs
        before, after = self._tensor(first), self._tensor(operator.output)
        require(
            math.prod(before.shape) == math.prod(after.shape)
            and before.kind == after.kind in ("int8", "float32")
            and before.scales.tolist() == after.scales.tolist()
            and before.zero_points.tolist() == after.zero_points.tolist()
            and self._constant(shape).values.tolist() in ([-1, *after.shape[1:]], [*after.shape]),
            "RESHAPE changes the shape alone",
        )

    def _operators(self) -> list[_Operator]:
        graph, codes = self._graph, self._model.OperatorCodesLength()
        require(graph.OperatorsLength() <= _MOST_OPERATORS, f"it has at most {_MOST_OPERATORS} operators")
        found = []
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            require(operator.OpcodeIndex() < codes, "every operator has a code")
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            name = self._names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "another operator")
            inputs = operator.InputsAsNumpy().tolist()
            constants: int = 0
            options: Mapping[str, int] = {}
            if name in _LAYERS:
                table, constants = _LAYERS[name].builtins[name]
                options = self._options(table, operator)
                inputs += [NO_TENSOR] * (0 < constants == len(inputs))  # the last one may be left off
            elif name == _RESHAPE:
                constants = 1
            if name in _OPTIONS:
                named, expected = _OPTIONS[name]
                require(self._options(named, operator) == expected, f"{name} has the options {expected}")
            require(
                len(inputs) == 1 + constants and operator.OutputsLength() == 1,
                "every operator has the inputs and the output that belong to it",
            )
            found.append(_Operator(name, inputs, operator.Outputs(0), options))
        return found

    def _options(self, name: str, operator: Any) -> Mapping[str, Any]:
        """Returns an operator's table of options as the schema's object API has it."""
        options, table = getattr(self._schema, name)(), operator.BuiltinOptions()
        kind = getattr(self._schema.BuiltinOptions, name)
        require(operator.BuiltinOptionsType() == kind, "layers have options")
        options.Init(table.Bytes, table.Pos)
        fields: Mapping[str, Any] = vars(getattr(self._schema, f"{name}T").InitFromObj(options))
        return fields

    def _tensor(self, index: int) -> _Tensor:
        require(0 <= index < self._graph.TensorsLength(), "its operators name tensors that exist")
        tensor = self._graph.Tensors(index)
        grid, none = tensor.Quantization(), np.zeros(0)
        if grid is None or grid.ScaleIsNone():
            scales, zero_points = none.astype(np.float32), none.astype(np.int64)
        else:
            scales, zero_points = grid.ScaleAsNumpy().copy(), grid.ZeroPointAsNumpy().copy()
        shape = tuple(tensor.ShapeAsNumpy().tolist())
        dimension = 0 if grid is None else grid.QuantizedDimension()
        return _Tensor(self._kinds[tensor.Type()], shape, scales, zero_points, tensor.Buffer(), dimension)

    def _constant(self, index: int) -> Constant:
        tensor = self._tensor(index)
        require(0 < tensor.buffer < self._model.BuffersLength(), "its constants have values")
        require(min(tensor.shape, default=0) > 0, "its constants have values")
        require(not tensor.zero_points.any(), "weights and biases have zero point 0")
        data = self._model.Buffers(tensor.buffer).DataAsNumpy().copy()
        if tensor.kind == "int4":
            count = math.prod(tensor.shape)
            require(len(data) == (count + 1) // 2, "weights of 4 bits lie two to a byte")
            data = unpack_int4(data, count)
        else:
            data = data.view(np.dtype(tensor.kind).newbyteorder("<"))
        values = np.asarray(data.reshape(tensor.shape))
        return Constant(values, tensor.scales, 4 if tensor.kind == "int4" else 8, tensor.dimension)

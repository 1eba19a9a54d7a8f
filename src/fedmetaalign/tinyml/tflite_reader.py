"""Reads a `.tflite` file back into the network that `tflite.write` made it from.

Reading is strict: it goes through the file with bounds-checked access, takes exactly the two graphs that the
writer gives, and refuses everything else in one sentence, so what it returns is a sound network whatever the
bytes were.
"""

import struct
from typing import Any, NamedTuple

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import (
    SCORE,
    Grid,
    QuantizedLayer,
    QuantizedNetwork,
    check_layers,
    check_quantized,
)
from fedmetaalign.tinyml.tflite import IDENTIFIER

_MOST_OPERATORS = 256  # a damaged length must not send the reader through millions of tables


def read(model: bytes) -> QuantizedNetwork | list[tuple[np.ndarray, np.ndarray]]:
    """Reads a `.tflite` file of the two kinds that `write` writes; `write(read(model)) == model` for its files.

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
    dtype: np.dtype[Any]
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
        kinds = schema.TensorType
        self._dtypes: dict[int, np.dtype[Any]] = {
            kinds.FLOAT32: np.dtype("<f4"),
            kinds.INT32: np.dtype("<i4"),
            kinds.INT8: np.dtype("int8"),
            kinds.UINT8: np.dtype("uint8"),
        }
        codes = schema.BuiltinOperator
        self._names = {getattr(codes, n): n for n in ("FULLY_CONNECTED", "LOGISTIC", "QUANTIZE")}
        self._require(self._model.SubgraphsLength() == 1, "it has one subgraph")
        self._graph = self._model.Subgraphs(0)

    def network(self) -> QuantizedNetwork | list[tuple[np.ndarray, np.ndarray]]:
        graph = self._graph
        self._require(graph.InputsLength() == graph.OutputsLength() == 1, "it has one input and one output")
        operators = self._operators()
        features, score = self._tensor(graph.Inputs(0)), self._tensor(graph.Outputs(0))
        current = graph.Inputs(0)
        for operator in operators:
            self._require(operator.inputs[0] == current, "its operators form a chain")
            current = operator.output
        self._require(current == graph.Outputs(0), "its last operator gives the output")
        quantized = features.dtype == np.uint8
        names = [operator.name for operator in operators]
        depth = names.count("FULLY_CONNECTED")
        edge = ["QUANTIZE"] * quantized
        self._require(
            depth > 0 and names == [*edge, *["FULLY_CONNECTED"] * depth, "LOGISTIC", *edge],
            "it is fully connected layers and a LOGISTIC, with QUANTIZE at both ends where it is uint8",
        )
        dense = [operator for operator in operators if operator.name == "FULLY_CONNECTED"]
        relus = [operator.relu for operator in dense]
        self._require(relus == [True] * (depth - 1) + [False], "all layers but the last have a ReLU")
        layers = [self._dense(operator) for operator in dense]
        for before, after in zip([features.shape[-1:], *(b.shape for _, b in layers)], layers, strict=False):
            self._require(before == after[0].shape[:1], "the shapes of its layers chain")
        self._require(layers[-1][1].shape == (1,), "it has one score")
        if not quantized:
            self._require(features.dtype == score.dtype == np.float32, "features and score have one type")
            return layers
        entry, logistic = self._tensor(operators[0].output), self._tensor(operators[-1].inputs[0])
        self._require(
            entry.dtype == np.int8 and features.grid == entry.grid.unsigned,
            "QUANTIZE moves the features by 128 and no more",
        )
        self._require(
            score.dtype == np.uint8 and score.grid == SCORE.unsigned and logistic.grid == SCORE,
            "its score has steps of 1/256",
        )
        pairs = zip(dense, layers, strict=True)
        return QuantizedNetwork(entry.grid, tuple(self._quantized(*pair) for pair in pairs))

    def _dense(self, operator: _Operator) -> tuple[np.ndarray, np.ndarray]:
        _, weights, biases = operator.inputs
        return self._values(weights).T.copy(), self._values(biases)

    def _quantized(self, operator: _Operator, layer: tuple[np.ndarray, np.ndarray]) -> QuantizedLayer:
        weights, biases = layer
        source, filters, offsets = (self._tensor(index) for index in operator.inputs)
        output = self._tensor(operator.output)
        self._require(weights.dtype == output.dtype == np.int8 and biases.dtype == np.int32, "layers are int8")
        self._require(filters.scales.shape in {(1,), biases.shape}, "weights have one scale, or one an output")
        expected = np.float64(source.grid.scale) * filters.scales
        self._require(
            np.allclose(offsets.scales, expected, rtol=1e-6, atol=0.0), "biases have the accumulators' scale"
        )
        return QuantizedLayer(weights, filters.scales, biases, output.grid)

    def _operators(self) -> list[_Operator]:
        graph, codes = self._graph, self._model.OperatorCodesLength()
        self._require(graph.OperatorsLength() <= _MOST_OPERATORS, f"it has at most {_MOST_OPERATORS} operators")
        found = []
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            self._require(operator.OpcodeIndex() < codes, "every operator has a code")
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            name = self._names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "another operator")
            inputs = 3 if name == "FULLY_CONNECTED" else 1
            self._require(
                operator.InputsLength() == inputs and operator.OutputsLength() == 1,
                "every operator has the inputs and the output that belong to it",
            )
            found.append(
                _Operator(
                    name, operator.InputsAsNumpy().tolist(), operator.Outputs(0), self._relu(name, operator)
                )
            )
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

    def _tensor(self, index: int) -> _Tensor:
        self._require(0 <= index < self._graph.TensorsLength(), "its operators name tensors that exist")
        tensor = self._graph.Tensors(index)
        grid, none = tensor.Quantization(), np.zeros(0)
        if grid is None or grid.ScaleIsNone():
            scales, zero_points = none.astype(np.float32), none.astype(np.int64)
        else:
            scales, zero_points = grid.ScaleAsNumpy().copy(), grid.ZeroPointAsNumpy().copy()
        return _Tensor(
            self._dtypes[tensor.Type()],
            tuple(tensor.ShapeAsNumpy().tolist()),
            scales,
            zero_points,
            tensor.Buffer(),
        )

    def _values(self, index: int) -> np.ndarray:
        tensor = self._tensor(index)
        self._require(0 < tensor.buffer < self._model.BuffersLength(), "its constants have values")
        self._require(not tensor.zero_points.any(), "weights and biases have zero point 0")
        data = self._model.Buffers(tensor.buffer).DataAsNumpy().copy()
        return np.asarray(data.view(tensor.dtype).reshape(tensor.shape))

    def _require(self, holds: object, what: str) -> None:
        if not holds:
            raise BundleError(f"The .tflite file cannot be used: this version runs a network only if {what}.")

"""Writes a network as a `.tflite` flatbuffer, and reads one back.

The graph is built with the schema's object API that `ai-edge-litert` carries; TensorFlow is not involved.

    uint8:   features -> QUANTIZE -> FULLY_CONNECTED (ReLU) ... FULLY_CONNECTED -> LOGISTIC -> QUANTIZE -> score
    float32: features -> FULLY_CONNECTED (ReLU) ... FULLY_CONNECTED -> LOGISTIC -> score

The same network gives the same bytes. Reading is strict: it goes through the file with bounds-checked access,
takes exactly these two graphs, and refuses everything else in one sentence, so what it returns is a sound
network whatever the bytes were.
"""

import struct
from typing import Any, NamedTuple

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.quantize import (
    SCORE,
    Grid,
    Layers,
    QuantizedLayer,
    QuantizedNetwork,
    check_layers,
    check_quantized,
)

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every .tflite file."""

_ALIGNMENT = 16  # of every buffer: kernels on the device read weights in place, in words
_MOST_OPERATORS = 256  # a damaged length must not send the reader through millions of tables
_SCHEMA_VERSION = 3


def write(network: QuantizedNetwork | Layers) -> bytes:
    """Writes a `.tflite` file.

    Args:
        network: a quantised network, for uint8 features and score around int8 arithmetic; or float layers, for
            a file that is float32 throughout.

    Returns:
        The file's bytes.

    Raises:
        BundleError: float layers do not form a network (see `check_layers`).
    """
    graph = _Graph()
    if isinstance(network, QuantizedNetwork):
        _add_quantized(graph, network)
    else:
        check_layers(network)
        _add_float(graph, network)
    return graph.pack()


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


def _add_quantized(graph: "_Graph", network: QuantizedNetwork) -> None:
    inputs = len(network.layers[0].weights)
    features = graph.activation("features", np.uint8, inputs, _moved(network.input))
    current = graph.activation("features_int8", np.int8, inputs, network.input)
    graph.quantize(features, current)
    scale = network.input.scale
    for i, layer in enumerate(network.layers, 1):
        weights = graph.constant(f"w{i}", layer.weights.T, layer.weight_scales)
        biases = graph.constant(f"b{i}", layer.biases, np.float32(scale) * layer.weight_scales)
        last = i == len(network.layers)
        output = graph.activation("logit" if last else f"h{i}", np.int8, len(layer.biases), layer.output)
        graph.fully_connected(current, weights, biases, output, relu=not last)
        current, scale = output, layer.output.scale
    score_int8 = graph.activation("score_int8", np.int8, 1, SCORE)
    score = graph.activation("score", np.uint8, 1, _moved(SCORE))
    graph.logistic(current, score_int8)
    graph.quantize(score_int8, score)
    graph.inputs, graph.outputs = [features], [score]
    graph.description = f"Fed-Meta-Align fault classifier, int8: {inputs} features -> score, P(fault) * 256"


def _add_float(graph: "_Graph", layers: Layers) -> None:
    inputs = len(layers[0][0])
    features = current = graph.activation("features", np.float32, inputs)
    for i, (weights, biases) in enumerate(layers, 1):
        w = graph.constant(f"w{i}", weights.T.astype(np.float32))
        b = graph.constant(f"b{i}", biases.astype(np.float32))
        last = i == len(layers)
        output = graph.activation("logit" if last else f"h{i}", np.float32, len(biases))
        graph.fully_connected(current, w, b, output, relu=not last)
        current = output
    score = graph.activation("score", np.float32, 1)
    graph.logistic(current, score)
    graph.inputs, graph.outputs = [features], [score]
    graph.description = f"Fed-Meta-Align fault classifier, float32: {inputs} features -> score, P(fault)"


def _moved(grid: Grid) -> Grid:
    """The uint8 grid that stands for the same reals as an int8 grid."""
    return Grid(grid.scale, grid.zero_point + 128)


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
        self._codes: dict[int, Any] = {}
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.description = ""

    def activation(self, name: str, dtype: type[np.generic], units: int, grid: Grid | None = None) -> int:
        parameters = None
        if grid is not None:
            parameters = self._parameters(np.array([grid.scale]), grid.zero_point)
        return self._tensor(name, np.dtype(dtype), (1, units), 0, parameters)

    def constant(self, name: str, values: np.ndarray, scales: np.ndarray | None = None) -> int:
        self._buffers.append(self._schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
        parameters = None if scales is None else self._parameters(scales, 0)
        return self._tensor(name, values.dtype, values.shape, len(self._buffers) - 1, parameters)

    def fully_connected(self, x: int, weights: int, biases: int, output: int, relu: bool) -> None:
        kind = self._schema.ActivationFunctionType
        options = self._schema.FullyConnectedOptionsT(fusedActivationFunction=kind.RELU if relu else kind.NONE)
        quantized = self._tensors[weights].quantization is not None
        self._operator("FULLY_CONNECTED", 4 if quantized else 1, [x, weights, biases], output, options)

    def logistic(self, x: int, output: int) -> None:
        quantized = self._tensors[x].quantization is not None
        self._operator("LOGISTIC", 2 if quantized else 1, [x], output)

    def quantize(self, x: int, output: int) -> None:
        self._operator("QUANTIZE", 2, [x], output, self._schema.QuantizeOptionsT())

    def pack(self) -> bytes:
        schema = self._schema
        subgraph = schema.SubGraphT(
            tensors=self._tensors, inputs=self.inputs, outputs=self.outputs, operators=self._operators
        )
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=list(self._codes.values()),
            subgraphs=[subgraph],
            description=self.description,
            buffers=self._buffers,
        )
        builder = _sharing_builder()
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], buffer: int, grid: Any) -> int:
        self._tensors.append(
            self._schema.TensorT(
                name=name,
                type=self._types[dtype],
                shape=np.array(shape, np.int32),
                buffer=buffer,
                quantization=grid,
            )
        )
        return len(self._tensors) - 1

    def _parameters(self, scales: np.ndarray, zero_point: int) -> Any:
        # LiteRT refuses a scale without its zero point, and TensorFlow Lite Micro silently computes nonsense.
        return self._schema.QuantizationParametersT(
            scale=scales.astype(np.float32), zeroPoint=np.full(len(scales), zero_point, np.int64)
        )

    def _operator(self, name: str, version: int, inputs: list[int], output: int, options: Any = None) -> None:
        schema = self._schema
        number = getattr(schema.BuiltinOperator, name)
        self._codes.setdefault(
            number,
            schema.OperatorCodeT(deprecatedBuiltinCode=number, builtinCode=number, version=version),
        )
        operator = schema.OperatorT(
            opcodeIndex=list(self._codes).index(number), inputs=inputs, outputs=[output], builtinOptions=options
        )
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._operators.append(operator)


def _sharing_builder() -> Any:
    """A flatbuffer builder that stores equal vectors once and aligns the buffers' bytes.

    Zero points, scales and shapes repeat from tensor to tensor, and a file may point to one vector many times;
    the generated code would write each anew, and would give buffers no alignment at all.
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
            entry.dtype == np.int8 and features.grid == _moved(entry.grid),
            "QUANTIZE moves the features by 128 and no more",
        )
        self._require(
            score.dtype == np.uint8 and score.grid == _moved(SCORE) and logistic.grid == SCORE,
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

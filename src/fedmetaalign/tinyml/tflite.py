"""Writes a network as a `.tflite` flatbuffer; `tflite_reader` reads one back.

The graph is built with the schema's object API that `ai-edge-litert` carries; TensorFlow is not involved.

    uint8:   features -> QUANTIZE -> FULLY_CONNECTED (ReLU) ... FULLY_CONNECTED -> LOGISTIC -> QUANTIZE -> score
    float32: features -> FULLY_CONNECTED (ReLU) ... FULLY_CONNECTED -> LOGISTIC -> score

The same network gives the same bytes.
"""

from typing import Any

import numpy as np

from fedmetaalign.tinyml.network import SCORE, Grid, Layers, QuantizedNetwork, check_layers

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every .tflite file."""

_ALIGNMENT = 16  # of every buffer: kernels on the device read weights in place, in words
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


def _add_quantized(graph: "_Graph", network: QuantizedNetwork) -> None:
    inputs = len(network.layers[0].weights)
    features = graph.activation("features", np.uint8, inputs, network.input.unsigned)
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
    score = graph.activation("score", np.uint8, 1, SCORE.unsigned)
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

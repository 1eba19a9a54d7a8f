import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize
from fedmetaalign.tinyml.tflite import pack_int4, unpack_int4, write
from fedmetaalign.tinyml.tflite_reader import read


def operators_of(model):
    """Operator names in order, with their versions, as a viewer shows them."""
    root = schema.ModelT.InitFromPackedBuf(model)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    of = [root.operatorCodes[operator.opcodeIndex] for operator in root.subgraphs[0].operators]
    return [f"{codes[code.builtinCode]} {code.version}" for code in of]


def test_sizes_of_the_papers_network(network, samples, low_rank):
    # 46,120 weights and 517 biases of 4 bytes are 48,188 bytes, or 186,548 in float32: the rest is the file.
    layers, x = network(0), samples(100)
    assert len(write(quantize(layers, x))) == 50_992
    assert len(write(quantize(layers, x, edges="int8"))) == 50_800
    assert len(write(quantize(layers, x, edges="float32"))) == 50_960
    assert len(write(quantize(layers, x, per_channel=True))) == 59_216
    assert len(write(layers)) == 188_304
    # The last four layers are 808 weights of 3 bytes more.
    assert len(write(quantize(layers, x, head=4))) == 53_056
    # Half a byte for 46,120 weights, or for the 43,008 of three layers.
    assert len(write(quantize(layers, x, bits=4))) == 27_920
    assert len(write(quantize(layers, x, bits=bits_of_int4(layers)))) == 29_488
    # Factors of 256 x 16, 16 x 128, 128 x 24 and 24 x 64 in place of the two large layers.
    thin = low_rank(low_rank(layers, 2, 24), 1, 16)
    assert len(write(quantize(thin, x))) == 21_152


def test_nibbles_are_packed_low_first():
    # -7 is 9 in two's complement of 4 bits, -1 is 15.
    assert pack_int4(np.int8([[1, -7, 3], [-1, 7, 0]])).tolist() == [0x91, 0xF3, 0x07]
    assert pack_int4(np.int8([5, -1, -8])).tolist() == [0xF5, 0x08]
    assert unpack_int4(np.uint8([0xF5, 0x08]), 3).tolist() == [5, -1, -8]
    assert unpack_int4(np.uint8([0x91, 0xF3, 0x07]), 6).tolist() == [1, -7, 3, -1, 7, 0]


def test_biases_that_are_all_zero_are_left_out(network, samples, low_rank):
    layers = low_rank(network(0, (5, 6, 4, 1)), 1, 2)
    root = schema.ModelT.InitFromPackedBuf(write(quantize(layers, samples(50, 5))))
    dense = [operator for operator in root.subgraphs[0].operators if len(operator.inputs) == 3]
    assert [operator.inputs[2] == -1 for operator in dense] == [False, True, False, False]


def test_another_process_writes_the_same_bytes(by_hand):
    code = (
        "import sys, numpy as np\n"
        "from fedmetaalign.operators.dense import Dense\n"
        "from fedmetaalign.tinyml.quantize import quantize\n"
        "from fedmetaalign.tinyml.tflite import write\n"
        "layers = [Dense(np.float32([[1.27, -0.5], [0.3, 0.63]]), np.float32([0.8815, -0.2]), True),\n"
        "          Dense(np.float32([[-1.27], [0.64]]), np.float32([0.05]), False)]\n"
        "sys.stdout.buffer.write(write(quantize(layers, np.float32([[-1.0, 1.55], [1.55, -1.0]]))))\n"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # noqa: S603
    assert other.stdout == write(quantize(*by_hand))


def test_importing_does_not_import_a_runtime():
    code = (
        "import sys, fedmetaalign.tinyml.runtimes\n"
        "assert not {'ai_edge_litert', 'flatbuffers', 'tflite_micro'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


def test_the_graphs(by_hand, network, samples, every_format):
    dense = ["FULLY_CONNECTED 4", "FULLY_CONNECTED 4"]
    assert operators_of(write(quantize(*by_hand))) == ["QUANTIZE 2", *dense, "LOGISTIC 2", "QUANTIZE 2"]
    assert operators_of(write(quantize(*by_hand, edges="int8"))) == [*dense, "LOGISTIC 2"]
    of = operators_of(write(quantize(*by_hand, edges="float32")))
    assert of == ["QUANTIZE 2", *dense, "LOGISTIC 2", "DEQUANTIZE 2"]
    assert operators_of(write(by_hand[0])) == ["FULLY_CONNECTED 1", "FULLY_CONNECTED 1", "LOGISTIC 1"]
    of = operators_of(write(quantize(*by_hand, head=1)))
    assert of == ["QUANTIZE 2", dense[0], "DEQUANTIZE 2", dense[1], "LOGISTIC 1"]
    of = operators_of(write(quantize(*by_hand, bits=[4, 8], edges="int8")))
    assert of == ["FULLY_CONNECTED 7", "FULLY_CONNECTED 7", "LOGISTIC 2"]


def test_features_and_score_are_named(network, samples, every_format, kind):
    model = write(every_format(network(1, (5, 6, 4, 1)), samples(50, 5))[kind])
    graph = schema.ModelT.InitFromPackedBuf(model).subgraphs[0]
    ends = [graph.tensors[index] for index in (graph.inputs[0], graph.outputs[0])]
    assert [tensor.name for tensor in ends] == [b"features", b"score"]
    assert [tensor.shape.tolist() for tensor in ends] == [[1, 5], [1, 1]]


def test_identifier_alignment_and_zero_points(network, samples):
    model = write(quantize(network(2), samples(50)))
    assert model[4:8] == b"TFL3"
    root = schema.Model.GetRootAs(model, 0)
    start = np.frombuffer(model, np.uint8).ctypes.data
    for i in range(1, root.BuffersLength()):
        assert (root.Buffers(i).DataAsNumpy().ctypes.data - start) % 16 == 0
    tensors = [root.Subgraphs(0).Tensors(i) for i in range(root.Subgraphs(0).TensorsLength())]
    for tensor in tensors:  # every scale has its zero point (see the pitfall in `_Graph._parameters`)
        parameters = tensor.Quantization()
        assert parameters.ScaleLength() == parameters.ZeroPointLength() > 0


def test_other_files_are_refused(by_hand):
    model = write(quantize(*by_hand))
    with pytest.raises(
        BundleError, match=r"^Not a \.tflite file: bytes 4 to 8 are b'PK00' instead of b'TFL3'\.$"
    ):
        read(model[:4] + b"PK00" + model[8:])
    for cut in (8, 100, len(model) // 2, len(model) - 64):
        with pytest.raises(BundleError):
            read(model[:cut])
    with pytest.raises(BundleError, match="Not a"):
        read(b"")


def change(model, edit):
    """Edits a file through the object API, as another converter might have written it."""
    import flatbuffers

    root = schema.ModelT.InitFromPackedBuf(model)
    edit(root, root.subgraphs[0])
    builder = flatbuffers.Builder()
    builder.Finish(root.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_file_of_another_writer_is_read_though_its_bytes_differ(by_hand):
    model = write(quantize(*by_hand))

    def rename(root, graph):
        root.description = "by somebody else"
        graph.tensors[0].name = "input_0"

    other = change(model, rename)
    assert other != model
    assert write(read(other)) == model


def test_biases_may_be_left_out_by_being_left_off(network, samples, low_rank):
    layers = low_rank(network(0, (5, 6, 4, 1)), 1, 2)
    model = write(quantize(layers, samples(50, 5)))

    def two_inputs(root, graph):
        graph.operators[2].inputs = graph.operators[2].inputs[:2]

    assert write(read(change(model, two_inputs))) == model


EDITS = {
    "tanh": lambda root, graph: vars(root.operatorCodes[2]).update(
        builtinCode=schema.BuiltinOperator.TANH, deprecatedBuiltinCode=schema.BuiltinOperator.TANH
    ),
    "last relu": lambda root, graph: vars(graph.operators[2].builtinOptions).update(fusedActivationFunction=1),
    "relu6": lambda root, graph: vars(graph.operators[1].builtinOptions).update(fusedActivationFunction=3),
    "far tensor": lambda root, graph: vars(graph.operators[1]).update(inputs=np.int32([1, 2, 99])),
    "far buffer": lambda root, graph: vars(graph.tensors[2]).update(buffer=99),
    "no weights": lambda root, graph: vars(graph.operators[1]).update(inputs=np.int32([1, -1, 3])),
    "too many values": lambda root, graph: vars(graph.tensors[2]).update(shape=np.int32([2, 200])),
    "no values": lambda root, graph: vars(graph.tensors[2]).update(shape=np.int32([0, 2])),
    "any values": lambda root, graph: vars(graph.tensors[2]).update(shape=np.int32([-1, 2])),
    "scale below 0": lambda root, graph: vars(graph.tensors[4].quantization).update(scale=np.float32([-0.01])),
    "asymmetric": lambda root, graph: vars(graph.tensors[2].quantization).update(zeroPoint=np.int64([3])),
    "bias scale": lambda root, graph: vars(graph.tensors[3].quantization).update(scale=np.float32([0.1])),
    "-128": lambda root, graph: vars(root.buffers[1]).update(data=np.uint8([128, 0, 0, 0])),
    "more bytes": lambda root, graph: vars(root.buffers[1]).update(data=np.uint8([1] * 8)),
    "float score": lambda root, graph: vars(graph.tensors[-1]).update(type=schema.TensorType.FLOAT32),
    "int8 score": lambda root, graph: vars(graph.tensors[-1]).update(type=schema.TensorType.INT8),
    "int32 features": lambda root, graph: vars(graph.tensors[0]).update(type=schema.TensorType.INT32),
    "float features": lambda root, graph: vars(graph.tensors[0]).update(type=schema.TensorType.FLOAT32),
    "features elsewhere": lambda root, graph: vars(graph.tensors[0].quantization).update(
        zeroPoint=np.int64([7])
    ),
    "int16": lambda root, graph: vars(graph.tensors[4]).update(type=schema.TensorType.INT16),
    "no operators": lambda root, graph: vars(graph).update(operators=[]),
    "no layers": lambda root, graph: vars(graph).update(operators=graph.operators[:1]),
    "no sigmoid": lambda root, graph: vars(graph).update(operators=graph.operators[:3]),
    "no way": lambda root, graph: graph.operators.reverse(),
    "two subgraphs": lambda root, graph: root.subgraphs.append(graph),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_graph_that_differs_is_refused(by_hand, edit):
    with pytest.raises(BundleError, match=r"^The [^\n]*\.$"):
        read(change(write(quantize(*by_hand)), EDITS[edit]))


HEAD_EDITS = {
    "int8 head": lambda root, graph: vars(graph.tensors[6]).update(type=schema.TensorType.INT8),
    "int8 score": lambda root, graph: vars(graph.tensors[-1]).update(type=schema.TensorType.INT8),
    "int8 reals": lambda root, graph: vars(graph.tensors[5]).update(type=schema.TensorType.INT8),
    "not finite": lambda root, graph: vars(root.buffers[3]).update(data=np.float32([np.inf, 0]).view(np.uint8)),
    "no layers": lambda root, graph: graph.operators.pop(3),
}


@pytest.mark.parametrize("edit", HEAD_EDITS)
def test_a_float_head_that_differs_is_refused(by_hand, edit):
    with pytest.raises(BundleError, match=r"^(The|Layer) [^\n]*\.$"):
        read(change(write(quantize(*by_hand, head=1)), HEAD_EDITS[edit]))


def test_scales_that_a_kernel_cannot_take_are_refused(by_hand):
    network = quantize(*by_hand)
    last = network.layers[-1]
    for scale in (np.inf, 1e30, 1e-30):
        layers = (*network.layers[:-1], replace(last, output=replace(last.output, scale=scale)))
        with pytest.raises(BundleError, match="cannot run, since"):
            read(write(QuantizedNetwork(network.input, layers)))


def test_integers_that_a_kernel_cannot_take_are_refused(by_hand):
    network = quantize(*by_hand, bits=4)
    first, last = network.layers

    def refused(match, **changes):
        with pytest.raises(BundleError, match=match):
            write(replace(network, layers=(replace(first, **changes), last)))

    refused("layer 1 has a weight beyond 7", weights=np.int8([[8, 0], [0, 0]]))
    refused("layer 1 has a weight beyond 127", weights=np.int8([[-128, 0], [0, 0]]), bits=8)
    refused("layer 1 has 4-bit weights with a scale for each output", weight_scales=np.float32([0.1, 0.1]))
    refused("layer 1 can overflow", biases=np.int32([2**30 + 1, 0]))


def test_a_float_head_that_does_not_fit_is_refused(by_hand):
    network = quantize(*by_hand, head=1)
    wide = Dense(np.zeros((3, 1), np.float32), np.zeros(1, np.float32), relu=False)
    with pytest.raises(BundleError, match="takes 3 inputs, and the integer layers give 2"):
        write(replace(network, head=(wide,)))
    with pytest.raises(BundleError, match="has a ReLU"):
        write(replace(network, head=(replace(network.head[0], relu=True),)))

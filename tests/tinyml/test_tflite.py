import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read


def kinds(layers, x):
    return {
        "float32": layers,
        "uint8": quantize(layers, x),
        "uint8 per channel": quantize(layers, x, per_channel=True),
    }


def names_of(model):
    """Operator names in order, and the set of tensor names, as a viewer shows them."""
    root = schema.ModelT.InitFromPackedBuf(model)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    operators = [codes[root.operatorCodes[o.opcodeIndex].builtinCode] for o in root.subgraphs[0].operators]
    return operators, [tensor.name.decode() for tensor in root.subgraphs[0].tensors]


def test_sizes_of_the_papers_network(network, samples):
    # 46,120 weights and 517 biases of 4 bytes are 48,188 bytes, or 186,548 in float32: the rest is the file.
    sizes = {kind: len(write(n)) for kind, n in kinds(network(0), samples(100)).items()}
    assert sizes["uint8"] < 48_188 + 3_300
    assert sizes["float32"] < 186_548 + 2_200
    assert sizes["uint8 per channel"] < 60_000


@pytest.mark.parametrize("kind", ["float32", "uint8", "uint8 per channel"])
def test_reading_gives_back_the_network_and_writing_it_again_the_bytes(network, samples, kind):
    for widths in ((9, 16, 8, 1), (1, 1), (3, 5, 1)):
        original = kinds(network(1, widths), samples(50, widths[0]))[kind]
        model = write(original)
        again = read(model)
        assert write(again) == model
        if isinstance(original, QuantizedNetwork):
            assert again.input == original.input
            pairs = zip(again.layers, original.layers, strict=True)
            assert all(a.output == b.output for a, b in pairs)
            assert all(
                (a.weights == b.weights).all() for a, b in zip(again.layers, original.layers, strict=True)
            )
        else:
            assert all(
                (a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(again, original, strict=True)
            )


def test_another_process_writes_the_same_bytes(by_hand):
    code = (
        "import sys, numpy as np\n"
        "from fedmetaalign.tinyml.quantize import quantize\n"
        "from fedmetaalign.tinyml.tflite import write\n"
        "layers = [(np.float32([[1.27, -0.5], [0.3, 0.63]]), np.float32([0.8815, -0.2])),\n"
        "          (np.float32([[-1.27], [0.64]]), np.float32([0.05]))]\n"
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


def test_a_viewer_shows_the_graph(by_hand):
    operators, tensors = names_of(write(quantize(*by_hand)))
    assert operators == ["QUANTIZE", "FULLY_CONNECTED", "FULLY_CONNECTED", "LOGISTIC", "QUANTIZE"]
    assert tensors[0] == "features"
    assert tensors[-1] == "score"
    operators, tensors = names_of(write(by_hand[0]))
    assert operators == ["FULLY_CONNECTED", "FULLY_CONNECTED", "LOGISTIC"]
    assert tensors == ["features", "w1", "b1", "h1", "w2", "b2", "logit", "score"]


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


def test_a_graph_that_differs_is_refused(by_hand):
    model = write(quantize(*by_hand))

    def tanh(root, graph):
        root.operatorCodes[2].builtinCode = root.operatorCodes[2].deprecatedBuiltinCode = (
            schema.BuiltinOperator.TANH
        )

    def no_relu(root, graph):
        graph.operators[1].builtinOptions.fusedActivationFunction = 0

    def far_tensor(root, graph):
        graph.operators[1].inputs = np.int32([1, 2, 99])

    def wide(root, graph):
        graph.tensors[2].shape = np.int32([2, 200])

    def negative_scale(root, graph):
        graph.tensors[4].quantization.scale = np.float32([-0.01])

    def asymmetric_weights(root, graph):
        graph.tensors[2].quantization.zeroPoint = np.int64([3])

    def bias_scale(root, graph):
        graph.tensors[3].quantization.scale = np.float32([0.1])

    def float_score(root, graph):
        graph.tensors[-1].type = schema.TensorType.FLOAT32

    edits = (tanh, no_relu, far_tensor, wide, negative_scale, asymmetric_weights, bias_scale, float_score)
    for edit in edits:
        with pytest.raises(BundleError, match=r"^The [^\n]*\.$"):
            read(change(model, edit))


def test_scales_that_a_kernel_cannot_take_are_refused(by_hand):
    network = quantize(*by_hand)
    last = network.layers[-1]
    for scale in (np.inf, 1e30, 1e-30):
        layers = (*network.layers[:-1], replace(last, output=replace(last.output, scale=scale)))
        with pytest.raises(BundleError, match="cannot run, since"):
            read(write(QuantizedNetwork(network.input, layers)))

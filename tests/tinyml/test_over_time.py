"""Networks with layers over time: the same bits in every runtime, in C and on emulated cores."""

import shutil
import subprocess
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks_over_time import KINDS, network

from fedmetaalign.errors import BundleError
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators import operator_of
from fedmetaalign.operators.convolution import Convolution, QuantizedConvolution
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Request
from fedmetaalign.operators.pool import POOL, Pool, QuantizedPool
from fedmetaalign.operators.stage import Stage
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.proof import replay
from fedmetaalign.recipe.network import Model
from fedmetaalign.tinyml import codegen, compiled, head, integer, memory, native, time_code, weights_file
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.network import QuantizedNetwork, arrays
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize, quantize_input
from fedmetaalign.tinyml.runtimes import ROUNDINGS, run
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read
from fedmetaalign.tinyml.toolchain import CORES, compile_firmware

FORMATS = ("uint8", "int8, per channel", "float io", "int4", "float head", "float32")


@cache
def deployed(kind, outputs, form):
    """A network in a format, and inputs as they are on the device."""
    layers, x = network(kind, outputs)
    match form:
        case "uint8":
            made = quantize(layers, x)
        case "int8, per channel":
            made = quantize(layers, x, per_channel=True, edges="int8")
        case "float io":
            made = quantize(layers, x, edges="float32")
        case "int4":
            made = quantize(layers, x, bits=[4 if isinstance(layer, Dense) else 8 for layer in layers])
        case "float head":
            made = quantize(layers, x, head=1)
        case _:
            return layers, x
    return made, quantize_input(made, x)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", ["litert-reference", "litert", "litert-xnnpack", "tflm"])
def test_a_runtime_gives_the_bits_of_its_rounding(runtime, kind, form):
    if runtime == "tflm":
        pytest.importorskip("tflite_micro")
    for outputs in (1, 4):
        made, inputs = deployed(kind, outputs, form)
        if isinstance(made, QuantizedNetwork):
            expected = integer.scores(made, inputs, ROUNDINGS[runtime])
        else:
            expected = integer.firmware_scores(made, inputs)
        real = form in ("float head", "float32")
        np.testing.assert_allclose(run(made, inputs, runtime), expected, rtol=0, atol=2e-5 if real else 0)
        assert len(np.unique(expected)) > 50


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_reads_back_and_is_written_again_to_the_byte(kind, form):
    made, inputs = deployed(kind, 1, form)
    model = write(made)
    assert write(read(model)) == model
    assert (integer.firmware_scores(read(model), inputs) == integer.firmware_scores(made, inputs)).all()


@pytest.mark.parametrize("form", ["uint8", "float32"])
def test_a_damaged_file_is_an_error_or_still_a_network(form):
    model, random = write(deployed("wide", 1, form)[0]), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(model)
        for place in random.integers(8, len(model), 2):
            damaged[place] = random.integers(256)
        try:
            write(read(bytes(damaged)))
        except BundleError:
            refused += 1
    assert 50 < refused < 150


def test_a_file_has_the_operators_that_an_interpreter_lists():
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=write(deployed("wide", 1, "int8, per channel")[0]))
    operators = [operator["op_name"] for operator in interpreter._get_ops_details()]
    assert [name for name in operators if name != "DELEGATE"] == [
        *("RESHAPE", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN"),
        *("FULLY_CONNECTED", "FULLY_CONNECTED", "LOGISTIC"),
    ]


def test_scores_are_near_those_of_the_float_network():
    for kind in KINDS:
        real = integer.firmware_scores(*deployed(kind, 1, "float32"))
        assert np.abs(integer.firmware_scores(*deployed(kind, 1, "uint8")) - real).mean() < 0.02


def test_a_convolution_by_hand():
    """Two steps at a time: 3 * q[0] - 2 * q[1] + 5, in steps of half; at 1/4, with -8 for 0."""
    weights = np.array([[[3]], [[-2]]], np.int8)
    layer = QuantizedConvolution(
        weights, np.float32([0.5]), np.array([5], np.int32), Grid(2.0, -8), 4, 1, relu=True
    )
    found = integer.operator_of(layer).run(layer, np.array([[8, 2, -1, 7]], np.int8), Grid(1.0, 2), "gemmlowp")
    # Less the zero point the inputs are 6, 0, -3, 5: sums 23, 11, -14, a quarter of which is 5.75, 2.75, -3.5.
    assert found.tolist() == [[-2, -5, -8]]


@pytest.mark.parametrize(("rounding", "expected"), [("gemmlowp", [3, -3]), ("float32", [2, -3])])
def test_a_mean_by_hand(rounding, expected):
    """Of four steps of two channels, on a grid of half the scale: sums 5 and -6, times 2/4."""
    layer = QuantizedPool("average", 4, 4, 4, 2, Grid(0.5, 0))
    q = np.array([[1, -1, 4, -2, 0, -3, 0, 0]], np.int8)
    assert POOL.run(layer, q, Grid(1.0, 0), rounding).tolist() == [expected]


def test_the_grid_of_a_mean_is_finer_than_that_of_what_it_is_of_and_others_keep_it():
    wide, narrow = Grid(0.1, 3), (-0.2, 0.3)
    mean = POOL.quantize(Pool("average", 20, 20, 20, 2), wide, Request(8, False, narrow, ()))
    assert mean.output.scale == np.nextafter(np.float32(2 * 0.1 / 20), np.float32(1))
    assert POOL.quantize(Pool("max", 20, 20, 20, 2), wide, Request(8, False, narrow, ())).output == wide
    assert POOL.quantize(Pool("average", 4, 2, 20, 2), wide, Request(8, False, (-9, 90), ())).output == wide


@pytest.mark.parametrize("steps", [3, 7, 60, 125, 399])
@pytest.mark.parametrize("scale", [0.0078, 0.031, 0.1, 1.7])
def test_a_mean_that_hardly_varies_is_one_that_kernels_run(steps, scale):
    source = Grid(float(np.float32(scale)), -128)
    mean = POOL.quantize(
        Pool("average", steps, steps, steps, 2), source, Request(8, False, (0.0, scale / steps), ())
    )
    assert [*POOL.faults(mean, source)] == []
    assert mean.output.scale == pytest.approx(2 * scale / steps, rel=1e-6)


def preparation_of(inputs):
    names = tuple(f"s{i}" for i in range(inputs))
    return Preparation(names, ("g",) * inputs, {}, (0.1,) * inputs, (1.3,) * inputs, tuple(range(inputs)))


def written(folder, made, rows=12, target=""):
    """Writes a device's firmware; returns raw samples."""
    inputs = (made.layers if isinstance(made, QuantizedNetwork) else made)[0].inputs
    raw = np.random.default_rng(5).normal(size=(rows, inputs)) * 1.5
    learns = head.header(made) if isinstance(made, QuantizedNetwork) else None
    texts = codegen.files("pump", made, preparation_of(inputs), 0.5, raw, learns, target=target)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return raw


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["cortex-m0", "cortex-m4", "rv32imc", "zig"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_firmware_gives_the_bits_of_the_integer_model(kind, where, tmp_path):
    for form in ("uint8", "int4", "float io"):
        made, _ = deployed(kind, 4 if form == "uint8" else 1, form)
        raw = written(tmp_path, made)
        found = replay.score(tmp_path, made, raw, CORES.get(where, where))
        assert found.scores.tolist() == integer.firmware_scores(made, found.inputs).tolist()


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["cortex-m0", "zig"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_of_a_cortex_m0_give_the_same_bits(kind, where, tmp_path):
    made, _ = deployed(kind, 4, "uint8")
    raw = written(tmp_path, made, target="cortex-m0")
    assert "#define FMA_PAIRS 1" in (tmp_path / "fma_model.h").read_text()
    found = replay.score(tmp_path, made, raw, CORES.get(where, where))
    assert found.scores.tolist() == integer.firmware_scores(made, found.inputs).tolist()


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["cortex-m0", "zig"])
def test_the_largest_weights_and_inputs_of_a_convolution_give_the_same_bits(where, tmp_path):
    """Sums of two products reach 2 * 127 * 128, which is just what 16 bits hold."""
    signs = np.random.default_rng(0).choice([-127, 127], (12, 1, 5)).astype(np.int8)
    signs[:, 0, :2] = 127, -127
    grids = Grid(0.1, 0), Grid(30.0, 3), Grid(0.2, 0)
    layer = QuantizedConvolution(
        signs, np.float32([0.01] * 5), np.arange(5, dtype=np.int32), grids[1], 40, 3, False
    )
    last = QuantizedDense(
        np.full((50, 1), 127, np.int8), np.float32([0.0001]), np.zeros(1, np.int32), grids[2], False
    )
    made = QuantizedNetwork(grids[0], (layer, last), (), "int8")
    written(tmp_path, made, target="cortex-m0")
    random = np.random.default_rng(1)
    inputs = np.concatenate(
        [random.choice(np.array([-128, 127], np.int8), (6, 40)), np.full((1, 40), -128, np.int8)]
    )
    raw = preparation_of(40).raw((inputs * np.float32(0.1)).astype(np.float32))
    found = replay.score(tmp_path, made, raw, CORES.get(where, where))
    assert (found.inputs == inputs).all()
    assert found.scores.tolist() == integer.firmware_scores(made, inputs).tolist()
    assert len(np.unique(found.scores)) > 3


@pytest.mark.firmware
def test_a_cortex_m0_takes_at_most_three_and_a_half_instructions_a_product_of_convolutions(tmp_path):
    model = Model(kind="cnn", inputs=1024, channels=1)
    shape = Network(1024, model.hidden, 4, model.blocks, 1)
    random = np.random.default_rng(0)
    layers = float_layers(shape, initialize(shape, random).astype(np.float32))
    made = quantize(layers, random.normal(size=(8, 1024)).astype(np.float32))
    raw = written(tmp_path, made, 1, target="cortex-m0")
    products = sum(operator_of(layer).products(layer) for layer in layers)
    assert products == 171_840
    assert replay.score(tmp_path, made, raw, CORES["cortex-m0"]).cost.instructions <= 3.5 * products


@pytest.mark.firmware
@pytest.mark.parametrize("form", FORMATS)
def test_c_gives_the_bits_in_every_format(form):
    for kind in KINDS:
        made, inputs = deployed(kind, 1, form)
        assert native.scores(made, inputs).tolist() == integer.firmware_scores(made, inputs).tolist()


@pytest.mark.firmware
@pytest.mark.parametrize("kind", KINDS)
def test_the_stated_ram_is_what_the_linker_gives(kind, tmp_path):
    for outputs in (1, 4):
        made, _ = deployed(kind, outputs, "uint8")
        written(tmp_path, made)
        entry = "fma_scores" if outputs > 1 else "fma_score"
        elf = compile_firmware([tmp_path / "fma_infer.c"], CORES["cortex-m4"], tmp_path / "s.elf", entry)
        assert f"#define FMA_NETWORK_RAM {time_code.ram(made)} " in (tmp_path / "fma_model.h").read_text()
        stated = memory.buffers(preparation_of(made.layers[0].inputs), made)
        assert stated <= sizes(elf.read_bytes()).ram < stated + 16  # what aligning takes
        written(tmp_path, made, target="cortex-m0")
        elf = compile_firmware([tmp_path / "fma_infer.c"], CORES["cortex-m0"], tmp_path / "0.elf", entry)
        stated = memory.buffers(preparation_of(made.layers[0].inputs), made, pairs=True)
        assert stated <= sizes(elf.read_bytes()).ram < stated + 16


@pytest.mark.slow
@pytest.mark.firmware
def test_nothing_is_undefined_or_out_of_bounds(needs, tmp_path):
    needs("gcc")
    options = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-DFMA_HOSTED", "-O1"]
    options += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for kind in KINDS:
        for form in FORMATS:
            written(tmp_path, deployed(kind, 1, form)[0], target="cortex-m0" if form == "uint8" else "")
            command = [shutil.which("gcc"), *options, "main.c", "fma_infer.c", "-o", "check"]
            subprocess.run(command, cwd=tmp_path, check=True)  # noqa: S603
            done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=False)  # noqa: S603
            said = (done.returncode, done.stdout, done.stderr)
            assert said == (0, "0 of 12 golden vectors came out differently.\n", ""), (kind, form)


# Where units lie

packing = st.builds(
    lambda outputs, places, stride, steps: Stage(
        "FMA_DENSE", (), 0, 1, steps, outputs, places, stride, 0, packs=True
    ),
    *(st.integers(1, n) for n in (9, 12, 9, 5)),
)


@given(st.lists(packing, min_size=1, max_size=4))
def test_no_layer_writes_over_what_it_still_has_to_read(stages):
    found = time_code.plan(stages, (stages[0].places - 1) * stages[0].stride + 1)
    for stage, start, end in zip(stages, found.starts, found.starts[1:], strict=False):
        written = set()
        for place in range(stage.places):
            first = start + place * stage.stride
            # What a place sees of its own step is still there; padding behind it may be anything.
            assert not written & set(range(first, first + stage.stride))
            assert first + 4 * stage.steps <= found.units
            at = end + place * stage.outputs
            written |= set(range(at, at + -(-stage.outputs // 4) * 4))
        assert max(written) < found.units
    assert found.starts[-1] == 0


def test_one_buffer_is_no_larger_than_the_largest_layer_and_a_few_bytes():
    made, _ = deployed(
        "wide", 1, "uint8"
    )  # 120 inputs become 18 * 9 = 162 units, and later 7 * 9 become 7 * 12
    assert time_code.plan(time_code.stages_of(made, time_code.layout_of(made)), 120).units == 192


# Learning on the device


@pytest.mark.firmware
@pytest.mark.parametrize(("kind", "layers"), [("wide", 2), ("plain", 1), ("thin", 1)])
@pytest.mark.parametrize("where", ["cortex-m4", "zig"])
def test_the_last_dense_layers_learn(kind, layers, where, tmp_path):
    made, inputs = deployed(kind, 1, "uint8")
    halves = head.split(made)
    assert len(halves.head) == layers
    written(tmp_path, made)
    expected = integer.trunk(made, inputs[:20], len(halves.trunk))
    on = compiled.machine([tmp_path / "fma_infer.c"], [tmp_path], CORES.get(where, where), ["fma_trunk"])
    source, target = on.allocate(inputs.shape[1]), on.allocate(expected.shape[1])
    for row, outputs in zip(inputs, expected.tolist(), strict=False):
        on.write(source, row.tobytes())
        on.call("fma_trunk", source, target, count=False)
        assert np.frombuffer(on.read(target, len(outputs)), np.int8).tolist() == outputs


# What is refused, and what is kept


def test_convolutions_keep_8_bits():
    layers, x = network("wide")
    with pytest.raises(BundleError, match="Convolutions have weights of 8 bits, and 4 were asked for"):
        quantize(layers, x, bits=4)
    assert bits_of_int4(layers) == [8, 8, 8, 8, 8, 8, 4, 4]


def test_a_float_head_is_dense():
    layers, x = network("wide")
    with pytest.raises(BundleError, match="of which the network ends in 2; 3 were asked for"):
        quantize(layers, x, head=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 6, "stride": 1}, "takes 7 steps at a time with stride 1, which 6 steps have no room for"),
        ({"stride": 0}, "with stride 0"),
        ({"biases": np.zeros(3, np.float32)}, r"\(kernel, channels, filters\) and \(filters,\) are needed"),
    ],
)
def test_a_convolution_that_fits_nowhere_is_an_error(change, said):
    layers, _ = network("wide")
    with pytest.raises(BundleError, match=said):
        write([replace(layers[0], **change), *layers[1:]])


def test_activations_that_the_firmware_has_no_room_for_are_an_error():
    ones = np.ones((1, 1, 4), np.float32)
    steps = 20_000
    layers = [
        Convolution(ones, np.zeros(4, np.float32), steps, 1, True),
        Pool("average", steps, steps, steps, 4),
        Dense(np.ones((4, 1), np.float32), np.zeros(1, np.float32), False),
    ]
    made = quantize(layers, np.random.default_rng(0).normal(size=(3, steps)).astype(np.float32))
    with pytest.raises(BundleError, match="activations take 80000 bytes, and the firmware has room for 65535"):
        codegen.model_header("pump", made, preparation_of(steps), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_from_a_file(kind):
    layers, x = network(kind)
    tensors = {f"{i}.{name}": a for i, layer in enumerate(layers) for name, a in arrays(layer).items()}
    again = weights_file.layers(weights_file.metadata(layers), tensors.__getitem__)
    assert [type(layer) for layer in again] == [type(layer) for layer in layers]
    assert (integer.firmware_scores(again, x) == integer.firmware_scores(layers, x)).all()


def test_a_file_of_dense_layers_says_no_more_than_before():
    layer = Dense(np.ones((2, 1), np.float32), np.ones(1, np.float32), False)
    assert weights_file.metadata([layer]) == {"relu": "[false]"}

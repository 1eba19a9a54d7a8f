"""The inference code, on this machine and on emulated cores, beside TensorFlow Lite Micro."""

import itertools
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.dense.integer import firmware_multipliers
from fedmetaalign.operators.grid import Grid
from fedmetaalign.proof import replay
from fedmetaalign.tinyml import codegen, compiled, features, head, integer, native
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.network import Interface, QuantizedNetwork, check_quantized
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import run
from fedmetaalign.tinyml.toolchain import CORES, compile_firmware

pytestmark = pytest.mark.firmware

EMULATED = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc")


def preparation_of(inputs):
    """Features of many sizes; the last input is always the real 0 where there is more than one."""
    used = max(inputs - 1, 1)
    means, scales = np.linspace(-40, 50, used), np.geomspace(0.01, 300, used)
    columns = [*range(used), -1][:inputs]
    names = tuple(f"feature {i}" for i in range(used))
    return Preparation(names, ("V",) * used, {}, tuple(means), tuple(scales), tuple(columns))


def raw_of(preparation, rows, seed=0):
    """Samples of which some lie outside the calibrated range, and two far outside."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(rows, len(preparation.features))) * 1.3
    normal[-2:] = [[1e30], [-1e30]]
    return normal * np.array(preparation.scale) + np.array(preparation.mean)


def write(folder, network, inputs, rows, threshold=0.5, header=None, target=""):
    """Writes a device's firmware; returns its preparation and raw samples."""
    preparation = preparation_of(inputs)
    raw = raw_of(preparation, rows)
    for name, text in codegen.files(
        "pump", network, preparation, threshold, raw, header, target=target
    ).items():
        (folder / name).write_text(text)
    return preparation, raw


def check(folder, network, inputs, where, rows, target=""):
    """Makes sure that a machine does what Python and TensorFlow Lite Micro do; returns the scores."""
    preparation, raw = write(folder, network, inputs, rows, threshold=0.4, target=target)
    found = replay.score(folder, network, raw, where)
    expected = features.device_inputs(preparation, network, raw)
    assert found.inputs.tobytes() == expected.tobytes()
    assert found.outside.tolist() == features.outside(preparation, network, raw).tolist()
    assert found.scores.tolist() == integer.firmware_scores(network, expected).tolist()
    assert found.decisions.tolist() == (found.scores > 0.4).tolist()
    if compiled.installed("tflite_micro"):
        micro = run(network, expected[:-2], "tflm")
        real = not isinstance(network, QuantizedNetwork) or network.head
        np.testing.assert_allclose(found.scores[:-2], micro, rtol=0, atol=2e-6 if real else 0)
    return found.scores


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4"])
def test_every_format(core, kind, every_format, network, samples, tmp_path):
    deployed = every_format(network(1, (9, 24, 20, 7, 1)), samples(300))[kind]
    scores = check(tmp_path, deployed, 9, CORES[core], 100)
    assert len(np.unique(scores)) > 30


@pytest.mark.parametrize("where", [*EMULATED, "zig", "gcc", "clang"])
def test_every_machine(where, trained, tmp_path):
    if where == "clang" and shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    layers, x, _ = trained
    check(tmp_path, quantize(layers, x[:500]), 9, CORES.get(where, where), 50)


@pytest.mark.parametrize("widths", [(1, 1), (1, 1, 1), (2, 1, 3, 1), (5, 6, 7, 1), (13, 4, 1), (300, 270, 1)])
@pytest.mark.parametrize("where", ["cortex-m4", "cortex-m0", "zig"])
def test_odd_widths(widths, where, network, samples, tmp_path):
    x = samples(100, widths[0])
    layers, rows = network(2, widths), 10 if max(widths) > 100 else 40
    for i, options in enumerate(({}, {"bits": 4}, {"per_channel": True, "edges": "int8"})):
        folder = tmp_path / str(i)
        folder.mkdir()
        check(folder, quantize(layers, x, **options), widths[0], CORES.get(where, where), rows)


def integers(widths, seed=0, **changes):
    """A network of random integers.

    Args:
        widths: inputs, then outputs of each layer.
        seed: of the integers.
        changes: `multiplier` (of all layers but the last), `biases` (the largest), `zero_point` (of hidden
            layers), `weights` (all of this size, with random signs), `bits`, `relu`.
    """
    rng = np.random.default_rng(seed)
    bits, grid, layers = changes.get("bits", 8), Grid(2.0**-6, -3), []
    most = 127 if bits == 8 else 7
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        last = i == len(widths) - 1
        weights = rng.integers(-most, most + 1, (inputs, outputs))
        if "weights" in changes:
            weights = changes["weights"] * rng.choice([-1, 1], (inputs, outputs))
        multiplier = 1 / (3 * most * np.sqrt(inputs)) if last else changes.get("multiplier", 1 / (8 * most))
        scale = np.float32(2.0**-5 / most)
        biases = rng.integers(-changes.get("biases", 2000), changes.get("biases", 2000) + 1, outputs)
        output = Grid(float(np.float32(grid.scale * scale / multiplier)), changes.get("zero_point", -128))
        if last:  # the logit's scale has to be 1 at most
            scale = np.float32(multiplier / 16 / grid.scale)
            output = Grid(1 / 16, 7)
        relu = changes.get("relu", True) and not last
        layers.append(
            QuantizedDense(weights.astype(np.int8), scale[None], biases.astype(np.int32), output, relu, bits)
        )
        grid = output
    network = QuantizedNetwork(Grid(2.0**-6, -3), tuple(layers))
    check_quantized(network)
    return network


EXTREMES = {
    "largest biases": integers((20, 9, 6, 1), biases=2**30, multiplier=2.0**-23.3),
    "largest biases, shifted by 30 bits": integers((20, 9, 6, 1), biases=2**30, multiplier=2.0**-30.5),
    "largest biases, not shifted": integers((20, 9, 6, 1), biases=2**30, multiplier=0.7),
    "largest products": integers((256, 256, 9, 1), weights=127, multiplier=2.0**-14),
    "largest products of wide layers": integers((700, 515, 9, 1), weights=127, multiplier=2.0**-14),
    "largest products of 4 bits": integers((256, 261, 9, 1), weights=7, bits=4, multiplier=2.0**-10),
    "not shifted": integers((9, 8, 6, 1), multiplier=0.9, biases=50, relu=False),
    "shifted by 1": integers((9, 8, 6, 1), multiplier=0.3, biases=50, relu=False),
    "too small a multiplier": integers((9, 8, 6, 1), multiplier=2.0**-33),
    "zero points above -128": integers((9, 8, 6, 1), zero_point=-20),
    "zero points of 127": integers((9, 8, 6, 1), zero_point=127, relu=False),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("where", ["cortex-m4", "cortex-m0", "zig"])
def test_extreme_integers(name, where, tmp_path):
    network = EXTREMES[name]
    check(tmp_path, network, len(network.layers[0].weights), CORES.get(where, where), 40)


@pytest.mark.parametrize("name", [name for name in EXTREMES if "4 bits" not in name])
@pytest.mark.parametrize("where", ["cortex-m0", "zig"])
def test_extreme_integers_in_the_order_of_a_cortex_m0(name, where, tmp_path):
    network, core = EXTREMES[name], CORES.get(where, where)
    check(tmp_path, network, len(network.layers[0].weights), core, 20, target="cortex-m0")
    assert "#define FMA_PAIRS 1" in (tmp_path / "fma_model.h").read_text()


@pytest.mark.parametrize("kind", ["uint8", "float32", "int4"])
def test_only_8_bits_for_a_cortex_m0_have_its_order(kind, every_format, network, samples):
    made = every_format(network(1, (9, 8, 6, 1)), samples(50))[kind]
    assert codegen.has_pairs(made, "cortex-m0") == (kind == "uint8")
    assert not codegen.has_pairs(made, "cortex-m4")


@pytest.mark.parametrize("compiler", ["zig", "gcc"])
def test_a_cortex_m0_takes_at_most_three_and_a_half_instructions_a_product(
    compiler, network, samples, needs, tmp_path
):
    if compiler == "gcc":
        needs("arm-none-eabi-gcc")
    made = quantize(network(1, (9, 256, 128, 64, 32, 16, 12, 8, 1)), samples(300))
    preparation, raw = write(tmp_path, made, 9, 3, target="cortex-m0")
    core, out = CORES["cortex-m0"], tmp_path / "s.elf"
    elf = compile_firmware([tmp_path / "fma_infer.c"], core, out, "fma_score", compiler=compiler)
    emulator = Emulator(elf.read_bytes(), core)
    address = emulator.allocate(9)
    for row in features.device_inputs(preparation, made, raw):
        emulator.write(address, row.tobytes())
        call = emulator.call("fma_score", address)
        assert call.result == integer.firmware_scores(made, row[np.newaxis])[0] * 256
        assert call.instructions <= 3.5 * 46_120 * (1 if compiler == "zig" else 1.1)
    assert sizes(elf.read_bytes()).ram == 1792  # 256 units, and 24 bytes for each four of them


def test_extreme_integers_are_extreme():
    shifts = {
        name: [
            int(firmware_multipliers(source.scale, layer)[1][0])
            for source, layer in zip(
                [network.input, *(n.output for n in network.layers)], network.layers, strict=False
            )
        ]
        for name, network in EXTREMES.items()
    }
    assert shifts["not shifted"][:2] == [0, 0]
    assert shifts["shifted by 1"][:2] == [1, 1]
    assert shifts["largest biases, shifted by 30 bits"][:2] == [30, 30]
    none = EXTREMES["too small a multiplier"]
    assert firmware_multipliers(none.input.scale, none.layers[0])[0].tolist() == [0]


def test_more_products_than_one_sum_can_hold_fit_into_its_parts():
    # 512 products of 127 * 127 are 1.97 * 2^22, which times 256 overflows an int32.
    weights = np.full((512, 4), 127, np.int8)
    first = QuantizedDense(weights, np.float32([2.0**-8]), np.zeros(4, np.int32), Grid(2.0**8, -128), True)
    last = QuantizedDense(
        np.int8([[1], [0], [0], [0]]), np.float32([2.0**-13]), np.int32([0]), Grid(0.25, 0), False
    )
    network = QuantizedNetwork(Grid(1.0, 0), (first, last), edges="int8")
    check_quantized(network)
    x = np.full((1, 512), 127, np.int8)
    # 512 * 127 * 127 / 2^16 = 126, and 126 * 2^-5 / 0.25 = 15.75 steps: a logit of 4.
    expected = integer.scores(network, x)
    assert expected.tolist() == [round(256 / (1 + np.exp(-4))) / 256]
    assert native.scores(network, x).tolist() == expected.tolist()


@pytest.mark.parametrize("where", ["cortex-m4", "zig"])
@pytest.mark.parametrize("edges", ["uint8", "int8", "float32"])
def test_decisions_at_every_score(where, edges, tmp_path):
    scores = (np.arange(256) if edges != "int8" else np.arange(-128, 128)).astype(edges)
    real = np.arange(256) / 256
    if edges == "float32":
        scores = real.astype(np.float32)
    layer = QuantizedDense(np.int8([[1]]), np.float32([0.01]), np.int32([0]), Grid(0.1, 0), relu=False)
    network = QuantizedNetwork(Grid(0.5, 5), (layer,), edges=edges)
    harness = '#include "fma_infer.h"\nint fault(const fma_score_t *s);\n'
    harness += "int fault(const fma_score_t *s) { return fma_fault(*s); }\n"
    (tmp_path / "harness.c").write_text(harness)
    sources = [tmp_path / "harness.c", tmp_path / "fma_infer.c"]
    few, more = (-1.0, 0.5, 1.0), (0.0, 0.3, np.nextafter(0.5, 0), 255 / 256, 1e9)
    for threshold in few if where in CORES else few + more:  # an emulated core takes its time
        write(tmp_path, network, 1, 3, threshold)
        on = compiled.machine(sources, [tmp_path], CORES.get(where, where), ["fault"])
        address = on.allocate(scores.nbytes)
        on.write(address, scores.tobytes())
        steps = range(0, scores.nbytes, scores.itemsize)
        found = [on.call("fault", address + step, count=False).result for step in steps]
        assert found == (real > threshold).astype(int).tolist()


def test_a_feature_that_is_no_number_is_broken_and_becomes_the_real_0(tmp_path):
    layer = QuantizedDense(np.ones((3, 1), np.int8), np.float32([0.01]), np.int32([0]), Grid(0.1, 0), False)
    network = QuantizedNetwork(Grid(0.5, 5), (layer,), edges="int8")
    write(tmp_path, network, 3, 3)
    on = compiled.host([tmp_path / "fma_infer.c"], [tmp_path], "zig")
    raw, inputs = on.allocate(8), on.allocate(3)
    on.write(raw, np.float32([np.nan, 50.0]).tobytes())
    assert on.call("fma_prepare", raw, inputs).result == -1
    assert np.frombuffer(on.read(inputs, 3), np.int8).tolist() == [5, 5, 5]


# Golden vectors


def replayed(folder, where):
    """What main returns: how many golden vectors differ."""
    sources = [folder / "main.c", folder / "fma_infer.c"]
    return compiled.machine(sources, [folder], CORES.get(where, where), ["main"]).call("main").result


@pytest.mark.parametrize("where", ["cortex-m4", "zig"])
def test_main_counts_the_golden_vectors_that_differ(where, every_format, network, samples, tmp_path):
    formats = every_format(network(1, (9, 12, 10, 1)), samples(50))
    for kind in ("float head, int8", "float32", "uint8"):
        write(tmp_path, formats[kind], 9, 300)
        assert replayed(tmp_path, where) == 0
    # Nearly all scores of a network with another bias differ, and the status stays below 256.
    last = formats["uint8"].layers[-1]
    other = replace(last, biases=last.biases + 30_000)
    other = replace(formats["uint8"], layers=(*formats["uint8"].layers[:-1], other))
    model = tmp_path / "fma_model.h"
    model.write_text(codegen.model_header("pump", other, preparation_of(9), 0.5))
    assert 200 < replayed(tmp_path, where) <= 255
    # With another threshold a few decisions differ.
    model.write_text(codegen.model_header("pump", formats["uint8"], preparation_of(9), 0.52))
    assert 0 < replayed(tmp_path, where) < 100


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_nothing_is_undefined_or_out_of_bounds(every_format, network, samples, tmp_path):
    networks = {**every_format(network(1, (9, 12, 10, 1)), samples(50)), **EXTREMES}
    for name, deployed in networks.items():
        write(tmp_path, deployed, Interface.of(deployed).inputs, 20)
        options = [
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-pedantic",
            "-Werror",
            "-DFMA_HOSTED",
            "-O1",
        ]
        options += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        subprocess.run(  # noqa: S603
            ["gcc", *options, "main.c", "fma_infer.c", "-o", "check"],  # noqa: S607
            cwd=tmp_path,
            check=True,
        )
        done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=False)  # noqa: S603
        expected = (0, "0 of 20 golden vectors came out differently.\n", "")
        assert (done.returncode, done.stdout, done.stderr) == expected, name


# Learning on the device


@pytest.mark.parametrize("where", ["cortex-m0", "cortex-m4", "zig"])
def test_the_trunk_gives_what_the_head_learns_from(where, network, samples, low_rank, tmp_path):
    x = samples(100)
    whole = network(1, (9, 20, 14, 7, 1))
    for layers in (whole, low_rank(whole, 1, 5)):
        deployed = quantize(layers, x)
        halves = head.split(deployed)
        write(tmp_path, deployed, 9, 3, header=head.header(deployed))
        inputs = (x * 40 + 100).astype(np.uint8)
        expected = integer.trunk(deployed, inputs, len(halves.trunk))
        on = compiled.machine([tmp_path / "fma_infer.c"], [tmp_path], CORES.get(where, where), ["fma_trunk"])
        source, target = on.allocate(9), on.allocate(14)
        for row, outputs in zip(inputs, expected.tolist(), strict=True):
            on.write(source, row.tobytes())
            on.call("fma_trunk", source, target, count=False)
            assert np.frombuffer(on.read(target, 14), np.int8).tolist() == outputs


# What it costs


def cost(folder, network, compiler):
    """Instructions of an inference, code bytes of fma_score, and RAM with the stack, on a Cortex-M4."""
    preparation, raw = write(folder, network, 9, 10)
    core = CORES["cortex-m4"]
    elf = compile_firmware([folder / "fma_infer.c"], core, folder / "s.elf", "fma_score", compiler=compiler)
    emulator = Emulator(elf.read_bytes(), core)
    address = emulator.allocate(9)
    calls = []
    for row in features.device_inputs(preparation, network, raw):
        emulator.write(address, row.tobytes())
        calls.append(emulator.call("fma_score", address))
    measured = sizes(elf.read_bytes())
    stack = max(call.stack for call in calls)
    return max(call.instructions for call in calls), measured.code, measured.ram + stack


@pytest.mark.parametrize("compiler", ["zig", "gcc"])
def test_an_inference_is_quick_and_small(compiler, network, samples, low_rank, tmp_path):
    if compiler == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    layers, x = network(0), samples(200)
    instructions, code, ram = cost(tmp_path, quantize(layers, x), compiler)
    assert (instructions <= 62_000, code <= 600, ram <= 1_000) == (True, True, True)
    factors = low_rank(low_rank(layers, 2, 24), 1, 16)
    instructions, code, ram = cost(tmp_path, quantize(factors, x), compiler)
    assert (instructions <= 35_000, code <= 600, ram <= 1_000) == (True, True, True)


def test_the_whole_image_of_the_low_rank_model_is_below_the_papers_figure(network, samples, low_rank, tmp_path):
    deployed = quantize(low_rank(low_rank(network(0), 2, 24), 1, 16), samples(200))
    write(tmp_path, deployed, 9, 10)
    core = CORES["cortex-m4"]
    elf = compile_firmware([tmp_path / "fma_infer.c"], core, tmp_path / "c.elf", "fma_classify")
    assert sizes(elf.read_bytes()).flash < 22_790


def test_a_float_network_takes_no_integer_code(tmp_path):
    layers = [Dense(np.ones((9, 1), np.float32), np.zeros(1, np.float32), relu=False)]
    write(tmp_path, layers, 9, 3)
    elf = compile_firmware([tmp_path / "fma_infer.c"], CORES["cortex-m4"], tmp_path / "f.elf", "fma_score")
    assert "fma_units" not in sizes(elf.read_bytes()).symbols

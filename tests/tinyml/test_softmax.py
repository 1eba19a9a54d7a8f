"""SOFTMAX of int8 logits: the two families beside the runtimes, and the firmware's C beside both."""

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.tinyml import compiled, gemmlowp
from fedmetaalign.tinyml.network import SCORE, Grid
from fedmetaalign.tinyml.softmax import SCALES, fixed_point, parameters, tabulated
from fedmetaalign.tinyml.tflite import _Graph
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE

RUNTIMES = {
    "BUILTIN_REF": fixed_point,
    "BUILTIN_WITHOUT_DEFAULT_DELEGATES": tabulated,
    "BUILTIN": tabulated,
    "tflm": fixed_point,
}
SIZES = (2, 3, 5, 12, 33, 64)
GRIDS = (*SCALES, 2.0**-8, 0.011, 0.05, 0.1, 0.37, 0.5, 1.0, 3.3)


def single(classes, scale):
    """A `.tflite` file of one SOFTMAX."""
    graph = _Graph()
    graph.inputs = [graph.activation(np.int8, classes, Grid(scale, -7), "logits")]
    graph.outputs = [graph.activation(np.int8, classes, SCORE, "scores")]
    options = graph._schema.SoftmaxOptionsT(beta=1.0)
    graph.operator("SOFTMAX", 2, graph.inputs, graph.outputs[0], options)
    return graph.pack()


def litert(model, logits, resolver):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType[resolver])
    interpreter.resize_tensor_input(0, logits.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, logits)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(int) + 128


def tflm(model, logits):
    micro = pytest.importorskip("tflite_micro").runtime
    interpreter = micro.Interpreter.from_bytes(model, arena_size=1 << 16)
    rows = []
    for row in logits:
        interpreter.set_input(row[np.newaxis], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0].astype(int) + 128)
    return np.array(rows)


def logits_of(classes, scale, rows, seed=0):
    """Logits all over int8, and as many near to each other, where no probability is 0."""
    rng = np.random.default_rng(seed)
    near = np.clip(rng.normal(0, 2 / scale, (rows, classes)), -128, 127)
    return np.concatenate([rng.integers(-128, 128, (rows, classes)), near]).astype(np.int8)


def every_difference(classes):
    """Rows in which one class is ahead of the others by 0 to 255."""
    rows = np.full((256, classes), -128)
    rows[:, -1] += np.arange(256)
    return rows.astype(np.int8)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("classes", SIZES)
def test_every_runtime_gives_its_family_s_bits(runtime, classes):
    rows = 60 if runtime == "tflm" else 1000
    for scale in map(float, np.float32(GRIDS)):
        logits = np.concatenate([logits_of(classes, scale, rows), every_difference(classes)])
        model = single(classes, scale)
        found = tflm(model, logits) if runtime == "tflm" else litert(model, logits, runtime)
        assert (found == RUNTIMES[runtime](logits, scale)).all(), scale


def test_all_pairs_of_two_classes_and_random_grids():
    pairs = np.array([*itertools.product(range(-128, 128), repeat=2)], np.int8)
    for scale in np.float32(2 ** np.random.default_rng(1).uniform(-9, 2, 20)).tolist():
        model = single(2, scale)
        for resolver in ("BUILTIN_REF", "BUILTIN"):
            assert (litert(model, pairs, resolver) == RUNTIMES[resolver](pairs, scale)).all()


def test_three_classes_worked_out_by_hand():
    # exp of 0, -1 and -2 is 1, .3679 and .1353, of 1.5032: 170.30, 62.65 and 23.05 of 256.
    logits = np.int8([[30, 10, -10], [-128, -128, -128], [127, -128, -128]])
    expected = [[170, 63, 23], [85, 85, 85], [255, 0, 0]]
    for way in (fixed_point, tabulated):
        assert way(logits, float(np.float32(0.05))).tolist() == expected


def test_the_families_differ_by_one_now_and_then():
    logits = logits_of(12, 1 / 16, 20_000)
    one, other = fixed_point(logits, 1 / 16).astype(int), tabulated(logits, 1 / 16).astype(int)
    assert np.abs(one - other).max() == 1
    assert 0 < (one != other).mean() < 1e-4


def test_parameters_worked_out_by_hand():
    # 1/16 * 2**26 = 2**22 is 1/2 * 2**23; the largest number, 31 * 2**26, then allows 248 steps.
    made = parameters(1 / 16)
    assert (made.multiplier, made.shift, made.lowest) == (2**30, 23, -248)
    assert parameters(2.0**-20) == type(made)(2**30, 7, -(31 << 19))
    assert parameters(16.0).lowest == 0  # whatever is below the greatest is left out


@given(st.lists(st.integers(-128, 127), min_size=2, max_size=64), st.floats(2**-12, 4, width=32))
def test_close_to_real_numbers_and_in_order(row, scale):
    logits = np.int8([row])
    powers = np.exp((np.array(row) - max(row)) * scale)
    for way in (fixed_point, tabulated):
        q = way(logits, scale)[0].astype(float)
        np.testing.assert_allclose(q, np.minimum(256 * powers / powers.sum(), 255), rtol=0, atol=0.51)
        assert (np.diff(q[np.argsort(row, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_exponential_is_accurate(integer_bits):
    x = -np.unique(np.geomspace(1, 2**31 - 1, 10_000).astype(np.int64))
    reals = np.exp(x / 2.0 ** (31 - integer_bits)) * 2**31
    np.testing.assert_allclose(gemmlowp.exponential(x, integer_bits), reals, rtol=0, atol=700)
    assert gemmlowp.exponential(np.array([0]), integer_bits) == 2**31 - 1


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["zig", "gcc", "cortex-m0", "cortex-m4"])
def test_firmware_has_the_same_bits(where):
    source = Path(__file__).with_name("softmax.c")
    machine = compiled.machine([source], [FIRMWARE], CORES.get(where, where), ["softmax_rows"])
    rows, step = (6, 20) if where in CORES else (2000, 1)
    how, shape, logits_, scores = (machine.allocate(n) for n in (12, 8, 64 * 5000 // step, 64 * 5000 // step))
    for classes, scale in itertools.product(SIZES, map(float, np.float32(GRIDS))):
        logits = np.concatenate([logits_of(classes, scale, rows), every_difference(classes)[::step]])
        p = parameters(scale)
        machine.write(how, struct.pack("<3i", p.multiplier, p.shift, p.lowest))
        machine.write(shape, struct.pack("<2i", *logits.shape))
        machine.write(logits_, logits.tobytes())
        machine.call("softmax_rows", how, shape, logits_, scores, count=False)
        assert machine.read(scores, logits.size) == fixed_point(logits, scale).tobytes()

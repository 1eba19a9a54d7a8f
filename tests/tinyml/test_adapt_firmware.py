"""Phase 3 in C, on this machine and on emulated microcontrollers, against phase 3 in Python."""

import shutil
import struct
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from on_device import FUNCTIONS, HARNESS, RATE, Learner, adam64, place

from fedmetaalign.evaluation.thresholds import best_f1
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import Samples, train
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import adapt, codegen, compiled, integer
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.features import device_inputs
from fedmetaalign.tinyml.head import head_header, origin, split
from fedmetaalign.tinyml.network import flat_weights
from fedmetaalign.tinyml.quantize import quantize, quantize_input
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.tflite_reader import read as read_model
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE, compile_firmware

pytestmark = pytest.mark.firmware

PAPER = (32, 16, 12, 8, 1)
GRID = Grid(float(np.float32(0.013)), -128)
WHOLE = Path(__file__).with_name("adapt_whole.c")


def make_head(widths=PAPER, seed=0):
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(widths))
    return tuple(
        Dense(
            rng.normal(0, np.sqrt(2 / i), (i, o)).astype(np.float32),
            rng.normal(0, 0.1, o).astype(np.float32),
            relu=n < len(pairs),
        )
        for n, (i, o) in enumerate(pairs, 1)
    )


def samples(rows, inputs=32, seed=1):
    """Trunk outputs that are 0 for half of the units, as after a ReLU, and noisy labels: int8 and uint8."""
    rng = np.random.default_rng(seed)
    trunk = np.clip(rng.normal(-128, 60, (rows, inputs)), -128, 127).astype(np.int8)
    trunk[:, 3] = -128  # a unit that never speaks
    direction = rng.normal(size=inputs)
    signal = (trunk + 128.0) @ direction
    return trunk, (signal + rng.normal(0, 60, rows) > np.median(signal)).astype(np.uint8)


def reals(trunk):
    return (trunk.astype(np.float32) + 128) * np.float32(GRID.scale)


class InOrder:
    """Takes the place of the random order of samples."""

    def permutation(self, rows):
        return np.arange(rows)


def phase3(head, trunk, labels, rate=RATE):
    """Phase 3 of the Python package on the head as a network of its own."""
    widths = [len(layer.biases) for layer in head[:-1]]
    network = Network(len(head[0].weights), tuple(widths))
    return train(
        network,
        flat_weights(head),
        Samples(reals(trunk), labels.astype(np.float32)),
        learning_rate=rate,
        epochs=1,
        random=InOrder(),
    ).weights


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles a head's firmware, for a core or for this machine."""

    def make(head=None, core=None, compiler="zig", grid=GRID):
        folder = tmp_path_factory.mktemp("adapt")
        (folder / "fma_head.h").write_text(head_header(head or make_head(), grid, 4))
        include = [FIRMWARE, folder]
        if core is None:
            return compiled.host([HARNESS], include, compiler)
        entry, *keep = FUNCTIONS
        out, options = folder / "adapt.elf", {"include": include, "compiler": compiler}
        elf = compile_firmware([HARNESS], CORES[core], out, entry, keep=keep, **options)
        return Emulator(elf.read_bytes(), CORES[core])

    return make


@pytest.fixture(scope="module")
def host(build):
    return build()


@pytest.fixture(scope="module")
def learned(host):
    """The paper's head after 1,000 steps on this machine, and the scores met on the way."""
    learner = Learner(host)
    return learner, learner.learn(*samples(1000))


# Learning


def test_a_first_step_moves_each_weight_by_the_learning_rate_against_its_gradient(build):
    # Head 2-1 with weights 0.5 and -1, bias 0.25; inputs 3 * 0.5 and 0: z = 1, so that sigmoid(z) - 1 < 0.
    head = (Dense(np.float32([[0.5], [-1.0]]), np.float32([0.25]), relu=False),)
    learner = Learner(build(head, grid=Grid(0.5, -3)), parameters=3)
    score = learner.learn(np.int8([[0, -3]]), np.uint8([1]))
    assert score[0] == pytest.approx(1 / (1 + np.exp(-1.0)), rel=1e-6)
    # The second input is 0 and so is its gradient; Adam's first step is the learning rate.
    assert learner.weights[:3] == pytest.approx([0.5 + RATE, -1.0, 0.25 + RATE], rel=1e-6)
    assert learner.weights[1] == -1.0


def test_a_thousand_steps_are_phase_3_of_the_python_package(learned):
    learner, _ = learned
    assert np.abs(learner.weights - phase3(make_head(), *samples(1000))).max() < 1e-4
    assert np.abs(learner.weights - flat_weights(make_head())).max() > 0.1  # they have learned


def test_a_thousand_steps_are_adam_in_float64(learned):
    learner, _ = learned
    assert np.abs(learner.weights - adam64(make_head(), reals(samples(1000)[0]), samples(1000)[1])).max() < 1e-4


@pytest.mark.slow
def test_ten_thousand_small_steps_are_phase_3_of_the_python_package(build):
    learner = Learner(build(), rate=1e-5)
    learner.learn(*samples(10_000))
    assert np.abs(learner.weights - phase3(make_head(), *samples(10_000), rate=1e-5)).max() < 1e-4


def test_a_layer_without_a_relu_passes_every_error_on(build):
    # As the first factor of a low-rank layer, whose outputs may be negative.
    widths = (8, 3, 6, 1)
    head = make_head(widths)
    head = (replace(head[0], relu=False), *head[1:])
    learner = Learner(build(head), parameters=len(flat_weights(head)))
    trunk, labels = samples(200, 8)
    learner.learn(trunk, labels)
    assert np.abs(learner.weights - adam64(head, reals(trunk), labels)).max() < 1e-5


def test_a_step_returns_the_score_before_it_and_learns_the_sample(host):
    learner = Learner(host)
    trunk, labels = samples(1)
    before = learner.score(trunk)
    assert learner.learn(trunk, labels) == before
    after = learner.score(trunk)
    assert (after > before) == bool(labels[0])


def test_the_weights_of_an_input_that_never_speaks_stay_bit_for_bit(learned):
    learner, _ = learned
    row = slice(3 * 16, 4 * 16)
    assert (learner.weights[row] == flat_weights(make_head())[row]).all()


# Every machine agrees


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_a_thousand_steps_are_the_same_bits_on_a_microcontroller(build, learned, core):
    learner, scores = learned
    chip = Learner(build(core=core))
    assert (chip.learn(*samples(1000)) == scores).all()
    assert chip.weights.tobytes() == learner.weights.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m3"])
def test_the_bits_are_the_same_without_a_floating_point_unit(build, host, core):
    learner, chip = Learner(host), Learner(build(core=core))
    trunk, labels = samples(100)
    assert (chip.learn(trunk, labels) == learner.learn(trunk, labels)).all()
    assert chip.save() == learner.save()


@pytest.mark.parametrize("core", [None, "cortex-m4"])
def test_the_bits_are_the_same_from_gcc(build, learned, core):
    if shutil.which("gcc" if core is None else "arm-none-eabi-gcc") is None:
        pytest.skip("this GCC is not installed")
    learner, _ = learned
    other = Learner(build(core=core, compiler="gcc"))
    other.learn(*samples(1000))
    assert other.weights.tobytes() == learner.weights.tobytes()


def test_the_square_root_in_integers_is_correctly_rounded(host):
    # It depends on the mantissa and on whether the exponent is even: here are all of them.
    every = np.arange(0x3F000000, 0x40000000, 7, dtype=np.uint32).view(np.float32)
    rng = np.random.default_rng(0)
    others = rng.integers(0, 0x7F800001, 100_000, dtype=np.uint32).view(np.float32)
    subnormal = np.arange(1000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([every, others, subnormal, np.float32([np.inf, 0])])
    address = place(host, values.tobytes())
    host.call("roots", address, len(values))
    got = np.frombuffer(host.read(address, values.nbytes), np.uint32)
    assert (got == np.sqrt(values).view(np.uint32)).all()


# The threshold


def chosen(host, scores, labels, fallback=0.5):
    learner = Learner(host, fallback=fallback)
    learner.record(scores, labels)
    return learner.choose()


@pytest.mark.parametrize("levels", [3, 20, 2**24])
def test_the_threshold_is_that_of_best_f1(host, levels):
    rng = np.random.default_rng(levels)
    for _ in range(100):
        rows = int(rng.integers(30, 129))
        labels = (rng.random(rows) < rng.uniform(0.2, 0.8)).astype(np.uint8)
        scores = (np.round(np.clip(rng.normal(labels * 0.3 + 0.3, 0.3), 0, 1) * levels) / levels).astype(
            np.float32
        )
        expected = best_f1(labels.astype(np.int8), scores)
        assert chosen(host, scores, labels) == np.float32(expected.threshold), (scores, labels)


def test_scores_next_to_each_other_and_at_the_ends_are_distinguished(host):
    labels = np.uint8([0] * 15 + [1] * 15)
    near = np.float32(0.7)
    for low, high in (
        (near, np.nextafter(near, np.float32(1))),
        (0.0, 1.0),
        (0.0, 1e-45),
        (0.2, 0.2),
        (0.0, 0.0),
    ):
        scores = np.float32([low] * 15 + [high] * 15)
        expected = best_f1(labels.astype(np.int8), scores).threshold
        assert chosen(host, scores, labels) == np.float32(expected)


@pytest.mark.parametrize(
    ("normals", "faults", "enough"),
    [(15, 15, True), (25, 5, True), (5, 25, True), (14, 15, False), (40, 4, False), (4, 40, False)],
)
def test_too_few_labelled_scores_keep_the_fallback(host, normals, faults, enough):
    labels = np.uint8([0] * normals + [1] * faults)
    scores = np.where(labels, 0.9, 0.1).astype(np.float32)
    assert (chosen(host, scores, labels, fallback=0.25) != 0.25) == enough
    assert (best_f1(labels.astype(np.int8), scores, fallback=0.25).threshold != 0.25) == enough


def test_the_ring_forgets_the_oldest(host):
    learner = Learner(host)
    labels = np.uint8([1] * 10 + [0] * 118)
    for expected in (10, 9, 8, 7):
        learner.record(np.linspace(0, 1, len(labels)), labels)
        learner.choose()
        state = adapt.read_state(learner.save())
        assert (state.normals, state.faults) == (128 - expected, expected)
        labels = np.uint8([0])


def test_of_equal_thresholds_equally_far_from_a_half_the_lower_one_wins(host):
    # F1 is 2/3 at 0.75 (10 of 20 faults, no false alarm) and at 0.25 (all of them, and 20 false alarms).
    scores = np.float32([1] * 10 + [0.5] * 30 + [0] * 5)
    labels = np.uint8([1] * 20 + [0] * 25)
    assert chosen(host, scores, labels) == chosen(host, scores[::-1], labels[::-1].copy()) == 0.25


def test_a_fault_lies_strictly_above_the_threshold(host):
    learner = Learner(host, fallback=0.375)
    above = np.nextafter(np.float32(0.375), np.float32(1))
    for score, fault in ((0.375, 0), (above, 1), (0.0, 0)):
        assert learner.call("fault", learner.state, learner.place(struct.pack("<f", score))) == fault


# Export


def test_what_is_exported_is_what_was_learned(learned):
    learner, _ = learned
    threshold = learner.choose()
    state = adapt.read_state(learner.save())
    _, labels = samples(1000)
    assert state.origin == origin(make_head(), GRID)
    assert (state.steps, state.threshold, state.sizes) == (1000, threshold, PAPER)
    assert (state.normals, state.faults) == (128 - labels[-128:].sum(), labels[-128:].sum())
    assert (state.weights == learner.weights).all()


def test_a_threshold_that_was_not_chosen_is_exported_as_such(host):
    state = adapt.read_state(Learner(host, fallback=0.125).save())
    assert (state.threshold, state.normals, state.faults, state.steps) == (0.125, 0, 0, 0)


def test_the_new_bundle_scores_as_the_device_bit_for_bit(build, network):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 9)).astype(np.float32)
    deployed = quantize(network(1, (9, 24, 16, 12, 8, 1)), x, edges="int8")
    halves = split(deployed)
    learner = Learner(build(halves.head, grid=halves.grid), parameters=len(flat_weights(halves.head)))
    inputs = quantize_input(deployed, x)
    trunk = integer.trunk(deployed, inputs, len(halves.trunk))
    learner.learn(trunk[:200], (x[:200, 0] > 0).astype(np.uint8))
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,) * 9)
    bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", write_model(deployed))
    new = adapt.adapted(bundle, adapt.read_state(learner.save()))
    scores = integer.firmware_scores(read_model(new.model), inputs)
    assert (learner.score(trunk) == scores).all()
    assert (scores != integer.firmware_scores(deployed, inputs)).any()


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0"])
@pytest.mark.parametrize("head", [0, 3])
def test_the_whole_firmware_of_a_bundle_learns(network, tmp_path, core, head):
    rng = np.random.default_rng(6)
    raw = rng.normal(5, 3, (20, 4))
    preparation = Preparation(tuple("abcd"), ("",) * 4, {}, (5.0,) * 4, (3.0,) * 4, (0, 1, 2, 3, -1))
    deployed = quantize(network(1, (5, 24, 16, 12, 8, 1)), preparation.apply(raw), head=head)
    halves = split(deployed)
    header = head_header(halves.head, halves.grid, len(halves.trunk))
    for name, text in codegen.files("pump", deployed, preparation, 0.5, raw, header).items():
        (tmp_path / name).write_text(text)
    sources = [WHOLE, tmp_path / "fma_infer.c", tmp_path / "fma_adapt.c"]
    chip = compiled.machine(sources, [tmp_path], CORES[core], ["whole"])
    labels = (raw[:, 0] > 5).astype(np.uint8)
    places = [place(chip, data) for data in (raw.astype(np.float32).tobytes(), labels.tobytes(), bytes(80))]
    chip.call("whole", *places, 20, count=False)
    trunk = integer.trunk(deployed, device_inputs(preparation, deployed, raw), len(halves.trunk))
    learner = Learner(compiled.host([HARNESS], [tmp_path], "zig"))
    assert chip.read(places[2], 80) == learner.learn(trunk, labels).tobytes()


@pytest.mark.parametrize("widths", [(5, 1), (7, 3, 1), (6, 5, 4, 1)])
def test_heads_of_any_shape_are_exported(build, widths):
    head = make_head(widths)
    learner = Learner(build(head), parameters=len(flat_weights(head)))
    state = adapt.read_state(learner.save())
    assert state.sizes == widths
    assert (state.weights == flat_weights(head)).all()


def test_a_device_goes_on_after_a_reset(learned, host):
    learner, _ = learned
    saved, (trunk, labels) = learner.save(), samples(20, seed=2)
    fresh = Learner(host)
    assert fresh.restore(saved) == 1
    assert fresh.save() == saved
    assert (fresh.score(trunk) == learner.score(trunk)).all()
    fresh.learn(trunk, labels)
    assert adapt.read_state(fresh.save()).steps == 1020


def test_damaged_or_foreign_bytes_are_not_restored(learned, host):
    learner, _ = learned
    saved, fresh = learner.save(), Learner(host)
    before = fresh.save()
    flipped = [saved[:i] + bytes([saved[i] ^ 1]) + saved[i + 1 :] for i in (0, 4, 8, 12, 1000, len(saved) - 1)]
    # What another device exported is sound, but has another name in its third word.
    foreign = saved[:8] + bytes(4) + saved[12:-4]
    foreign += struct.pack("<I", zlib.crc32(foreign))
    for damaged in (*flipped, foreign, saved[:-4], saved + b"\0\0\0\0", b""):
        assert fresh.restore(damaged) == 0
    assert fresh.save() == before


# What it takes


def test_a_step_takes_at_most_25000_instructions_and_11_kilobytes(build):
    # Every weight is positive, so that every unit passes its error on: the longest way.
    head = tuple(
        replace(layer, weights=np.abs(layer.weights) / 9, biases=layer.biases) for layer in make_head()
    )
    chip = build(head, core="cortex-m4")
    learner = Learner(chip)
    trunk, labels = samples(10)
    for row, label in zip(trunk, labels, strict=True):
        step = chip.call("step", learner.state, place(chip, row.tobytes()), int(label))
        assert 15_000 < step.instructions <= 25_000
        assert learner.size + step.stack <= 11 * 1024

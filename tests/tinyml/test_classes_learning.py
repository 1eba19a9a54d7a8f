"""Phase 3 in C for several classes, against Adam in float64, and back in a bundle."""

from itertools import pairwise

import numpy as np
import pytest
from on_device import FUNCTIONS, HARNESS, Learner, adam64

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml import adapt, compiled, decision, integer
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.head import header, split
from fedmetaalign.tinyml.network import flat_weights
from fedmetaalign.tinyml.quantize import quantize, quantize_input
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE

pytestmark = pytest.mark.firmware
LABELS = Target(("belt", "gear", "idle", "leak", "ok"), normal=(2, 4))
ROWS = 300


def device_in(folder, where):
    """The learner of a folder's `fma_head.h` on a machine."""
    return Learner(compiled.machine([HARNESS], [folder, FIRMWARE], where, FUNCTIONS))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A folder with `fma_head.h`; the network; its trunk's outputs for samples; and their classes."""
    rng = np.random.default_rng(0)
    widths, layers = (6, 20, 16, 12, 5), []
    for inputs, outputs in pairwise(widths):
        weights = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
        layers.append(Dense(weights, np.zeros(outputs, np.float32), relu=outputs != 5))
    x = rng.normal(size=(ROWS, 6)).astype(np.float32)
    y = np.argmax(x[:, :5] + rng.normal(0, 0.2, (ROWS, 5)), axis=1).astype(np.uint8)
    network = quantize(layers, x, edges="int8")
    folder = tmp_path_factory.mktemp("classes")
    (folder / "fma_head.h").write_text(header(network, LABELS))
    inputs = quantize_input(network, x)
    return folder, network, inputs, integer.trunk(network, inputs, len(split(network).trunk)), y


def test_learning_is_adam_on_the_cross_entropy(case):
    folder, network, _, trunk, labels = case
    halves, device = split(network), device_in(folder, "zig")
    device.learn(trunk, labels)
    reals = (trunk.astype(np.float64) - halves.grid.zero_point) * halves.grid.scale
    expected, start = adam64(halves.head, reals, labels), flat_weights(halves.head)
    learned = adapt.read_state(device.save()).weights
    assert np.abs(expected - start).max() > 0.05
    np.testing.assert_allclose(learned, expected, rtol=0, atol=2e-4)


def test_every_machine_learns_the_same(case):
    folder, _, _, trunk, labels = case
    devices = [device_in(folder, where) for where in ("zig", "gcc", CORES["cortex-m4"], CORES["cortex-m0"])]
    scores = [device.learn(trunk[:40], labels[:40]).tobytes() for device in devices]
    assert {*scores} == {scores[0]}
    states = [device.save() for device in devices]
    assert {*states} == {states[0]}


def test_what_was_learned_comes_back_as_a_bundle(case):
    folder, network, inputs, trunk, labels = case
    device = device_in(folder, "zig")
    for _ in range(10):
        device.learn(trunk, labels)
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,) * 6)
    bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", write(network), LABELS)
    new = adapt.adapted(bundle, adapt.read_state(device.save()))
    assert new.labels == LABELS
    before, after = (integer.firmware_scores(b.network, inputs) for b in (bundle, new))
    assert (after.argmax(axis=1) == labels).mean() > (before.argmax(axis=1) == labels).mean() + 0.2
    fault = np.maximum(decision.fault_probability(after, LABELS), 0)
    assert (device.score(trunk) == fault).all()
    scores, kinds = device.place(bytes(4 * 5 * ROWS)), device.place(bytes(ROWS))
    device.call("kinds", device.state, device.place(trunk.tobytes()), scores, kinds, ROWS)
    assert device.machine.read(scores, 4 * 5 * ROWS) == after.astype(np.float32).tobytes()
    assert [*device.machine.read(kinds, ROWS)] == decision.kinds(after, LABELS).tolist()


def test_the_threshold_is_chosen_by_faults(case):
    folder, _, _, trunk, labels = case
    device = device_in(folder, "zig")
    device.learn(trunk, labels)
    device.choose()
    state = adapt.read_state(device.save())
    recorded = LABELS.faults(labels[-128:])
    assert (state.normals, state.faults) == ((recorded == 0).sum(), recorded.sum())
    assert 0 < state.threshold < 1


def test_what_is_no_class_is_not_learned_from(case):
    folder, _, _, trunk, _ = case
    device = device_in(folder, "zig")
    before = device.save()
    assert (device.learn(trunk[:9], np.full(9, 5, np.uint8)) == device.score(trunk[:9])).all()
    assert device.save() == before

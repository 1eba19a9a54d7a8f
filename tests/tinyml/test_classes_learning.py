"""Phase 3 in C for several classes, against Adam in float64, and back in a bundle."""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

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
HARNESS = Path(__file__).with_name("adapt.c")
LABELS = Target(("belt", "gear", "idle", "leak", "ok"), normal=(2, 4))
RATE = 1e-3
ROWS = 300


class Device:
    """A machine with one `fma_adapt_t`."""

    def __init__(self, folder, where):
        functions = ("init", "state_size", "learn", "score", "choose", "save")
        self.machine = compiled.machine([HARNESS], [folder, FIRMWARE], where, functions)
        self.state = self.machine.allocate(self.call("state_size"))
        self.call("init", self.state, self.place(struct.pack("<2f", RATE, 0.5)))

    def call(self, function, *arguments):
        return self.machine.call(function, *arguments, count=False).result

    def place(self, data):
        address = self.machine.allocate(len(data))
        self.machine.write(address, data)
        return address

    def learn(self, trunk, labels):
        """Learns; returns the probabilities of a fault before each step."""
        out = self.place(bytes(4 * len(labels)))
        self.call(
            "learn", self.state, self.place(trunk.tobytes()), self.place(labels.tobytes()), out, len(labels)
        )
        return np.frombuffer(self.machine.read(out, 4 * len(labels)), "<f4")

    def score(self, trunk):
        out = self.place(bytes(4 * len(trunk)))
        self.call("score", self.state, self.place(trunk.tobytes()), out, len(trunk))
        return np.frombuffer(self.machine.read(out, 4 * len(trunk)), "<f4")

    def export(self):
        address = self.place(bytes(8192))
        return self.machine.read(address, self.call("save", self.state, address))


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


def adam64(head, reals, labels):
    """Adam in float64 on the cross-entropy of a softmax, written out; returns the flat weights."""
    layers = [np.vstack([layer.weights, layer.biases]).astype(np.float64) for layer in head]
    first, second = ([np.zeros_like(w) for w in layers] for _ in range(2))
    for t, (x, y) in enumerate(zip(reals, labels, strict=True), 1):
        inputs = []
        for w, layer in zip(layers, head, strict=True):
            inputs.append(np.append(x, 1.0))
            z = inputs[-1] @ w
            x = np.maximum(z, 0) if layer.relu else z
        error = softmax(z) - np.eye(5)[y]
        for n in reversed(range(len(layers))):
            gradient = np.outer(inputs[n], error)
            error = np.where(inputs[n] > 0, layers[n] @ error, 0)[:-1]
            first[n] = 0.9 * first[n] + 0.1 * gradient
            second[n] = 0.999 * second[n] + 0.001 * gradient**2
            layers[n] -= RATE / (1 - 0.9**t) * first[n] / (np.sqrt(second[n] / (1 - 0.999**t)) + 1e-8)
    return np.concatenate([w.ravel() for w in layers])


def test_learning_is_adam_on_the_cross_entropy(case):
    folder, network, _, trunk, labels = case
    halves, device = split(network), Device(folder, "zig")
    device.learn(trunk, labels)
    reals = (trunk.astype(np.float64) - halves.grid.zero_point) * halves.grid.scale
    expected, start = adam64(halves.head, reals, labels), flat_weights(halves.head)
    learned = adapt.read_state(device.export()).weights
    assert np.abs(expected - start).max() > 0.05
    np.testing.assert_allclose(learned, expected, rtol=0, atol=2e-4)


def test_every_machine_learns_the_same(case):
    folder, _, _, trunk, labels = case
    devices = [Device(folder, where) for where in ("zig", "gcc", CORES["cortex-m4"], CORES["cortex-m0"])]
    scores = [device.learn(trunk[:40], labels[:40]).tobytes() for device in devices]
    assert {*scores} == {scores[0]}
    states = [device.export() for device in devices]
    assert {*states} == {states[0]}


def test_what_was_learned_comes_back_as_a_bundle(case):
    folder, network, inputs, trunk, labels = case
    device = Device(folder, "zig")
    for _ in range(10):
        device.learn(trunk, labels)
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,) * 6)
    bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", write(network), LABELS)
    new = adapt.adapted(bundle, adapt.read_state(device.export()))
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
    device = Device(folder, "zig")
    device.learn(trunk, labels)
    device.call("choose", device.state, device.place(bytes(4)))
    state = adapt.read_state(device.export())
    recorded = LABELS.faults(labels[-128:])
    assert (state.normals, state.faults) == ((recorded == 0).sum(), recorded.sum())
    assert 0 < state.threshold < 1


def test_what_is_no_class_is_not_learned_from(case):
    folder, _, _, trunk, _ = case
    device = Device(folder, "zig")
    before = device.export()
    assert (device.learn(trunk[:9], np.full(9, 5, np.uint8)) == device.score(trunk[:9])).all()
    assert device.export() == before

"""One `fma_adapt_t` of the firmware on a machine, and Adam written out to compare what it learns."""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

from fedmetaalign.tinyml.compiled import Machine

HARNESS = Path(__file__).with_name("adapt.c")
FUNCTIONS = (
    *("init", "state_size", "step", "learn", "score", "record", "choose", "fault", "save", "restore", "roots"),
)
RATE = 1e-3


def place(on: Machine, data: bytes) -> int:
    """Returns the address of a copy."""
    address = on.allocate(len(data))
    on.write(address, data)
    return address


@dataclass
class Learner:
    """One `fma_adapt_t` on a machine."""

    machine: Machine
    parameters: int = 845
    fallback: float = 0.5
    rate: float = RATE

    def place(self, data: bytes) -> int:
        return place(self.machine, data)

    def call(self, function: str, *arguments: int) -> int:
        return self.machine.call(function, *arguments, count=False).result

    @cached_property
    def size(self) -> int:
        return self.call("state_size")

    @cached_property
    def state(self) -> int:
        state = self.place(bytes(self.size))
        self.call("init", state, self.place(struct.pack("<2f", self.rate, self.fallback)))
        return state

    @property
    def weights(self) -> np.ndarray:
        return np.frombuffer(self.machine.read(self.state, 12 * self.parameters), "<f4")[::3]

    def learn(self, trunk: np.ndarray, labels: np.ndarray) -> np.ndarray:
        x, y, scores = map(self.place, (trunk.tobytes(), labels.tobytes(), bytes(4 * len(labels))))
        self.call("learn", self.state, x, y, scores, len(labels))
        return np.frombuffer(self.machine.read(scores, 4 * len(labels)), "<f4")

    def score(self, trunk: np.ndarray) -> np.ndarray:
        scores = self.place(bytes(4 * len(trunk)))
        self.call("score", self.state, self.place(trunk.tobytes()), scores, len(trunk))
        return np.frombuffer(self.machine.read(scores, 4 * len(trunk)), "<f4")

    def record(self, scores: np.ndarray, labels: np.ndarray) -> None:
        places = (self.place(scores.astype("<f4").tobytes()), self.place(labels.tobytes()))
        self.call("record", self.state, *places, len(labels))

    def choose(self) -> np.float32:
        threshold = self.place(bytes(4))
        self.call("choose", self.state, threshold)
        return np.frombuffer(self.machine.read(threshold, 4), "<f4")[0]

    def save(self) -> bytes:
        address = self.place(bytes(8192))
        return self.machine.read(address, self.call("save", self.state, address))

    def restore(self, data: bytes, rate: float = RATE) -> int:
        places = self.place(data), len(data), self.place(struct.pack("<f", rate))
        return self.call("restore", self.state, *places)


def adam64(head, reals, labels, rate=RATE):
    """Adam in float64 (Kingma & Ba, 2015, Algorithm 1) on the cross-entropy; returns the flat weights."""
    layers = [np.vstack([layer.weights, layer.biases]).astype(np.float64) for layer in head]
    first, second = ([np.zeros_like(w) for w in layers] for _ in range(2))
    for t, (x, y) in enumerate(zip(reals.astype(np.float64), labels, strict=True), 1):
        inputs = []
        for w, layer in zip(layers, head, strict=True):
            inputs.append(np.append(x, 1.0))
            z = inputs[-1] @ w
            x = np.maximum(z, 0) if layer.relu else z
        error = expit(z) - y if len(z) == 1 else softmax(z) - np.eye(len(z))[y]
        for n in reversed(range(len(layers))):
            gradient = np.outer(inputs[n], error)
            passes = (inputs[n] > 0) | (not head[n - 1].relu)
            error = np.where(passes, layers[n] @ error, 0)[:-1]
            first[n] = 0.9 * first[n] + 0.1 * gradient
            second[n] = 0.999 * second[n] + 0.001 * gradient**2
            layers[n] -= rate / (1 - 0.9**t) * first[n] / (np.sqrt(second[n] / (1 - 0.999**t)) + 1e-8)
    return np.concatenate([w.ravel() for w in layers])

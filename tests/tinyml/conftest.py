"""Networks that the tests of this folder share."""

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from threadpoolctl import threadpool_limits

from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.grid import Bits
from fedmetaalign.tinyml import native
from fedmetaalign.tinyml.network import DeployedNetwork
from fedmetaalign.tinyml.quantize import quantize

Layers = list[Dense]

PAPER = (9, 256, 128, 64, 32, 16, 12, 8, 1)


def make_network(seed: int, widths: Sequence[int] = PAPER) -> Layers:
    """He-initialised layers whose logit has mean 0 and standard deviation 3 on normal inputs.

    Harder to quantise than a trained network: the last, narrow layers pass little signal on, and their rounding
    errors are scaled up with it.
    """
    rng = np.random.default_rng(seed)
    layers = [
        Dense(
            rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, fan_out)).astype(np.float32),
            rng.normal(0.0, 0.1, fan_out).astype(np.float32),
            relu=i < len(widths) - 1,
        )
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths), 1)
    ]
    logits = forward_logits(layers, rng.normal(size=(1000, widths[0])).astype(np.float32))
    weights, biases = layers[-1].weights, layers[-1].biases
    scale = 3.0 / max(float(logits.std(axis=0).mean()), 1e-3)
    biases = ((biases - logits.mean(axis=0)) * scale).astype(np.float32)
    layers[-1] = Dense(weights * np.float32(scale), biases, relu=False)
    return layers


def forward_logits(layers: Layers, x: np.ndarray) -> np.ndarray:
    """(rows,) float64 logits; of several classes (rows, classes)."""
    h = x.astype(np.float64)
    for layer in layers:
        h = h @ layer.weights + layer.biases
        h = np.maximum(h, 0.0) if layer.relu else h
    return np.asarray(h[:, 0] if h.shape[1] == 1 else h)


def forward(layers: Layers, x: np.ndarray) -> np.ndarray:
    """(rows,) float64 probabilities; of several classes (rows, classes)."""
    logits = forward_logits(layers, x)
    return np.asarray(expit(logits) if logits.ndim == 1 else softmax(logits, axis=1))


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """Skips a test where a program is not installed."""

    def check(program: str) -> None:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")

    return check


@pytest.fixture(scope="session")
def network() -> Callable[..., Layers]:
    return make_network


def factorized(layers: Layers, number: int, rank: int) -> Layers:
    """The network with one layer, counted from 0, as two of lower rank, the first without ReLU and biases."""
    whole = layers[number]
    u, s, v = np.linalg.svd(whole.weights, full_matrices=False)
    first = Dense((u[:, :rank] * s[:rank]).astype(np.float32), np.zeros(rank, np.float32), relu=False)
    second = Dense(v[:rank].astype(np.float32), whole.biases, whole.relu)
    return [*layers[:number], first, second, *layers[number + 1 :]]


def in_every_format(layers: Layers, x: np.ndarray) -> dict[str, DeployedNetwork]:
    """The network, of three layers or more, in all that a file may hold."""
    mixed: list[Bits] = [8, 4, *[8] * (len(layers) - 2)]
    low_rank = factorized(layers, 1, min(layers[1].weights.shape) // 2)
    return {
        "float32": layers,
        "uint8": quantize(layers, x),
        "int8": quantize(layers, x, edges="int8"),
        "float io": quantize(layers, x, edges="float32"),
        "uint8 per channel": quantize(layers, x, per_channel=True),
        "float head": quantize(layers, x, head=2),
        "float head per channel, float io": quantize(layers, x, per_channel=True, head=1, edges="float32"),
        "float head, int8": quantize(layers, x, head=1, edges="int8"),
        "int4": quantize(layers, x, bits=4),
        "int4, some": quantize(layers, x, bits=mixed),
        "int4, float head": quantize(layers, x, bits=mixed[:-1], head=1, edges="float32"),
        "low rank": quantize(low_rank, x),
        "low rank per channel": quantize(low_rank, x, per_channel=True, edges="int8"),
        "low rank int4": quantize(low_rank, x, bits=4),
        "low rank float32": low_rank,
    }


FORMATS = tuple(in_every_format(make_network(0, (3, 4, 2, 1)), np.eye(3, dtype=np.float32)))


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    """A format: a test that takes this runs once for each."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Keeps what C was compiled to for each network, not for the last eight alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "_library", cache(native._library.__wrapped__))
        yield


@pytest.fixture(scope="session")
def every_format() -> Callable[[Layers, np.ndarray], dict[str, DeployedNetwork]]:
    """Makes a network in every format, once for each network and samples."""
    made: dict[tuple[Any, ...], dict[str, DeployedNetwork]] = {}

    @wraps(in_every_format)
    def make(layers: Layers, x: np.ndarray) -> dict[str, DeployedNetwork]:
        arrays = [x, *(array for layer in layers for array in (layer.weights, layer.biases))]
        key = (*(array.shape for array in arrays), *(array.tobytes() for array in arrays))
        if key not in made:
            made[key] = in_every_format(layers, x)
        return made[key]

    return make


@pytest.fixture(scope="session")
def low_rank() -> Callable[[Layers, int, int], Layers]:
    return factorized


@pytest.fixture(scope="session")
def float_scores() -> Callable[[Layers, np.ndarray], np.ndarray]:
    return forward


@pytest.fixture(scope="session")
def trained() -> tuple[Layers, np.ndarray, np.ndarray]:
    """The paper's network trained to tell two classes apart; 2,000 rows seen and 1,000 not seen, with labels.

    Returns:
        Layers, x (3000, 9) float32, y (3000,).
    """
    from sklearn.neural_network import MLPClassifier

    x = np.random.default_rng(0).normal(size=(3000, 9)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3] / 2 > 0.3
    classifier = MLPClassifier(PAPER[1:-1], batch_size=64, max_iter=6, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that six epochs are few
        with threadpool_limits(1):  # more threads than this only wait for each other on matrices so small
            classifier.fit(x[:2000], y[:2000])
    layers = [
        Dense(w.astype(np.float32), b.astype(np.float32), relu=len(b) > 1)
        for w, b in zip(classifier.coefs_, classifier.intercepts_, strict=True)
    ]
    return layers, x, y


@pytest.fixture(scope="session")
def samples() -> Callable[..., np.ndarray]:
    def make(rows: int, inputs: int = 9, seed: int = 100) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def by_hand() -> tuple[Layers, np.ndarray]:
    """A 2-2-1 network and two calibration rows whose input, weight and hidden scales are all 0.01."""
    layers = [
        Dense(np.float32([[1.27, -0.5], [0.3, 0.63]]), np.float32([0.8815, -0.2]), relu=True),
        Dense(np.float32([[-1.27], [0.64]]), np.float32([0.05]), relu=False),
    ]
    return layers, np.float32([[-1.0, 1.55], [1.55, -1.0]])

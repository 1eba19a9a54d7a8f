"""Networks that the tests of this folder share."""

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest

Layers = list[tuple[np.ndarray, np.ndarray]]

PAPER = (9, 256, 128, 64, 32, 16, 12, 8, 1)


def make_network(seed: int, widths: Sequence[int] = PAPER) -> Layers:
    """He-initialised layers whose logit has mean 0 and standard deviation 3 on normal inputs.

    Harder to quantise than a trained network: the last, narrow layers pass little signal on, and their rounding
    errors are scaled up with it.
    """
    rng = np.random.default_rng(seed)
    layers = [
        (
            rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, fan_out)).astype(np.float32),
            rng.normal(0.0, 0.1, fan_out).astype(np.float32),
        )
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
    logits = forward_logits(layers, rng.normal(size=(1000, widths[0])).astype(np.float32))
    weights, biases = layers[-1]
    scale = 3.0 / max(float(logits.std()), 1e-3)
    layers[-1] = (weights * np.float32(scale), ((biases - logits.mean()) * scale).astype(np.float32))
    return layers


def forward_logits(layers: Layers, x: np.ndarray) -> np.ndarray:
    """(rows,) float64 logits."""
    h = x.astype(np.float64)
    for weights, biases in layers[:-1]:
        h = np.maximum(h @ weights + biases, 0.0)
    weights, biases = layers[-1]
    return np.asarray((h @ weights + biases)[:, 0])


def forward(layers: Layers, x: np.ndarray) -> np.ndarray:
    """(rows,) float64 probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-forward_logits(layers, x))))


@pytest.fixture(scope="session")
def network() -> Callable[..., Layers]:
    return make_network


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
        classifier.fit(x[:2000], y[:2000])
    pairs = zip(classifier.coefs_, classifier.intercepts_, strict=True)
    return [(w.astype(np.float32), b.astype(np.float32)) for w, b in pairs], x, y


@pytest.fixture
def samples() -> Callable[..., np.ndarray]:
    def make(rows: int, inputs: int = 9, seed: int = 100) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def by_hand() -> tuple[Layers, np.ndarray]:
    """A 2-2-1 network and two calibration rows whose input, weight and hidden scales are all 0.01."""
    layers = [
        (np.float32([[1.27, -0.5], [0.3, 0.63]]), np.float32([0.8815, -0.2])),
        (np.float32([[-1.27], [0.64]]), np.float32([0.05])),
    ]
    return layers, np.float32([[-1.0, 1.55], [1.55, -1.0]])

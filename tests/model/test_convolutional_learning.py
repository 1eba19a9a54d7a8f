"""What the default convolutional network learns of raw windows: pitch, bearings that knock, a real process."""

import csv

import numpy as np
import pytest

from fedmetaalign.model.mlp import initialize, logits
from fedmetaalign.model.online import Samples, train
from fedmetaalign.phases.layers import network_of
from fedmetaalign.recipe import Model

STEPS = 1024


def tones(rows, random):
    """Sines of 0.09 or 0.11 cycles a sample, give or take 0.005, in noise of twice their power."""
    y = random.integers(0, 2, rows)
    pitch = np.where(y, 0.11, 0.09) + random.uniform(-0.005, 0.005, rows)
    turns = pitch[:, None] * np.arange(STEPS) + random.random((rows, 1))
    return np.sin(2 * np.pi * turns) + random.standard_normal((rows, STEPS)), y


def bearings(rows, random):
    """Machines at 25 to 35 Hz, sampled at 12 kHz: faults strike 3.6 times a turn, and each rings at 3 kHz."""
    y, seconds = random.integers(0, 2, rows), np.arange(STEPS) / 12_000
    x = 0.5 * random.standard_normal((rows, STEPS))
    for row, fault in zip(x, y, strict=True):
        shaft = random.uniform(25, 35)
        for size, harmonic in ((0.5, 1), (0.3, 2)):
            row += size * np.sin(2 * np.pi * (harmonic * shaft * seconds + random.random()))
        at, period = random.random() / (3.6 * shaft) - 0.005, 1 / (3.6 * shaft)
        while fault and at < seconds[-1]:
            since = np.maximum(seconds - at, 0)
            row += random.uniform(0.7, 1.3) * np.exp(-900 * since) * np.sin(2 * np.pi * 3000 * since)
            at += period * (1 + 0.01 * random.standard_normal())
    return x, y


def wafer(real_data):
    """Runs of 152 points, of which 1 in 10 is abnormal."""
    with (real_data / "series" / "wafer_process.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    points = [name for name in rows[0] if name.startswith("t0") or name.startswith("t1")]
    x = np.array([[float(row[name]) for name in points] for row in rows])
    return x, np.array([row["label"] == "-1" for row in rows])


def judged(x, y, trained, epochs, seed=0):
    """Trains on the first rows, and returns accuracy and F1 on the others."""
    x = ((x - x[:trained].mean()) / x[:trained].std()).astype(np.float32)
    network = network_of(Model(kind="cnn", inputs=x.shape[1], channels=1), 1)
    samples = Samples(x[:trained], y[:trained].astype(np.float32))
    random = np.random.default_rng(seed)
    weights = initialize(network, random)
    weights = train(network, weights, samples, learning_rate=1e-3, epochs=epochs, random=random).weights
    found, true = logits(network, weights, x[trained:]) > 0, y[trained:] > 0
    return np.mean(found == true), 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("signals", "trained", "least"), [(tones, 300, 0.99), (bearings, 1000, 0.95)])
def test_it_tells_signals_apart_by_their_spectra(signals, trained, least, seed):
    x, y = signals(trained + 500, np.random.default_rng(1))
    accuracy, _ = judged(x, y, trained, epochs=10, seed=seed)
    assert accuracy >= least  # a half are faults


def test_it_finds_the_abnormal_runs_of_a_real_process(real_data):
    x, y = wafer(real_data)
    assert x.shape == (1000, 152)
    orders = [np.random.default_rng(seed).permutation(len(x)) for seed in range(3)]
    found = [judged(x[order], y[order], 700, epochs=20, seed=seed) for seed, order in enumerate(orders)]
    accuracy, f1 = np.mean(found, axis=0)
    assert accuracy >= 0.985
    assert f1 >= 0.93

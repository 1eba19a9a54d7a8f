"""A threshold between the device's and its fleet's."""

import numpy as np
import pytest
from scipy.special import logit

from fedmetaalign.evaluation.few_samples import shrunk_f1
from fedmetaalign.evaluation.fleet_threshold import BINS, WORTH, best_of_fleet, counted, drawn_to_fleet
from fedmetaalign.evaluation.thresholds import best_f1, f_beta


def drawn(y: np.ndarray, scores: np.ndarray, counts: np.ndarray):
    return drawn_to_fleet(y, scores, counts, np.random.default_rng(0))


def population(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores of the density 2 (1 - s), those of faults 2 s: F1 is greatest at (3 - 5^0.5) / 2."""
    y = np.repeat([0, 1], rows // 2).astype(np.int8)
    uniform = np.sqrt(random.random(len(y)))
    return y, np.where(y, uniform, 1 - uniform)


def test_scores_are_counted_by_label_and_part():
    y, scores = np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.4999, 1.0])
    counts = counted(y, scores)
    assert counts.shape == (2, BINS)
    assert (counts[0].nonzero()[0].tolist(), counts[1].nonzero()[0].tolist()) == ([0, 32], [31, 63])


def test_the_fleets_threshold_is_that_of_all_samples_to_a_part():
    y, scores = population(np.random.default_rng(1), 20_000)
    exact = best_f1(y, scores).threshold
    assert best_of_fleet(counted(y, scores)) == pytest.approx(exact, abs=1 / BINS)


def test_of_equal_edges_the_fleet_takes_the_one_nearest_to_a_half():
    assert best_of_fleet(counted(np.array([0, 1]), np.array([0.1, 0.9]))) == 0.5


def test_the_devices_own_counts_by_its_rarer_samples():
    # Its own best threshold is 0.25, of 30 faults and 60 normal samples; the fleet's is 0.75: halfway, 0.5.
    y = np.array([0] * 60 + [1] * 30, np.int8)
    scores = np.array([0.2] * 60 + [0.3] * 30)
    counts = counted(np.array([0, 1]), np.array([0.7499, 0.75]))
    assert (best_f1(y, scores).threshold, best_of_fleet(counts), WORTH) == (0.25, 0.75, 30)
    choice = drawn(y, scores, counts)
    assert choice.threshold == pytest.approx(0.5)
    assert choice.f1 == f_beta(y, scores, choice.threshold) == 0
    assert choice.interval is not None
    assert (choice.interval.low, choice.interval.high) == (choice.threshold, choice.threshold)
    more = drawn(np.tile(y, 9), np.tile(scores, 9), counts)
    assert logit(more.threshold) == pytest.approx(0.9 * logit(0.25) + 0.1 * logit(0.75))


def test_too_few_samples_have_the_fleets():
    y, scores = np.array([0] * 10 + [1] * 10, np.int8), np.array([0.2] * 10 + [0.3] * 10)
    choice = drawn(y, scores, counted(np.array([0, 1]), np.array([0.7499, 0.75])))
    assert (choice.threshold, choice.f1) == (0.75, 0)
    assert choice.reason == (
        "20 samples are too few to choose a threshold (30 needed): it is the fleet's, 0.750."
    )


def test_the_fleet_brings_a_small_device_nearer_to_the_best_threshold_than_it_comes_by_itself():
    best, others = (3 - 5**0.5) / 2, counted(*population(np.random.default_rng(7), 2_000))
    errors = []
    for seed in range(10):
        y, scores = population(np.random.default_rng([1, seed]), 60)
        random = np.random.default_rng(0)
        own = shrunk_f1(y, scores, random).threshold
        errors.append((abs(drawn(y, scores, others).threshold - best), abs(own - best)))
    fleet, alone = np.mean(errors, axis=0)
    assert fleet < 0.6 * alone

"""The threshold of the greatest F1 where it beats 0.5 beyond chance."""

import numpy as np
import pytest

from fedmetaalign.evaluation.few_samples import shrunk_f1
from fedmetaalign.evaluation.thresholds import best_f1, f_beta


def cases(normal: list[float], faults: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and scores."""
    return np.array([0] * len(normal) + [1] * len(faults), np.int8), np.array(normal + faults)


def shrunk(y: np.ndarray, scores: np.ndarray, seed: int = 0, beta: float = 1.0):
    return shrunk_f1(y, scores, np.random.default_rng(seed), beta)


def test_a_gain_that_every_draw_confirms_is_taken():
    # Half of the faults lie between 0.5 and all normal samples: no draw has a threshold outside [0.2, 0.3].
    y, scores = cases([0.2] * 20, [0.3] * 10 + [0.8] * 10)
    choice = shrunk(y, scores)
    assert (choice.threshold, choice.f1, choice.reason) == (0.25, 1.0, None)
    assert choice.interval is not None
    assert choice.interval.to_dict() == {"low": 0.25, "high": 0.25, "f1": 1, "f1_low": 1, "f1_high": 1}


def test_a_gain_by_luck_is_not():
    # One fault of forty lies below 0.5, and above all normal samples. It is not there in 36 % of draws.
    y, scores = cases([0.1] * 39 + [0.3], [0.4] + [0.9] * 39)
    assert best_f1(y, scores).f1 == 1
    choice = shrunk(y, scores)
    assert (choice.threshold, choice.interval) == (0.5, None)
    assert choice.f1 == pytest.approx(78 / 79)
    assert choice.reason == (
        "The threshold of the greatest F1 on its 80 samples, 0.350 [0.250, 0.600], gains 0.013 on that of 0.5,"
        " no more than one standard error (0.013)."
    )


def test_a_half_that_is_best_is_a_half():
    y, scores = cases([0.1] * 20, [0.9] * 20)
    choice = shrunk(y, scores)
    assert (choice.threshold, choice.f1, choice.reason) == (0.5, 1.0, None)
    assert choice.interval is not None


def test_too_few_samples_are_not_drawn_from():
    y, scores = cases([0.2] * 10, [0.3] * 10)
    assert shrunk(y, scores) == best_f1(y, scores)
    assert best_f1(y, scores).reason == "20 samples are too few to choose a threshold (30 needed)."


def test_the_interval_holds_the_best_threshold_of_the_population():
    # Normal scores have the density 2 (1 - s), those of faults 2 s, as many of each. F1 = 2 (1 - t^2) /
    # (2 - t^2 + (1 - t)^2) = 2 (1 - t^2) / (3 - 2 t) is greatest where t^2 - 3 t + 1 = 0: at (3 - 5^0.5) / 2.
    best = (3 - 5**0.5) / 2
    hits = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        y = np.repeat([0, 1], 200).astype(np.int8)
        uniform = np.sqrt(random.random(400))
        choice = shrunk_f1(y, np.where(y, uniform, 1 - uniform), random)
        if choice.interval is not None:
            hits += choice.interval.low <= best <= choice.interval.high
        else:
            hits += 1
    assert hits >= 34


def test_beta_moves_the_threshold_towards_fewer_misses():
    y, scores = cases([0.1] * 20 + [0.4] * 10 + [0.7] * 6, [0.3] * 6 + [0.6] * 10 + [0.9] * 14)
    # At 0.2 all 30 faults are found with 16 false alarms, at 0.5 24 with 6.
    assert f_beta(y, scores, 0.2, 2) == pytest.approx(5 * 30 / (46 + 4 * 30))
    assert f_beta(y, scores, 0.5, 2) == pytest.approx(5 * 24 / (30 + 4 * 30))
    assert best_f1(y, scores).threshold == 0.5
    assert best_f1(y, scores, beta=2).threshold == pytest.approx(0.2)
    assert best_f1(y, scores, beta=0.5).threshold == pytest.approx(0.8)  # 17.5 / 21.5 against 30 / 37.5

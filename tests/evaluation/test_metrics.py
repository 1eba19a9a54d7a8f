import math

import numpy as np
import pytest

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation import metrics
from fedmetaalign.evaluation.metrics import majority, pr_curve

KEYS = {
    "accuracy",
    "f1",
    "precision",
    "recall",
    "balanced_accuracy",
    "mcc",
    "pr_auc",
    "brier",
    "threshold",
}


def measure(y: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float | None]:
    return metrics.measure(y, scores, threshold).to_dict()


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int8)


def test_values_worked_out_by_hand() -> None:
    # Alarms are 0.9, 0.8, 0.6: TP = 2, FP = 1, FN = 1, TN = 2.
    y = labels(1, 0, 1, 0, 1, 0)
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.2, 0.0])
    m = measure(y, scores, 0.5)
    assert set(m) == KEYS
    assert m["accuracy"] == pytest.approx(4 / 6)
    assert m["precision"] == pytest.approx(2 / 3)
    assert m["recall"] == pytest.approx(2 / 3)
    assert m["f1"] == pytest.approx(2 / 3)
    assert m["balanced_accuracy"] == pytest.approx(2 / 3)
    assert m["mcc"] == pytest.approx((2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3))
    # Faults rank 1st, 3rd and 5th: precisions 1/1, 2/3 and 3/5 at equal steps of recall.
    assert m["pr_auc"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert m["brier"] == pytest.approx((0.01 + 0.64 + 0.16 + 0.16 + 0.64 + 0.0) / 6)
    assert m["threshold"] == 0.5


def test_a_score_at_the_threshold_is_normal() -> None:
    assert measure(labels(0, 1), np.array([0.5, 0.75]), 0.5)["accuracy"] == 1.0


def test_float32_scores_are_not_compared_with_a_rounded_threshold() -> None:
    score = np.array([0.1, 0.0], dtype=np.float32)  # 0.100000001..., greater than 0.1
    assert measure(labels(1, 0), score, 0.1)["accuracy"] == 1.0


def test_no_fault_and_no_alarm() -> None:
    m = measure(labels(0, 0), np.array([0.1, 0.3]), 0.5)
    assert m["accuracy"] == 1.0
    assert m["brier"] == pytest.approx(0.05)
    assert [m[k] for k in ("f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc")] == [None] * 6


def test_no_fault_but_an_alarm() -> None:
    m = measure(labels(0, 0), np.array([0.1, 0.9]), 0.5)
    assert (m["accuracy"], m["f1"], m["precision"], m["recall"]) == (0.5, None, None, None)


def test_faults_but_no_alarm() -> None:
    m = measure(labels(1, 0, 0, 0), np.array([0.4, 0.1, 0.1, 0.1]), 0.5)
    assert (m["accuracy"], m["f1"], m["precision"], m["recall"]) == (0.75, 0.0, None, 0.0)
    assert (m["balanced_accuracy"], m["mcc"], m["pr_auc"]) == (0.5, 0.0, 1.0)


def test_faults_alone() -> None:
    m = measure(labels(1, 1), np.array([0.9, 0.2]), 0.5)
    assert (m["accuracy"], m["precision"], m["recall"]) == (0.5, 1.0, 0.5)
    assert m["f1"] == pytest.approx(2 / 3)
    assert (m["balanced_accuracy"], m["mcc"], m["pr_auc"]) == (None, None, None)
    assert m["brier"] == pytest.approx((0.01 + 0.64) / 2)


def test_no_samples() -> None:
    m = measure(labels(), np.array([]), 0.25)
    assert set(m) == KEYS
    assert {k: v for k, v in m.items() if v is not None} == {"threshold": 0.25}


@pytest.mark.parametrize("faults", [9, 20, 21])  # of those, scikit-learn's sum comes to 1 + 2e-16
def test_a_perfect_ranking_is_worth_1_and_no_more(faults: int) -> None:
    y = labels(*[0] * 50, *[1] * faults)
    assert measure(y, np.linspace(0, 1, len(y)), 0.5)["pr_auc"] == 1.0


def test_values_are_plain_numbers() -> None:
    m = measure(labels(1, 0), np.array([0.9, 0.2], dtype=np.float32), 0.5)
    assert {type(v) for v in m.values()} == {float}


@pytest.mark.parametrize(
    ("y", "scores", "says"),
    [
        (labels(0, 1), np.array([0.5]), r"must both be \(rows,\)"),
        (labels(0, 2), np.array([0.5, 0.5]), "0 .normal. or 1"),
        (labels(0, 1), np.array([0.5, 1.5]), r"lie in \[0, 1\]"),
    ],
)
def test_misuse_is_named(y: np.ndarray, scores: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        measure(y, scores, 0.5)


def test_scores_that_are_not_numbers_say_that_the_training_diverged() -> None:
    with pytest.raises(FedMetaAlignError, match="1 of 2 probabilities are not finite"):
        measure(labels(0, 1), np.array([0.5, np.nan]), 0.5)


@pytest.mark.parametrize("seed", range(8))
def test_all_values_are_scikit_learns_to_the_last_bit(seed: int) -> None:
    from sklearn import metrics as peer

    rng = np.random.default_rng(seed)
    y = labels(0, 1, *rng.integers(0, 2, 150))
    p = 1 / (1 + np.exp(rng.normal(0, 6, len(y))))  # some nearer to 1 than float64 can hold of 1 - p
    p = np.round(p * 256) / 256 if seed % 2 else p  # with many that are equal
    d = (p > 0.3).astype(np.int8)
    found = measure(y, p, 0.3)
    assert found == {
        "accuracy": peer.accuracy_score(y, d),
        "f1": peer.f1_score(y, d),
        "precision": peer.precision_score(y, d),
        "recall": peer.recall_score(y, d),
        "balanced_accuracy": peer.balanced_accuracy_score(y, d),
        "mcc": peer.matthews_corrcoef(y, d),
        "pr_auc": peer.average_precision_score(y, p),
        "brier": peer.brier_score_loss(y, p, pos_label=1),
        "threshold": 0.3,
    }


def test_majority() -> None:
    assert majority(labels(0, 0, 1), labels(0, 1, 0, 0)) == 0.75
    assert majority(labels(1, 1, 0), labels(0, 1, 0, 0)) == 0.25
    assert majority(labels(0, 1), labels(0, 0, 1)) == pytest.approx(2 / 3)  # a tie says normal
    with pytest.raises(ValueError, match="got 0 and 1"):
        majority(labels(), labels(1))


def test_majority_of_several_classes() -> None:
    assert majority(labels(2, 2, 0, 1), labels(2, 0, 2, 1)) == 0.5
    assert majority(labels(2, 1), labels(2, 1, 1)) == pytest.approx(2 / 3)  # a tie says the first


class TestCurve:
    def test_by_hand(self):
        # Of 0.9 f, 0.8 n, 0.7 f, 0.2 n: one alarm finds 1 of 2 faults, and two alarms no more than that.
        y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.2])
        assert pr_curve(y, p) == [(0.5, 1.0), (1.0, pytest.approx(2 / 3))]

    def test_many_thresholds_are_thinned_evenly_and_keep_the_ends(self):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 2000)
        found = pr_curve(y, np.clip(0.3 * y + rng.uniform(0, 0.7, 2000), 0, 1))
        recall = [r for r, _ in found]
        assert len(found) == 41 and recall == sorted(recall)
        assert recall[-1] == 1 and np.diff(recall).max() < 0.03

    @pytest.mark.parametrize("y", [[0, 0], [1, 1]])
    def test_one_class_has_none(self, y):
        assert pr_curve(np.array(y), np.array([0.1, 0.2])) is None

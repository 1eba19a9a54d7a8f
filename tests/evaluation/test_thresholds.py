import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.evaluation.metrics import measure
from fedmetaalign.evaluation.thresholds import best_f1

SCORE_KINDS = {
    "float64": st.floats(0, 1),
    "float32": st.floats(0, 1, width=32),
    "uint8": st.integers(0, 255).map(lambda q: q / 256),
}


def arrays(pairs: list[tuple[int, float]], dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    y, scores = zip(*pairs, strict=True)
    return np.array(y, dtype=np.int8), np.array(scores, dtype=dtype)


def greatest_f1(y: np.ndarray, scores: np.ndarray) -> float:
    """Every decision that any threshold can lead to: alarm at and above each score."""
    found = 0.0
    for score in scores:
        alarms = scores >= score
        found = max(found, 2 * int((y[alarms] == 1).sum()) / (int(alarms.sum()) + int(y.sum())))
    return found


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_no_threshold_is_better(kind: str) -> None:
    @given(st.lists(st.tuples(st.integers(0, 1), SCORE_KINDS[kind]), min_size=1, max_size=25))
    def check(pairs: list[tuple[int, float]]) -> None:
        y, scores = arrays(pairs, np.float32 if kind == "float32" else np.float64)
        choice = best_f1(y, scores, minimum=1, minimum_of_each=1)
        if y.min() == y.max():
            assert choice.reason is not None
            assert choice.threshold == 0.5
            return
        assert choice.reason is None
        assert choice.f1 == pytest.approx(greatest_f1(y, scores), abs=1e-12)
        # The threshold does what it promises, in float64 and in the scores' own precision.
        assert measure(y, scores, choice.threshold).f1 == pytest.approx(choice.f1, abs=1e-12)
        assert scores.dtype.type(choice.threshold) == choice.threshold

    check()


def test_a_literal_case() -> None:
    y, scores = arrays([(0, 0.1), (0, 0.2), (1, 0.3), (0, 0.4), (1, 0.6), (1, 0.8)])
    # Alarms from 0.3 on: TP = 3, FP = 1, F1 = 6/7; from 0.6 on: TP = 2, FN = 1, F1 = 4/5.
    choice = best_f1(y, scores, minimum=6, minimum_of_each=2)
    assert choice.threshold == pytest.approx(0.25)
    assert choice.f1 == pytest.approx(6 / 7)
    assert choice.reason is None


def test_ties_go_to_the_candidate_nearest_a_half() -> None:
    # The last one alone: TP 1, FN 1, F1 = 2/3. All but the first: TP 2, FP 2, F1 = 2/3.
    y, scores = arrays([(0, 0.125), (1, 0.25), (0, 0.5), (0, 0.75), (1, 0.875)])
    choice = best_f1(y, scores, minimum=5, minimum_of_each=2)
    assert choice.f1 == pytest.approx(2 / 3)
    assert choice.threshold == 0.1875  # 0.3125 away, as is 0.8125, which misses a fault
    y, scores = arrays([(0, 0.0), (1, 0.25), (0, 0.5), (0, 0.625), (1, 0.75)])
    assert (
        best_f1(y, scores, minimum=5, minimum_of_each=2).threshold == 0.6875
    )  # 0.1875 away, where 0.125 is 0.375 away


def test_everything_may_be_a_fault() -> None:
    y, scores = arrays([(1, 0.2), (1, 0.4), (0, 0.6), (1, 0.8)])
    choice = best_f1(y, scores, minimum=4, minimum_of_each=1)
    assert choice.threshold == 0.1
    assert choice.f1 == pytest.approx(6 / 7)
    y, scores = arrays([(1, 0.0), (0, 0.0)])
    choice = best_f1(y, scores, minimum=2, minimum_of_each=1)
    assert choice.threshold < 0
    assert choice.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbouring_scores_stay_apart(dtype: type) -> None:
    for start in np.arange(0.5, 0.5 + 1e-6, 1e-7):
        lower = dtype(start)
        upper = np.nextafter(lower, dtype(1))
        y = np.array([0] * 5 + [1] * 5, dtype=np.int8)
        scores = np.array([lower] * 5 + [upper] * 5, dtype=dtype)
        choice = best_f1(y, scores, minimum=10)
        assert choice.f1 == 1.0
        assert lower <= choice.threshold < upper
        assert measure(y, scores, choice.threshold).f1 == 1.0
        assert (scores > dtype(choice.threshold)).tolist() == [False] * 5 + [True] * 5


def test_quantised_scores_are_cut_between_two_steps() -> None:
    y = np.array([0] * 6 + [1] * 6, dtype=np.int8)
    scores = np.array([3, 8, 40, 41, 100, 129, 130, 131, 190, 200, 254, 255]) / 256
    choice = best_f1(y, scores, minimum=12)
    assert choice.threshold == 129.5 / 256
    assert choice.f1 == 1.0


@pytest.mark.parametrize(
    ("normals", "faults", "reason"),
    [
        (15, 14, "29 samples are too few to choose a threshold (30 needed)."),
        (0, 0, "0 samples are too few to choose a threshold (30 needed)."),
        (30, 0, "None of the 30 samples to choose a threshold from is a fault sample."),
        (0, 30, "None of the 30 samples to choose a threshold from is a normal sample."),
        (29, 1, "1 fault sample is too few to choose a threshold (5 needed)."),
        (1, 29, "1 normal sample is too few to choose a threshold (5 needed)."),
    ],
)
def test_the_fallback_and_its_reason(normals: int, faults: int, reason: str) -> None:
    y = np.array([0] * normals + [1] * faults, dtype=np.int8)
    scores = np.linspace(0.3, 0.9, len(y))
    choice = best_f1(y, scores, fallback=0.4)
    assert choice.threshold == 0.4
    assert choice.reason == reason
    assert choice.f1 == measure(y, scores, 0.4).f1


def test_just_enough_samples() -> None:
    y = np.array([0] * 25 + [1] * 5, dtype=np.int8)
    assert best_f1(y, np.linspace(0.1, 0.9, 30)).reason is None


def test_misuse_is_named() -> None:
    with pytest.raises(ValueError, match="must both be"):
        best_f1(np.zeros(3, dtype=np.int8), np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        best_f1(np.zeros(2, dtype=np.int8), np.array([0.1, np.nan]))
    # The index of a class among many: Target.faults makes it 0 or 1.
    with pytest.raises(ValueError, match=r"parts 1 \(fault\) from 0 \(normal\), and a label is 2"):
        best_f1(np.array([0, 1, 2], np.int8), np.zeros(3))

"""What is measured of more than two classes: by hand, and beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation.metrics import measure, measure_classes
from fedmetaalign.evaluation.result import CLASSES_ONLY
from fedmetaalign.model.target import BINARY, Target

TARGET = Target(("ok", "idle", "short", "open"), normal=(0, 1))


def by_hand():
    """Eight samples; by the threshold of 0.4 rows 2, 4, 5 and 6 raise an alarm."""
    y = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    probabilities = np.array(
        [
            [0.7, 0.2, 0.1, 0.0],  # ok: called ok
            [0.3, 0.5, 0.1, 0.1],  # ok: called idle
            [0.1, 0.2, 0.3, 0.4],  # idle: a false alarm, called open
            [0.2, 0.5, 0.3, 0.0],  # idle: called idle
            [0.4, 0.1, 0.3, 0.2],  # short: called short, although ok is likelier
            [0.0, 0.1, 0.6, 0.3],  # short: called short
            [0.1, 0.1, 0.3, 0.5],  # short: called open
            [0.35, 0.30, 0.25, 0.10],  # ok, at 0.35: called ok
        ]
    )
    return y, probabilities, probabilities[:, 2:].sum(axis=1)


def test_values_worked_out_by_hand():
    y, probabilities, scores = by_hand()
    found = measure_classes(TARGET, y, scores, probabilities, 0.4)
    assert found.confusion == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 2, 1], [0, 0, 0, 0]]
    assert found.class_accuracy == 5 / 8
    assert found.recall_by_class == [2 / 3, 1 / 2, 2 / 3, None]
    # 2 TP / (2 TP + FP + FN); no sample is "open" and two are called so, which counts as 0.
    assert found.macro_f1 == pytest.approx((4 / 5 + 2 / 4 + 4 / 5 + 0) / 4)
    # Alarms: 3 of the 3 faults and 1 of the 5 others.
    assert (found.accuracy, found.recall, found.precision) == (7 / 8, 1.0, 3 / 4)


def test_the_alarm_is_measured_as_of_two_classes():
    y, probabilities, scores = by_hand()
    found = measure_classes(TARGET, y, scores, probabilities, 0.4).to_dict()
    alone = measure((y == 2).astype(np.int8), scores, 0.4).to_dict()
    assert found == {**alone, **{key: found[key] for key in CLASSES_ONLY}}


def test_a_threshold_above_all_scores_leaves_only_normal_classes():
    y, probabilities, scores = by_hand()
    found = measure_classes(TARGET, y, scores, probabilities, 1.0)
    assert found.confusion == [[2, 1, 0, 0], [0, 2, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0]]
    assert found.recall_by_class == [2 / 3, 1.0, 0.0, None]


def test_two_classes_have_nothing_by_class():
    y, scores = np.array([0, 1, 1, 0]), np.array([0.1, 0.8, 0.4, 0.6])
    found = measure_classes(BINARY, y, scores, np.stack([1 - scores, scores], 1), 0.5)
    assert found == measure(y, scores, 0.5)
    assert not set(CLASSES_ONLY) & set(found.to_dict())


def test_without_samples_there_are_only_counts():
    found = measure_classes(TARGET, np.zeros(0), np.zeros(0), np.zeros((0, 4)), 0.5)
    assert (found.class_accuracy, found.macro_f1) == (None, None)
    assert found.recall_by_class == [None] * 4 and found.confusion == [[0] * 4] * 4


@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.integers(1, 60), st.floats(-0.1, 1.1))
@settings(max_examples=80, deadline=None)
def test_scikit_learn_comes_to_the_same(seed, classes, rows, threshold):
    random = np.random.default_rng(seed)
    normal = tuple(range(random.integers(1, classes)))
    target = Target(tuple(f"c{i}" for i in range(classes)), normal)
    z = random.normal(size=(rows, classes)).astype(np.float32)
    y = random.integers(0, random.integers(1, classes + 1), rows).astype(np.float32)
    scores, probabilities = target.fault_probability(z), target.probabilities(z)
    found = measure_classes(target, y, scores, probabilities, threshold)
    # A second way to the class that is called: those of the other side are struck out.
    struck = np.where((scores > threshold)[:, None] == np.isin(range(classes), normal), -1, probabilities)
    called = struck.argmax(axis=1)
    every = range(classes)
    assert found.confusion == confusion_matrix(y, called, labels=every).tolist()
    assert found.class_accuracy == pytest.approx(accuracy_score(y, called))
    assert found.macro_f1 == pytest.approx(f1_score(y, called, average="macro", zero_division=0))
    recalls = recall_score(y, called, labels=every, average=None, zero_division=np.nan)
    assert [np.nan if r is None else r for r in found.recall_by_class] == pytest.approx(recalls, nan_ok=True)


@pytest.mark.parametrize(
    ("y", "shape", "says"),
    [
        ([0, 1], (2, 3), r"\(rows, classes\)"),
        ([0, 1], (1, 4), r"\(rows, classes\)"),
        ([0, 4], (2, 4), "4 classes"),
    ],
)
def test_misuse_is_named(y, shape, says):
    with pytest.raises(ValueError, match=says):
        measure_classes(TARGET, np.array(y), np.full(2, 0.5), np.full(shape, 0.25), 0.5)


def test_probabilities_that_are_not_numbers_say_that_the_training_diverged():
    with pytest.raises(FedMetaAlignError, match="2 of 2 probabilities are not finite"):
        measure_classes(TARGET, np.array([0, 1]), np.full(2, np.nan), np.full((2, 4), np.nan), 0.5)

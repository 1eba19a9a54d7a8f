"""The one-threshold rule against hand-worked numbers and a brute force over every midpoint."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from fedmetaalign.evaluation.rules import FeatureRule, auc, auc_error, best_rule


def brute_force(x, y):
    """The highest accuracy of any threshold, trying all of them one by one."""
    best = max(np.mean(y == 0), np.mean(y == 1))
    for column in x.T:
        values = np.unique(column)
        for low, high in pairwise(values):
            threshold = (low + high) / 2
            if not low <= threshold < high:
                threshold = low
            accuracy = np.mean((column > threshold) == y)
            best = max(best, accuracy, 1 - accuracy)
    return best


def test_by_hand():
    x = np.array([[5.0, 1.0], [5.0, 2.0], [7.0, 3.0], [7.0, 4.0], [5.0, 5.0]])
    y = np.array([0, 0, 1, 1, 1], np.int8)
    rule = best_rule(x, y)
    assert rule == FeatureRule(feature=1, threshold=2.5, above=True, accuracy=1.0)
    predicted = rule.predict(np.array([[0.0, 2.5], [0.0, 2.6]]))
    assert predicted.tolist() == [0, 1]
    assert predicted.dtype == np.int8


def test_low_values_can_mean_fault():
    rule = best_rule(np.array([[1.0], [2.0], [9.0], [10.0], [11.0]]), np.array([1, 1, 0, 0, 1]))
    assert rule == FeatureRule(feature=0, threshold=5.5, above=False, accuracy=0.8)


def test_without_a_better_threshold_the_majority_remains():
    rule = best_rule(np.array([[1.0], [1.0], [1.0]]), np.array([1, 0, 1]))
    assert rule.threshold == -np.inf
    assert rule.accuracy == pytest.approx(2 / 3)
    assert rule.predict(np.array([[-1e300], [4.0]])).tolist() == [1, 1]
    rule = best_rule(np.array([[1.0], [1.0], [1.0]]), np.array([0, 0, 1]))
    assert rule.predict(np.array([[-1e300], [4.0]])).tolist() == [0, 0]


def test_neighbouring_floats_are_distinguished():
    low = 1.0
    high = np.nextafter(low, 2.0)
    x = np.array([[low], [high]])
    rule = best_rule(x, np.array([0, 1]))
    assert rule.predict(x).tolist() == [0, 1]


def test_extreme_values_do_not_overflow():
    x = np.array([[1.0e308], [1.7e308]])
    assert best_rule(x, np.array([0, 1])).predict(x).tolist() == [0, 1]


def test_nan_counts_as_normal():
    x = np.array([[np.nan], [1.0], [2.0], [np.nan]])
    rule = best_rule(x, np.array([0, 0, 1, 1]))
    assert rule == FeatureRule(0, 1.5, True, 0.75)
    assert best_rule(np.full((2, 1), np.nan), np.array([0, 1])).accuracy == 0.5


@pytest.mark.parametrize(("shape", "y"), [((0, 2), []), ((2, 0), [0, 1]), ((2, 1), [1])])
def test_shapes_that_do_not_fit(shape, y):
    with pytest.raises(ValueError, match="best_rule needs"):
        best_rule(np.zeros(shape), np.array(y))


tables = st.tuples(st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(
            np.float64,
            shape,
            elements=st.integers(-3, 3).map(float) | st.floats(allow_nan=False, allow_infinity=False),
        ),
        hnp.arrays(np.int8, shape[0], elements=st.integers(0, 1)),
    )
)


@given(tables)
@pytest.mark.filterwarnings("ignore:overflow")
def test_equals_brute_force(table):
    x, y = table
    rule = best_rule(x, y)
    assert rule.accuracy == pytest.approx(brute_force(x, y), abs=1e-12)
    assert np.mean(rule.predict(x) == y) == pytest.approx(rule.accuracy, abs=1e-12)


@given(tables)
def test_auc_equals_scikit_learn(table):
    x, y = table
    if 0 < y.sum() < len(y):
        assert auc(x[:, 0], y) == pytest.approx(roc_auc_score(y, x[:, 0]), abs=1e-12)
    else:
        assert auc(x[:, 0], y) == 0.5


def test_auc_error_by_hand():
    assert auc_error(np.array([0, 1, 0, 1])) == pytest.approx(np.sqrt(5 / 48))
    assert auc_error(np.array([0, 0])) == np.inf

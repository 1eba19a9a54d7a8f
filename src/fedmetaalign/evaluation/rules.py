"""What one feature alone can tell: the baseline that every learned model has to beat.

R. C. Holte, "Very Simple Classification Rules Perform Well on Most Commonly Used Datasets", Machine
Learning 11, 1993: on many tables a single threshold comes close to elaborate models. A result that does not
stand beside this rule says little.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FeatureRule:
    """A single threshold on a single feature.

    Attributes:
        feature: index of the feature, a column of `x`.
        threshold: raw value between two neighbouring training values; -inf in the rule that always gives
            the same answer, which is what remains where no threshold beats the majority class.
        above: True where values above the threshold mean fault, False where the others do.
        accuracy: share of the rows the rule was fitted on that it gets right.
    """

    feature: int
    threshold: float
    above: bool
    accuracy: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Applies the rule.

        Args:
            x: (rows, features) float, the features in the order the rule was fitted with.

        Returns:
            (rows,) int8, 0 normal and 1 fault; 0 where the value is NaN.
        """
        column = x[:, self.feature]
        return np.asarray(column > self.threshold if self.above else column <= self.threshold).astype(np.int8)


def best_rule(x: np.ndarray, y: np.ndarray) -> FeatureRule:
    """Finds the single threshold with the highest accuracy over all features, midpoints and directions.

    One sort and one running sum a feature: O(features * rows * log rows). Of equally good rules the constant
    one is preferred (so a threshold is reported only where it beats the majority class), then the first
    feature, the lowest threshold and `above`. A NaN is on neither side and counts as predicted normal.

    Args:
        x: (rows, features) float.
        y: (rows,) int, 0 normal and 1 fault.

    Returns:
        The rule, with its accuracy on these rows.

    Raises:
        ValueError: there is no row or no feature, or `x` and `y` do not have the same rows.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.size == 0 or np.shape(y) != (len(x),):
        raise ValueError(f"best_rule needs x (rows, features) and y (rows,), got {x.shape} and {np.shape(y)}")
    faults = np.asarray(y) != 0
    whole = np.int32 if len(x) < 2**30 else np.int64  # of large tables these arrays are what takes memory
    best, best_hits = FeatureRule(0, -np.inf, False, 0.0), -1
    for feature in range(x.shape[1]):
        order = np.argsort(x[:, feature])  # NaN sort last
        values, labels = x[order, feature], faults[order]
        valid = int(np.count_nonzero(~np.isnan(values)))
        # A cut in front of row k leaves k rows below it.
        rows_below: np.ndarray = np.arange(max(valid, 1), dtype=whole)
        faults_below: np.ndarray = np.zeros(len(rows_below), whole)
        np.cumsum(labels[: len(rows_below) - 1], out=faults_below[1:])
        normals_below = rows_below - faults_below
        above = normals_below + int(np.count_nonzero(labels[:valid])) - faults_below
        # A cut is a threshold only where the value changes; the one in front of row 0 is the constant rule.
        possible = np.concatenate(([True], values[1:valid] > values[: max(valid - 1, 0)]))
        hits = [np.where(possible, above, -1), np.where(possible, valid - above, -1)]
        most = max(int(h.max()) for h in hits)
        cut, direction = min((int(np.argmax(h)), i) for i, h in enumerate(hits) if h.max() == most)
        found = int(hits[direction][cut]) + int(np.count_nonzero(~labels[valid:]))
        if found > best_hits:
            threshold = -np.inf if cut == 0 else _between(float(values[cut - 1]), float(values[cut]))
            best, best_hits = FeatureRule(feature, threshold, direction == 0, found / len(x)), found
    return best


def _between(low: float, high: float) -> float:
    """The midpoint, kept below `high` where the two are neighbouring floats, and free of overflow."""
    middle = low / 2 + high / 2
    return middle if low <= middle < high else low


def auc(values: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC curve of one feature used as a score: P(fault's value > normal's), ties half.

    Args:
        values: (rows,) float, not NaN.
        y: (rows,) int, 0 normal and 1 fault.

    Returns:
        0 to 1; 0.5 where the feature does not separate the classes, or where only one class is there.
    """
    faults = np.asarray(y) != 0
    positives = int(np.count_nonzero(faults))
    negatives = len(faults) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(ranks[inverse][faults].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def auc_error(y: np.ndarray) -> float:
    """Standard error of `auc` for a feature without any signal (Mann and Whitney 1947; ties make it less).

    Args:
        y: (rows,) int, 0 normal and 1 fault.

    Returns:
        sqrt((rows + 1) / (12 * faults * normals)); inf where only one class is there.
    """
    positives = int(np.count_nonzero(y))
    negatives = len(y) - positives
    return float(np.sqrt((len(y) + 1) / (12 * positives * negatives))) if positives and negatives else np.inf

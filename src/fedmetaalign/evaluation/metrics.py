"""What a classifier's probabilities are worth on one device's labelled samples, as plain numbers or None.

None (null in JSON) says that a value does not exist for these samples. A zero in its place would look like a
bad model, and a mean over devices would count it.
"""

import math

import numpy as np

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation.result import Metrics
from fedmetaalign.model.target import Target


def measure(y: np.ndarray, fault_probability: np.ndarray, threshold: float) -> Metrics:
    """Measures probabilities and the decisions they lead to.

    A sample is called a fault if its probability is strictly greater than the threshold (procedure Predict of
    the paper). Probabilities are compared in float64: comparing float32 ones with a Python float would first
    round the threshold to float32 and could turn a decision.

    Args:
        y: (rows,) int8, 0 normal and 1 fault.
        fault_probability: (rows,) float in [0, 1], the probability of a fault.
        threshold: the decision threshold; it may lie outside [0, 1] ("always" or "never").

    Returns:
        `accuracy` share of right decisions; None without samples;
        `precision` share of faults among the alarms; None without an alarm, or without a fault, which no alarm
        could have met;
        `recall` share of the faults that raised an alarm; None without a fault;
        `f1` harmonic mean of both, 2 TP / (2 TP + FP + FN); None without a fault, and 0 without an alarm;
        `balanced_accuracy` mean of the recalls of both classes; None unless both classes are there;
        `mcc` Matthews' correlation coefficient; None unless both classes are there, and 0 for decisions that
        are all alike (the limit; D. Chicco and G. Jurman, BMC Genomics 21:6, 2020);
        `pr_auc` average precision, which needs no threshold; None unless both classes are there (with faults
        alone it is 1 whatever the probabilities);
        `brier` mean squared difference of probability and label, 0 is best; None without samples;
        `threshold` as given.

    Raises:
        ValueError: the shapes differ or are not (rows,), a label is not 0 or 1, or a probability lies outside
            [0, 1].
        FedMetaAlignError: a probability is not a number, which is what a diverged training leaves.
    """
    fault_probability = np.asarray(fault_probability, dtype=np.float64)
    _check(y, fault_probability)
    decisions, labels = fault_probability > threshold, np.asarray(y) == 1
    rows, alarms, faults = len(y), int(np.count_nonzero(decisions)), int(np.count_nonzero(labels))
    hits = int(np.count_nonzero(decisions & labels))
    quiet = rows - alarms - faults + hits  # normal samples that raised no alarm
    both = 0 < faults < rows
    values = {
        "accuracy": (hits + quiet) / rows if rows else None,
        "f1": 2 * hits / (alarms + faults) if faults else None,
        "precision": hits / alarms if faults and alarms else None,
        "recall": hits / faults if faults else None,
        "balanced_accuracy": (quiet / (rows - faults) + hits / faults) / 2 if both else None,
        "mcc": _mcc(rows, hits + quiet, alarms, faults) if both else None,
        "pr_auc": average_precision(labels, fault_probability) if both else None,
        "brier": _brier(labels, fault_probability) if rows else None,
        "threshold": threshold,
    }
    return Metrics.model_validate(
        {name: None if value is None else float(value) for name, value in values.items()}
    )


def _mcc(rows: int, right: int, alarms: int, faults: int) -> float:
    """Returns Matthews' correlation coefficient of so many decisions (J. Gorodkin, 2004, of two classes)."""
    alike = rows * rows - alarms * alarms - (rows - alarms) ** 2
    spread = alike * (rows * rows - faults * faults - (rows - faults) ** 2)
    agreeing = right * rows - alarms * faults - (rows - alarms) * (rows - faults)
    return agreeing / math.sqrt(spread) if spread else 0.0


def _brier(labels: np.ndarray, probability: np.ndarray) -> float:
    """Returns the mean squared error, of both classes' probabilities and halved: scikit-learn's last bits."""
    other = (1 - labels) - (1 - probability)
    return float(np.mean((labels - probability) ** 2 + other**2)) / 2


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean of the precision at each rise of the recall, weighted by the rise; in [0, 1].

    Args:
        labels: (rows,) bool, of both kinds.
        scores: (rows,) float64; equal ones are one threshold.
    """
    precision, recall = _points(labels, scores)
    # A sum of rounded steps: a perfect ranking may come to a little more than 1.
    return min(1.0, max(0.0, -float(np.sum(np.diff(recall) * precision[:-1]))))


def _points(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and recall at each distinct score, (points + 1,) float64, recall falling to 0."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    hits = np.cumsum(labels[order], dtype=np.float64)[last]
    precision, recall = hits / (last + 1), hits / hits[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


MOST_POINTS = 41
"""Of a curve of precision and recall."""


def pr_curve(y: np.ndarray, fault_probability: np.ndarray) -> list[tuple[float, float]] | None:
    """Returns (recall, precision) at up to 41 thresholds, recall rising; None unless both classes are there.

    Of all thresholds with one recall it is the greatest precision that counts; of more recalls than that, those
    that are evenly spread among them. The average precision of `measure` is over all.

    Args:
        y: (rows,), 0 normal and 1 fault.
        fault_probability: (rows,) in [0, 1].
    """
    labels = np.asarray(y) == 1
    if labels.all() or not labels.any():
        return None
    precision, recall = _points(labels, np.asarray(fault_probability, np.float64))
    best: dict[float, float] = {}
    for r, p in zip(recall[:-1].tolist(), precision[:-1].tolist(), strict=True):
        best[r] = max(p, best.get(r, 0.0))
    points = sorted(best.items())
    shown = np.unique(np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int))
    return [points[i] for i in shown]


def measure_classes(
    target: Target, y: np.ndarray, fault_probability: np.ndarray, probabilities: np.ndarray, threshold: float
) -> Metrics:
    """Measures what `measure` does of alarms against faults, and of more than two classes which is named.

    A sample without an alarm is called the likeliest class that is normal, one with an alarm the likeliest that
    is a fault: so the device's threshold counts here, too, and a row of `confusion` has its false alarms and
    missed faults.

    Args:
        target: the classes.
        y: (rows,) indices of classes, of any dtype.
        fault_probability: (rows,) float in [0, 1], the probability of a fault, as the model decides by it.
        probabilities: (rows, classes) float, of each class; only their order counts.
        threshold: on `fault_probability`.

    Returns:
        `measure`'s metrics; of more than two classes also
        `class_accuracy` share of samples that are called their class; None without samples;
        `macro_f1` mean of the F1 of each class that a sample is of or is called, as in scikit-learn: a class
        that is only called counts as 0; None without samples;
        `recall_by_class` share of a class's samples that are called that class; None where there are none;
        `confusion` (classes, classes) samples by their class (row) and what they are called (column).

    Raises:
        ValueError: as `measure`, or the probabilities or labels are not those of the classes.
        FedMetaAlignError: as `measure`.
    """
    found = measure(target.faults(y), fault_probability, threshold)
    count = len(target.classes)
    if target.outputs == 1:
        return found
    if probabilities.shape != (len(y), count):
        raise ValueError(f"probabilities must be (rows, classes), got {probabilities.shape}")
    if not np.isin(y, range(count)).all():
        raise ValueError(f"labels must be indices of {count} classes")
    true = y.astype(np.int64)
    called = _called(target, probabilities, np.asarray(fault_probability, np.float64) > threshold)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (true, called), 1)
    by_class = {
        "class_accuracy": float(np.mean(true == called)) if len(y) else None,
        "macro_f1": _macro_f1(confusion) if len(y) else None,
        "recall_by_class": recalls(confusion),
        "confusion": confusion.tolist(),
    }
    return Metrics.model_validate(found.to_dict() | by_class)


def _macro_f1(confusion: np.ndarray) -> float:
    """Returns the mean F1 of the classes that are there or called, from (classes, classes) int, not all 0."""
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2.0 * confusion.diagonal()[both > 0] / both[both > 0]))


def brier(probabilities: np.ndarray, y: np.ndarray, target: Target) -> float:
    """Returns the Brier score of probabilities, 0 is best: mean squared difference to what is so.

    Args:
        probabilities: (rows,) of a fault, or (rows, classes) of each class, then summed over the classes.
        y: (rows,) indices of classes.
        target: the classes.
    """
    squares = (probabilities - one_hot(y, target)) ** 2
    return float(np.mean(squares if target.outputs == 1 else squares.sum(axis=1)))


def one_hot(y: np.ndarray, target: Target) -> np.ndarray:
    """Returns labels as probabilities: of two classes as they are, of more (rows, classes) float32."""
    return y if target.outputs == 1 else np.eye(target.outputs, dtype=np.float32)[y.astype(np.intp)]


def recalls(confusion: np.ndarray) -> list[float | None]:
    """Returns each class's recall from the counts of its samples, (classes, classes) int; None without any."""
    return [float(row[i] / row.sum()) if row.sum() else None for i, row in enumerate(confusion)]


def _called(target: Target, probabilities: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """Returns the class that each sample is called, (rows,) int64; of equals the first."""

    def likeliest(classes: tuple[int, ...]) -> np.ndarray:
        return np.asarray(np.asarray(classes)[np.argmax(probabilities[:, classes], axis=1)])

    return np.where(alarms, likeliest(target.fault), likeliest(target.normal))


def majority(y_train: np.ndarray, y_test: np.ndarray) -> float:
    """Returns the test accuracy of always saying what is most frequent in the training labels.

    Args:
        y_train: (rows,) int, indices of classes (0 normal and 1 fault); a tie says the first.
        y_test: (rows,) int.

    Raises:
        ValueError: one of the two has no samples.
    """
    if len(y_train) == 0 or len(y_test) == 0:
        raise ValueError(
            f"the majority baseline needs training and test labels, got {len(y_train)} and {len(y_test)}"
        )
    return float(np.mean(y_test == np.argmax(np.bincount(y_train))))


def _check(y: np.ndarray, fault_probability: np.ndarray) -> None:
    """Stops values that would give a number which means nothing."""
    if y.ndim != 1 or y.shape != fault_probability.shape:
        raise ValueError(
            f"labels and probabilities must both be (rows,), got {y.shape} and {fault_probability.shape}"
        )
    if not ((y == 0) | (y == 1)).all():
        raise ValueError("labels must be 0 (normal) or 1 (fault)")
    lost = np.count_nonzero(~np.isfinite(fault_probability))
    if lost:
        raise FedMetaAlignError(
            f"{lost} of {len(fault_probability)} probabilities are not finite numbers: the training diverged, "
            "lower its learning rate"
        )
    if len(fault_probability) and not (fault_probability.min() >= 0 and fault_probability.max() <= 1):
        raise ValueError(
            f"probabilities must lie in [0, 1], got {fault_probability.min():g} to {fault_probability.max():g}"
        )

"""Rows whose label is likely wrong: a model of the other rows is confident of another class.

The rule is that of confident learning: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning:
Estimating Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70, 2021, section 3: a
row labelled i counts as class j if its probability of j, by a model that has not seen it, is at least the mean
probability of j among the rows labelled j. The model here is a random forest, and a row is judged by the trees
that were grown without it.
"""

from collections.abc import Callable, Iterator

import numpy as np

from fedmetaalign.evaluation.rules import auc
from fedmetaalign.fleet.columns.findings import Finding

_LEAST = 100  # rows without which no forest knows enough to doubt a label
_SURE = 0.9  # the AUC of the forest below which rows are hard rather than mislabelled
_MOST = 20_000  # rows that are looked at
_SHOWN = 5
MOST_DOUBTED = 1_000_000
"""The first rows, among which those that are looked at are; there is no need to copy more."""


def doubted(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """The rows whose label is likely wrong, the likeliest first, (n,) int64.

    Args:
        x: (rows, features) float64, finite or NaN.
        y: (rows,) int, 0 normal and 1 fault.
        seed: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier  # auditing alone has use for it

    rows = np.flatnonzero(np.isfinite(x).all(axis=1))[:_MOST]
    counts = np.bincount(y[rows], minlength=2)
    if len(rows) < _LEAST or counts.min() < 10:
        return np.empty(0, np.int64)
    forest = RandomForestClassifier(100, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1)
    ranks = [np.unique(column, return_inverse=True)[1] for column in x[rows].T]  # a tree sees no more
    forest.fit(np.stack(ranks, axis=1), y[rows])
    probability = forest.oob_decision_function_
    known = np.isfinite(probability).all(axis=1)
    rows, probability = rows[known], probability[known]
    given = y[rows].astype(np.int64)
    if auc(probability[:, 1], given) < _SURE:
        return np.empty(0, np.int64)
    usual = np.array([probability[given == label, label].mean() for label in (0, 1)])
    other, at = 1 - given, np.arange(len(rows))
    margin = probability[at, other] - probability[at, given]
    wrong = (probability[at, other] >= usual[other]) & (margin > 0)
    order = np.argsort(-margin[wrong], kind="stable")
    return np.asarray(rows[wrong][order], np.int64)


def doubts(x: np.ndarray, y: np.ndarray, line: Callable[[int], int] | None = None) -> Iterator[Finding]:
    """Reports rows whose label is likely wrong, by the number of their `line`, or of the row from 1 on."""
    found = doubted(x, y)
    if not len(found):
        return
    numbers = [row + 1 if line is None else line(row) for row in found[:_SHOWN].tolist()]
    what = "rows" if line is None else "lines"
    given = ["fault" if y[row] else "no fault" for row in found[:_SHOWN]]
    shown = ", ".join(f"{number} ({label})" for number, label in zip(numbers, given, strict=True))
    more = ", ..." if len(found) > _SHOWN else ""
    sentence = (
        f"Rows whose label is likely wrong, by a forest of the other rows: {len(found):,} of {len(y):,}; look"
        f" at {what} {shown}{more} first."
    )
    yield Finding("doubts", "warning", None, sentence)

"""A device's threshold, drawn to that of its whole fleet, whose samples are many where its own are few.

The devices count the scores of their samples once (`counted`), and the sum tells every one of them which
threshold is best for all (`best_of_fleet`). A device with many samples of either label keeps its own.
"""

import numpy as np
from scipy.special import expit, logit

from fedmetaalign.evaluation.few_samples import interval_of, resampled
from fedmetaalign.evaluation.thresholds import Choice, best_f1, f_beta, f_beta_of_counts

BINS = 64
"""Equally wide parts of [0, 1] in which scores are counted."""
WORTH = 30
"""Samples that the fleet's threshold counts as, beside a device's of the rarer of its two labels."""


def counted(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Counts scores in `BINS` parts of [0, 1]: (2, BINS) int64, those of normal samples and those of faults.

    Args:
        y: (rows,), 0 normal and 1 fault.
        scores: (rows,) in [0, 1].
    """
    found = np.zeros((2, BINS), np.int64)
    np.add.at(found, (y.astype(np.intp), np.minimum((scores * BINS).astype(np.intp), BINS - 1)), 1)
    return found


def best_of_fleet(counts: np.ndarray, beta: float = 1.0) -> float:
    """Returns the threshold of the greatest F-beta among the inner edges of the parts, of equals nearest 0.5.

    Args:
        counts: (2, BINS), as `counted` gives them, of one device or the sum of several; a fault at least.
        beta: of the F-beta.
    """
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    edges = np.arange(1, BINS) / BINS
    found = f_beta_of_counts(above[1], above.sum(axis=0), int(counts[1].sum()), beta)
    best = np.flatnonzero(found == found.max())
    return float(edges[best[np.argmin(np.abs(edges[best] - 0.5))]])


def drawn_to_fleet(
    y: np.ndarray, scores: np.ndarray, counts: np.ndarray, random: np.random.Generator, beta: float = 1.0
) -> Choice:
    """Chooses a threshold between that of a device's greatest F-beta and its fleet's, on the scale of log odds.

    Args:
        y: (rows,) int8, 0 normal and 1 fault.
        scores: (rows,) floating point, of models that have not seen the row, as for `best_f1`.
        counts: (2, BINS), those of such scores of all devices.
        random: draws the bootstrap samples.
        beta: of the F-beta.

    Raises:
        ValueError: as `best_f1`.
    """
    fleet = best_of_fleet(counts, beta)
    best = best_f1(y, scores, fleet, beta=beta)
    if best.reason is not None:
        return Choice(fleet, best.f1, f"{best.reason[:-1]}: it is the fleet's, {fleet:.3f}.")
    rarer = min(np.count_nonzero(y == label) for label in (0, 1))
    weight = rarer / (rarer + WORTH)

    def between(own: np.ndarray | float) -> np.ndarray:
        inner = np.clip(own, 1 / BINS, 1 - 1 / BINS)
        return np.asarray(expit(weight * logit(inner) + (1 - weight) * logit(fleet)))

    chosen = float(between(best.threshold))
    f1 = f_beta(y, scores, chosen, beta)
    thresholds, values, _ = resampled(y, scores, random, beta, chosen, fleet)
    return Choice(chosen, f1, None, interval_of(f1, between(thresholds), values))

"""The decision threshold of one device: phase 3 of the paper, tau* = argmax F1(tau).

F1 weighs missed faults and false alarms alike, F-beta (van Rijsbergen, 1979) the missed ones beta^2 times.
A device without a fault has no F1. It takes the smallest threshold that raises few enough false alarms.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from fedmetaalign.evaluation.intervals import clopper_pearson
from fedmetaalign.evaluation.result import ThresholdInterval


@dataclass(frozen=True)
class Choice:
    """A threshold and why it is this one.

    Attributes:
        threshold: a sample is a fault if its score is strictly greater.
        f1: F1, or F-beta, at the threshold on the samples it was chosen on; None where there is no fault.
        reason: a sentence that says why it is another one than the best for F1; None if it is that.
        interval: where other samples of the device might have put it; None where nobody has asked.
    """

    threshold: float
    f1: float | None
    reason: str | None
    interval: ThresholdInterval | None = None


def best_f1(
    y: np.ndarray,
    scores: np.ndarray,
    fallback: float = 0.5,
    minimum: int = 30,
    minimum_of_each: int = 5,
    beta: float = 1.0,
) -> Choice:
    """Chooses the threshold with the greatest F1 over all thresholds, in O(n log n).

    Decisions change only where the threshold passes a score, so the candidates are the midpoint between any
    two neighbouring distinct scores and one value below the lowest score (everything is a fault). None above
    the highest score is needed: without an alarm F1 is 0. Among equals the candidate nearest 0.5 wins, because
    it is the least surprising one on new data, and then the lower one, which misses fewer faults.

    Midpoints are formed in the scores' own dtype, so that a device that holds the threshold in the precision
    of its scores takes the same decisions. Where the midpoint of two neighbours rounds to the upper one, the
    lower one is taken: it separates them just as well, since the rule is `score > threshold`.

    Few samples make the maximum of F1 a matter of luck, and with one class it says nothing; then the fallback
    is taken and the reason given. (On three simulated fleets, thresholds chosen on 11 and on 19 samples lowered
    not only test accuracy, by 2.5 and 2.8 points, but test F1 too, by 2.4 and 2.0, against 0.5.)

    Args:
        y: (rows,) int8, 0 normal and 1 fault.
        scores: (rows,) floating point, finite, higher means more likely a fault.
        fallback: the threshold where none can be chosen.
        minimum: least number of samples to choose from.
        minimum_of_each: least number of samples of either class.
        beta: of the F-beta that is greatest.

    Raises:
        ValueError: the shapes differ or are not (rows,), a label is neither 0 nor 1, or the scores are not
            finite floating-point numbers.
    """
    scores = np.asarray(scores)
    if y.ndim != 1 or y.shape != scores.shape:
        raise ValueError(f"labels and scores must both be (rows,), got {y.shape} and {scores.shape}")
    if (other := y[(y != 0) & (y != 1)]).size:
        raise ValueError(f"a threshold parts 1 (fault) from 0 (normal), and a label is {other[0]}")
    if not np.issubdtype(scores.dtype, np.floating) or not np.isfinite(scores).all():
        raise ValueError("scores must be finite floating-point numbers to choose a threshold from them")
    faults = int(np.count_nonzero(y))
    reason = _too_few(len(y) - faults, faults, minimum, minimum_of_each)
    if reason is not None:
        return Choice(fallback, f_beta(y, scores, fallback, beta) if faults else None, reason)

    order = np.argsort(scores)
    values, first = np.unique(scores[order], return_index=True)
    hits_below = np.concatenate(([0], np.cumsum(y[order], dtype=np.int64)))
    # Candidate i lies just below values[i]: the samples from first[i] on, in rising order, are alarms.
    hits, alarms = faults - hits_below[first], len(y) - first
    f1 = f_beta_of_counts(hits, alarms, faults, beta)
    candidates = np.concatenate(([_below(values[0])], _between(values[:-1], values[1:])))
    best = np.flatnonzero(f1 == f1.max())
    # argmin takes the first, hence the lower, of two candidates that are equally far from 0.5.
    chosen = best[np.argmin(np.abs(candidates[best] - 0.5))]
    return Choice(float(candidates[chosen]), float(f1[chosen]), None)


def few_false_alarms(
    scores: np.ndarray, rate: float, fallback: float = 0.5, faults: np.ndarray | None = None
) -> Choice:
    """Chooses the smallest threshold that at most a share of normal samples lies above: it finds most faults.

    Fewer than 1 / rate samples cannot show that a threshold keeps to the rate: then the highest of them or the
    fallback is taken, whichever is higher, and the reason says so. Either way it gives the 95 % interval of the
    share of false alarms; see `clopper_pearson`.

    Args:
        scores: (samples,) floating point, finite, of normal samples that the scores were not fitted to.
        rate: the share of false alarms that is allowed, above 0 and below 1.
        fallback: the least threshold where the samples are too few.
        faults: (faults,) floating point, the scores of faults, which have no say; None where none is known.

    Raises:
        ValueError: the scores are not (samples,) finite floating-point numbers, or the rate is no such share.
    """
    scores = np.asarray(scores)
    if scores.ndim != 1 or not np.issubdtype(scores.dtype, np.floating) or not np.isfinite(scores).all():
        raise ValueError(
            "scores must be (samples,) finite floating-point numbers to choose a threshold from them"
        )
    if not 0 < rate < 1:
        raise ValueError(f"a share of false alarms lies between 0 and 1, and {rate} does not")
    count = len(scores)
    allowed = int(np.count_nonzero(np.arange(1, count) / count <= rate))  # rate * count would be rounded
    threshold = float(np.sort(scores)[count - 1 - allowed]) if count else fallback
    if allowed == 0:
        threshold = max(threshold, fallback)
    alarms = int(np.count_nonzero(scores.astype(np.float64) > threshold))
    low, high = clopper_pearson(alarms, count)
    told = "There is no fault to choose it by"
    if faults is not None:
        hits = int(np.count_nonzero(faults.astype(np.float64) > threshold))
        told = f"It finds {hits} of {len(faults)} faults"
    found = (
        f"{alarms} of {count} normal samples {'is' if alarms == 1 else 'are'} above the threshold, a share of"
        f" {low:.1%} to {high:.1%} of all with 95 % confidence"
    )
    if allowed:
        return Choice(threshold, None, f"{told}: {found}, and {rate:.2%} may be.")
    need = ceil(1 / rate)
    return Choice(
        threshold,
        None,
        f"{told}, and {count} normal samples are too few to hold false alarms to {rate:.2%} ({need} needed):"
        f" {found}.",
    )


def _too_few(normals: int, faults: int, minimum: int, minimum_of_each: int) -> str | None:
    """Returns the sentence that says why no threshold can be chosen, or None if one can."""
    total = normals + faults
    if total < max(1, minimum):
        return f"{total} samples are too few to choose a threshold ({max(1, minimum)} needed)."
    for count, kind in ((faults, "fault"), (normals, "normal")):
        if count == 0:
            return f"None of the {total} samples to choose a threshold from is a {kind} sample."
        if count < minimum_of_each:
            found = f"{count} {kind} sample{'s are' if count > 1 else ' is'}"
            return f"{found} too few to choose a threshold ({minimum_of_each} needed)."
    return None


def f_beta(y: np.ndarray, scores: np.ndarray, threshold: float, beta: float = 1.0) -> float:
    """Returns F-beta at a threshold, of labels and scores as for `best_f1`, at least one of them a fault."""
    alarm = scores.astype(np.float64) > threshold
    hits, alarms = np.count_nonzero(y[alarm]), np.count_nonzero(alarm)
    return float(f_beta_of_counts(np.array(hits), np.array(alarms), int(np.count_nonzero(y)), beta))


def f_beta_of_counts(hits: np.ndarray, alarms: np.ndarray, faults: int, beta: float) -> np.ndarray:
    """F-beta from counts: (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN), which divides by alarms + b^2 faults."""
    weight = beta * beta
    return np.asarray((1 + weight) * hits / (alarms + weight * faults))


def _between(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Returns thresholds t, in the scores' dtype, with lower <= t < upper, halfway where there is room."""
    middle = lower + (upper - lower) / 2
    return np.where(middle < upper, middle, lower)


def _below(lowest: np.floating) -> np.floating:
    """Returns a threshold below the lowest score: half of it, or half a unit less where that is not below."""
    return lowest / 2 if lowest > 0 else lowest - lowest.dtype.type(0.5)

"""A threshold from few samples: that of the greatest F1 where it is better than 0.5 beyond chance, else 0.5.

The maximum of F1 over a hundred samples owes part of its height to luck. Bootstrap samples (Efron, "Bootstrap
methods: another look at the jackknife", 1979), drawn from the faults and from the normal samples apart, tell
how much: both thresholds are judged on the same ones, so what makes a sample hard for both cancels out.
"""

import numpy as np

from fedmetaalign.evaluation.result import ThresholdInterval
from fedmetaalign.evaluation.thresholds import Choice, best_f1, f_beta

DRAWS = 200
"""Bootstrap samples."""
COVERED = 0.9
"""Share of them that an interval covers."""


def shrunk_f1(
    y: np.ndarray, scores: np.ndarray, random: np.random.Generator, beta: float = 1.0, default: float = 0.5
) -> Choice:
    """Chooses the threshold of the greatest F1 if its gain on the default exceeds one standard error.

    Args:
        y: (rows,) int8, 0 normal and 1 fault.
        scores: (rows,) floating point, of models that have not seen the row, as for `best_f1`.
        random: draws the bootstrap samples.
        beta: of the F-beta that is greatest.
        default: the threshold otherwise, and where there are too few samples for `best_f1`.

    Raises:
        ValueError: as `best_f1`.
    """
    best = best_f1(y, scores, default, beta=beta)
    if best.f1 is None or best.reason is not None:
        return best
    plain = f_beta(y, scores, default, beta)
    gain = best.f1 - plain
    chosen = best.threshold if gain > 0 else default
    thresholds, values, gains = resampled(y, scores, random, beta, chosen, default)
    interval = interval_of(best.f1, thresholds, values)
    if 0 < gain <= (error := float(np.std(gains, ddof=1))):
        return Choice(
            default,
            plain,
            f"The threshold of the greatest F{beta:g} on its {len(y)} samples, {chosen:.3f}"
            f" [{interval.low:.3f}, {interval.high:.3f}], gains {gain:.3f} on that of {default:g}, no more than"
            f" one standard error ({error:.3f}).",
        )
    return Choice(chosen, best.f1, None, interval)


def interval_of(f1: float, thresholds: np.ndarray, values: np.ndarray) -> ThresholdInterval:
    """Returns where other samples might have put a threshold of a given F-beta; see `resampled`."""
    tails = ((1 - COVERED) / 2, (1 + COVERED) / 2)
    (low, high), (f1_low, f1_high) = (map(float, np.quantile(each, tails)) for each in (thresholds, values))
    return ThresholdInterval(low=low, high=high, f1=f1, f1_low=f1_low, f1_high=f1_high)


def resampled(
    y: np.ndarray, scores: np.ndarray, random: np.random.Generator, beta: float, chosen: float, default: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns of each bootstrap sample its best threshold, the chosen one's F-beta, and its gain, (draws,)."""
    kinds = [np.flatnonzero(y == label) for label in (0, 1)]
    thresholds, values, gains = np.empty((3, DRAWS))
    for draw in range(DRAWS):
        rows = np.concatenate([random.choice(kind, len(kind)) for kind in kinds])
        thresholds[draw] = best_f1(y[rows], scores[rows], beta=beta).threshold
        values[draw] = f_beta(y[rows], scores[rows], chosen, beta)
        gains[draw] = values[draw] - f_beta(y[rows], scores[rows], default, beta)
    return thresholds, values, gains

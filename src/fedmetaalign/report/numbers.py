"""How numbers look on the page, and the small statistics it adds to them."""

import math
import statistics
from collections.abc import Sequence

from scipy.special import stdtrit

ABSENT = "\u2013"
"""What stands where a value does not exist."""

NARROW = "\u202f"
"""The space between a number and its unit: narrow, and lines do not break there."""

MINUS = "\u2212"
"""A true minus sign: as wide as a plus, so that columns of digits line up."""

_Z = 1.959963984540054
"""The standard normal distribution has 95 % of its mass within this distance from 0."""


def percent(share: float | None, digits: int = 1) -> str:
    """0.9312 as "93.1 %"."""
    return ABSENT if share is None else f"{100 * share:.{digits}f}{NARROW}%"


def points(difference: float) -> str:
    """0.0123 as "1.2 points": a difference of two percentages."""
    return f"{100 * difference:.1f} points"


def signed(difference: float | None) -> str:
    """0.0123 as "+1.2": a difference of two percentages in a column of such."""
    reported = ABSENT if difference is None else f"{100 * difference:+.1f}"
    return "0.0" if reported in ("+0.0", "-0.0") else reported.replace("-", MINUS)


def decimal(value: float | None, digits: int = 3) -> str:
    """0.81249 as "0.812"."""
    return ABSENT if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """12345 as "12 345"."""
    return ABSENT if value is None else f"{value:,.0f}".replace(",", NARROW)


def count(amount: int, noun: str) -> str:
    """1 and "device" as "1 device", 2 as "2 devices"."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listing(names: list[str], most: int = 5) -> str:
    """Names as a phrase: "a", "a and b", "a, b and 7 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def interval(share: float | None, samples: int | None) -> tuple[float, float] | None:
    """Returns the 95 % interval of a share that was seen in so many samples.

    Wilson's score interval, which holds up with few samples and near 100 % (E. B. Wilson, Journal of the
    American Statistical Association 22:209-212, 1927).
    """
    if share is None or not samples:
        return None
    z2 = _Z**2
    centre = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    spread = math.sqrt(z2 * (share * (1 - share) / samples + z2 / (4 * samples**2))) / (1 + z2 / samples)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns Student's 95 % interval of a mean; None of fewer than three values.

    Of devices it asks what others of their kind would get. Two leave one degree of freedom, and an interval of
    nearly thirteen standard errors to either side. With few, a bootstrap's percentiles would be too narrow.
    """
    if len(values) < 3:
        return None
    centre, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    spread = float(stdtrit(len(values) - 1, 0.975)) * error
    return centre - spread, centre + spread


def tells_apart(balanced: float | None, majority: float | None, samples: int | None) -> bool:
    """Tells whether a balanced accuracy is above one half by more than chance.

    Guessing has recalls with variances of at most 1 / (4 n) and 1 / (4 m) on n normal samples and m faults.

    Args:
        balanced: mean of the recalls of both classes.
        majority: the share of one of them.
        samples: of both.
    """
    if balanced is None or not samples or majority is None or not 0 < majority < 1:
        return False
    return balanced - 0.5 > _Z / 4 * math.sqrt(1 / (majority * samples) + 1 / ((1 - majority) * samples))


def chance(compared: Sequence[tuple[float, float, int]]) -> float:
    """Returns how far from 0 the luck of the test samples alone may carry the mean of some differences.

    McNemar's test at 5 %, with the continuity correction of A. L. Edwards (Psychometrika 13:185-187, 1948),
    solved for the difference. It asks how many samples only one of the two classifiers gets right. That is
    not known here, so it is taken for the most that the two accuracies allow, as if they never erred on the
    same sample: what is greater than this is more than chance, what is not may be more than chance all the
    same.

    Args:
        compared: one or more (accuracy, the other accuracy on the same samples, number of samples > 0); of
            several, each on samples of its own.
    """
    variance = 0.0
    for one, other, samples in compared:
        errors = (1 - one) + (1 - other)
        variance += min(errors, 2 - errors) / samples
    correction = max(1 / samples for _, _, samples in compared)
    return (_Z * math.sqrt(max(variance, 0.0)) + correction) / len(compared)

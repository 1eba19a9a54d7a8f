"""Means with intervals, and tests, over a comparison's seeds and devices. NaN says that a value is undefined.

Seeds and devices are crossed: every seed has the same devices. An interval over the fleet therefore comes
from the two-way ("pigeonhole") bootstrap (A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics
1(2), 2007): a replicate draws seeds with replacement and, independently, devices with replacement, and holds
the values where the drawn seeds and devices meet. Drawing devices again within every seed would average a
device's own level away, as if ten seeds of one hard feeder were ten hard feeders. The interval answers: what if
other seeds and other devices of the same kind had been there? No bootstrap is exact for crossed data
(P. McCullagh, "Resampling and exchangeable arrays", Bernoulli 6, 2000); with many of both, this one errs on the
wide side.

With few, percentile intervals are too narrow: for one device and ten seeds by almost a fifth, compared with
Student's t. Over a fleet of two devices they reach little further than from the one device to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import permutation_test

from fedmetaalign.randomness import generator

RESAMPLES = 10_000
TAILS = np.array([0.025, 0.975])
"""The quantiles at which a 95 % interval ends."""


@dataclass(frozen=True)
class Draws:
    """Bootstrap replicates, as how often each contains each seed and each device.

    Whatever is summarised with the same draws is compared on the same replicates.

    Attributes:
        seeds: (seeds, resamples) float64; each column sums to the number of seeds.
        devices: (devices, resamples) float64; each column sums to the number of devices.
    """

    seeds: np.ndarray
    devices: np.ndarray


@dataclass(frozen=True)
class Intervals:
    """Means over seeds and their 95 % intervals, one for each of any number of quantities.

    Attributes:
        mean: (...) float64, mean of the defined values; NaN where there are none.
        low: (...) float64, the 2.5 % quantile of the bootstrap; NaN with fewer than two defined values.
        high: (...) float64, the 97.5 % quantile; NaN where `low` is.
        values: (..., seeds) float64, what the mean is taken over.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray


def draw(seeds: int, devices: int) -> Draws:
    """Draws the bootstrap replicates for so many seeds and devices; the same numbers give the same draws."""
    return Draws(_counts("seeds", seeds), _counts("devices", devices))


def over_seeds(values: np.ndarray, draws: Draws) -> Intervals:
    """Summarises what has one value a seed, such as one device's accuracy, or that of the worst device.

    Args:
        values: (..., seeds) float.
        draws: of these seeds.

    Returns:
        (...) means and percentile intervals over seeds; one seed alone has no interval.
    """
    replicates = _weighted_mean(values, draws.seeds)
    return _intervals(values, replicates, np.count_nonzero(~np.isnan(values), axis=-1))


def over_fleet(values: np.ndarray, draws: Draws) -> Intervals:
    """Summarises what every device has for every seed, with the two-way bootstrap.

    A seed's value is the mean over its defined devices, and the mean is that over the defined seeds. With one
    seed the interval is over devices alone, with one device over seeds alone.

    Args:
        values: (..., seeds, devices) float.
        draws: of these seeds and devices.

    Returns:
        (...) means and percentile intervals over seeds and devices.
    """
    by_seed = _weighted_mean(values, draws.devices)  # (..., seeds, resamples)
    replicates = _mean(by_seed, draws.seeds, axis=-2)
    return _intervals(_defined_mean(values), replicates, np.count_nonzero(~np.isnan(values), axis=(-2, -1)))


def worst(values: np.ndarray) -> np.ndarray:
    """Returns the least defined value over the last axis: (..., devices) to (...), NaN where there is none."""
    return np.asarray(np.fmin.reduce(values, axis=-1))


def worst_decile(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the lowest tenth of the defined values over the last axis.

    Args:
        values: (..., devices) float.

    Returns:
        (...) float64: the mean of the lowest floor(defined / 10) values, of the lowest one where that is none.
    """
    values = np.asarray(values, np.float64)
    tenth = np.maximum(1, np.count_nonzero(~np.isnan(values), axis=-1, keepdims=True) // 10)
    lowest = np.arange(values.shape[-1]) < tenth
    return _defined_mean(np.where(lowest, np.sort(values, axis=-1), np.nan))  # sort puts NaN last


def paired_p(a: np.ndarray, b: np.ndarray) -> float | None:
    """Tests whether the mean of a - b is zero, by flipping signs of the differences (Fisher's randomisation).

    Unlike Wilcoxon's signed ranks it tests the very number that is reported, and is exact with ties and zeros
    too, which accuracies on small test sets have many of. Up to n = 13 pairs all 2^n sign patterns are tried,
    so that the least p is 2 / 2^n (1/512 for ten seeds, 1/16 for five); beyond, 10,000 random ones.

    Args:
        a: (seeds,) float, a metric in [-1, 1] by seed; NaN leaves the pair out.
        b: (seeds,) float, the other one for the same seeds.

    Returns:
        The two-sided p; 1 where no pair differs; None with fewer than two pairs.
    """
    paired = ~(np.isnan(a) | np.isnan(b))
    if np.count_nonzero(paired) < 2:
        return None
    result = permutation_test(
        (a[paired], b[paired]),
        _mean_difference,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=generator(0, "statistics", "sign flips"),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrects p values for being many (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    The k-th smallest of m becomes max over i <= k of min(1, (m - i + 1) p_i), which bounds the chance of a
    single false claim among all of them.

    Args:
        p_values: None where nothing was tested; it stays None and does not count.

    Returns:
        The corrected values, in the order given.
    """
    corrected: list[float | None] = [None] * len(p_values)
    rising = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    least = 0.0
    for before, (p, place) in enumerate(rising):
        least = max(least, min(1.0, (len(rising) - before) * p))
        corrected[place] = least
    return corrected


def _counts(what: str, number: int) -> np.ndarray:
    """(number, resamples): n draws with replacement from n, which is what a uniform multinomial counts."""
    random = generator(0, "statistics", "bootstrap", what)
    counts = random.multinomial(number, np.full(number, 1 / number), size=RESAMPLES)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def _intervals(values: np.ndarray, replicates: np.ndarray, defined: np.ndarray) -> Intervals:
    """Puts together values (..., seeds), replicates (..., resamples), and (...) how many values are defined."""
    mean = _defined_mean(values)
    rising = np.sort(replicates, axis=-1)  # NaN last: a replicate that drew undefined values only is none
    last = np.count_nonzero(~np.isnan(rising), axis=-1, keepdims=True) - 1
    ends = np.take_along_axis(rising, np.rint(last * TAILS).astype(np.int64), axis=-1)
    low, high = np.where(defined > 1, np.moveaxis(ends, -1, 0), np.nan)
    # Rounding must not put the mean of equal values outside its interval.
    return Intervals(mean, np.minimum(low, mean), np.maximum(high, mean), values)


def _weighted_mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(..., n) and (n, resamples) to (..., resamples): every replicate's mean of the defined values."""
    flat = values.reshape(-1, values.shape[-1])  # one product of two float matrices is what BLAS is fast at
    defined = (~np.isnan(flat)).astype(np.float64)
    drawn = len(counts) if defined.all() else defined @ counts
    with np.errstate(invalid="ignore"):
        means = np.where(defined, flat, 0) @ counts / drawn
    return np.asarray(means.reshape(*values.shape[:-1], -1))


def _mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """The weighted mean of the defined values along an axis, NaN where they have no weight."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.where(defined, values, 0) * weights).sum(axis) / (defined * weights).sum(axis))


def _defined_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the defined values along the last axis, NaN where there are none."""
    return _mean(values, np.ones(values.shape[-1]), axis=-1)


def _mean_difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    """The statistic of `paired_p`, rounded, since equal sums of shares differ in their last bits."""
    return np.asarray(np.round(np.mean(a - b, axis=axis), 12))

"""Stretches of samples that follow one another without a gap, as their times tell."""

from dataclasses import dataclass

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.times.stamps import SECOND
from fedmetaalign.fleet.windows.samples import Samples, bounds_of
from fedmetaalign.fleet.windows.wording import counted, lasting
from fedmetaalign.recipe import Window

GAP = 1.5
"""A step this many sampling intervals long skips a sample; a smaller one that is no interval is irregular."""

_DIGITS = 6  # of a rate that times tell


@dataclass(frozen=True)
class Stretches:
    """Where windows may lie.

    Attributes:
        bounds: (stretches, 2) int64, of each its first sample and the one after its last.
        rate: samples a second; 0 where nothing tells.
        notes: what was found, sentences.
    """

    bounds: np.ndarray
    rate: float
    notes: tuple[str, ...] = ()


def stretches_of(samples: Samples, window: Window) -> Stretches:
    """Finds the stretches of a device's recordings.

    Without times a recording is one stretch. With them a step of more than `GAP` sampling intervals (and more
    than the tolerance) ends a stretch; the interval is that of the recipe's rate, else the usual step.

    Raises:
        DataError: samples come irregularly, or recordings have unlike rates; the sentence says where.
    """
    bounds, times = bounds_of(samples.recordings), samples.table.times
    if times is None or not len(bounds):
        return Stretches(bounds, window.rate or 0.0)
    steps = np.diff(times.values)
    within = np.ones(len(steps), bool)
    within[bounds[1:, 0] - 1] = False
    if not within.any():
        return Stretches(bounds, window.rate or 0.0)
    usual = float(np.quantile(steps[within], 0.5, method="lower"))
    interval = SECOND / window.rate if window.rate else usual
    _check_rates(samples, bounds, steps, interval, window)
    most = max(GAP, 1 + window.tolerance) * interval
    # Times are whole microseconds: one more or less is no irregularity.
    odd = within & (np.abs(steps - interval) > window.tolerance * interval + 1) & (steps <= most)
    if odd.any():
        worst = int(np.argmax(np.where(odd, np.abs(steps - interval), -1)))
        more = f" (as for {counted(int(odd.sum()) - 1, 'more row')})" if odd.sum() > 1 else ""
        raise DataError(
            f"{samples.where(worst + 1)}: it comes {lasting(float(steps[worst]), times.dated)} after the one"
            f" before, where samples come every {lasting(interval, times.dated)}, and fleet.window.tolerance ="
            f" {window.tolerance:g} of that is less{more}: resample, raise the tolerance, or leave `time` out."
        )
    gaps = np.flatnonzero(within & (steps > most))
    close = steps[within & (steps <= most)]
    rate = window.rate or _rounded(SECOND / float(close.mean()) if close.any() else 0.0)
    cuts = np.union1d(bounds[:, 0], gaps + 1)
    return Stretches(
        np.column_stack([cuts, np.append(cuts[1:], len(samples.recordings))]),
        rate,
        (_told(samples, gaps, steps),) if len(gaps) else (),
    )


def _check_rates(
    samples: Samples, bounds: np.ndarray, steps: np.ndarray, interval: float, window: Window
) -> None:
    """Sees that the samples of each recording come at one rate, and at the recipe's if it names one."""
    times = samples.table.times
    assert times is not None  # noqa: S101 - the caller saw to it
    for start, end in bounds[bounds[:, 1] - bounds[:, 0] > 2]:
        usual = float(np.median(steps[start : end - 1]))
        if usual <= 0:
            raise DataError(
                f"{samples.where(int(start))}: most of its rows have the time of the row before, which tells no"
                " sampling rate: write finer times, or leave `time` out and name fleet.window.rate."
            )
        if abs(usual - interval) > max(window.tolerance, 1e-3) * interval + 1:
            what = f"fleet.window.rate = {window.rate:g}" if window.rate else "its other recordings"
            raise DataError(
                f"{samples.where(int(start))}: samples come every {lasting(usual, times.dated)} from here on,"
                f" and every {lasting(interval, times.dated)} by {what}: recordings of a device have one"
                " sampling rate."
            )


def _told(samples: Samples, gaps: np.ndarray, steps: np.ndarray) -> str:
    times = samples.table.times
    assert times is not None  # noqa: S101 - the caller saw to it
    longest = int(gaps[np.argmax(steps[gaps])])
    where = f" in {counted(len({*samples.recordings[gaps]}), 'recording')}" if len(samples.names) > 1 else ""
    each = "no window crosses it" if len(gaps) == 1 else "no window crosses one"
    return (
        f"{samples.table.name}: {counted(len(gaps), 'gap')}{where}, the longest"
        f" {lasting(float(steps[longest]), times.dated)} before row {samples.rows[longest + 1] + 1:,}; {each}."
    )


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")

"""Follows samples one by one and says when a feature has drifted: Page's test, in small integers.

For each feature two scores, where a value lies among those of training and how far out, are summed up, upwards
and downwards, less a slack; a sum never falls below 0, and an alarm is raised where it reaches the feature's
limit (Page 1954, "Continuous Inspection Schemes"; Page-Hinkley's test with the mean known). An alarm stands
until the sums are set to 0. `fma_drift.c` does the same, bit for bit.

The limit is 25 standard deviations of a score, or twice what the training samples reached in their order: what
comes and goes with the hour or the batch there is no drift. Where that is much, only every so manieth sample is
looked at. `benchmarks/drift.py` measures how often an alarm is wrong and how late it is.
"""

from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.drift.reference import LIMIT, MOST, RAREST, Reference, binned, single

SUMS = 4
"""Of a feature: values that rise, that fall, that spread, that draw together."""


@dataclass(frozen=True)
class Followed:
    """What is known after some samples.

    Attributes:
        sums: (features, SUMS) int16.
        seen: samples since one was looked at, that one included; 0 before the first.
        since: (features,) int64, the row that raised the alarm of each feature; -1 where none did.
    """

    sums: np.ndarray
    seen: int
    since: np.ndarray

    @property
    def drifted(self) -> np.ndarray:
        """The features with an alarm from these samples, (drifted,) int64, the first alarm first."""
        found = np.flatnonzero(self.since >= 0)
        return found[np.argsort(self.since[found], kind="stable")]


def follow(
    reference: Reference, raw: np.ndarray, faults: np.ndarray, before: Followed | None = None
) -> Followed:
    """Follows samples in their order.

    Args:
        reference: the training samples.
        raw: (rows, features) float64; a feature without a value, NaN, is left out of its sums.
        faults: (rows,) bool, which of them the model calls faults.
        before: from earlier samples.
    """
    features, every = raw.shape[1], reference.every
    seen = 0 if before is None else before.seen
    looked_at = np.flatnonzero((seen + np.arange(len(raw))) % every == 0)
    seen = (seen + len(raw)) % every
    sums = np.zeros((features, SUMS), np.int64) if before is None else before.sums.astype(np.int64)
    if not len(looked_at):
        return Followed(sums.astype(np.int16), seen, np.full(features, -1))
    found = _sums(reference, raw[looked_at], faults[looked_at], sums)
    limits = np.broadcast_to(reference.limits[:, None], sums.shape)
    stands = sums >= limits
    reached = (found >= limits) & ~stands
    raised = reached.any(axis=2)
    since = np.where(raised.any(axis=0), looked_at[raised.argmax(axis=0)], -1)
    after = np.where(stands | reached.any(axis=0), limits, found[-1])
    return Followed(after.astype(np.int16), seen, since)


def calibrated(reference: Reference, raw: np.ndarray, faults: np.ndarray) -> Reference:
    """Returns the reference with limits that the training samples, in order of time, stay below half of."""
    every, none = 1, np.zeros((raw.shape[1], SUMS), np.int64)
    while True:
        largest = _sums(reference, raw[::every], faults[::every], none).max(axis=(0, 2))
        if 2 * largest.max() <= MOST or every == RAREST:
            return replace(reference, limits=np.clip(2 * largest, LIMIT, MOST), every=every)
        every *= 2


def _sums(reference: Reference, raw: np.ndarray, faults: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Returns the sums after each sample, (rows, features, SUMS) int64, as if there were no limits."""
    added = np.cumsum(_steps(reference, raw, faults), axis=0)
    return np.asarray(added - np.minimum(np.minimum.accumulate(added, axis=0), -before))


def _steps(reference: Reference, raw: np.ndarray, faults: np.ndarray) -> np.ndarray:
    """Returns what each sample adds to the sums, (rows, features, SUMS) int64."""
    which = faults.astype(np.int64) if len(reference.edges) > 1 else np.zeros(len(raw), np.int64)
    values, features = single(raw), np.arange(raw.shape[1])
    bins = np.zeros(raw.shape, np.int64)
    for each, edges in enumerate(reference.edges):
        bins[which == each] = binned(edges, values[which == each])
    found = reference.scores.astype(np.int64)[which[:, None], features, bins]
    steps = np.stack([found[..., 0], -found[..., 0], found[..., 1], -found[..., 1]], axis=2)
    steps -= reference.slack[which][:, None, None]
    return np.where(np.isnan(values)[:, :, None], 0, steps)

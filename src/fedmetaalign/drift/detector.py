"""Follows samples one by one and says when a feature has drifted: Page's test, in small integers.

For each feature two scores, where a value lies among those of training and how far out, are summed up, upwards
and downwards, less a slack; a sum never falls below 0, and an alarm is raised where it reaches the feature's
limit (Page 1954, "Continuous Inspection Schemes"; Page-Hinkley's test with the mean known). An alarm stands
until the sums are set to 0. `fma_drift.c` does the same, bit for bit.

Samples that follow one another are often alike, and say less than as many others. So of each feature as many
are left out as it takes until they are not, by the training samples in their order. The limit is 25 standard
deviations of a score, or twice what the training samples reached: what comes and goes with the hour or the
batch there is no drift. `benchmarks/drift.py` measures how often an alarm is wrong and how late it is.
"""

from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.drift.reference import LIMIT, MOST, RAREST, Reference, binned, single, slack_of

SUMS = 4
"""Of a feature: values that rise, that fall, that spread, that draw together."""

ALIKE = 0.5
"""The correlation of the samples that are looked at, at most."""


@dataclass(frozen=True)
class Followed:
    """What is known after some samples.

    Attributes:
        sums: (features, SUMS) int16.
        seen: how many samples there were, modulo RAREST.
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
    seen = 0 if before is None else before.seen
    sums = np.zeros((raw.shape[1], SUMS), np.int64) if before is None else before.sums.astype(np.int64)
    since = np.full(raw.shape[1], -1)
    steps = _steps(reference, raw, faults)
    for i, (limit, every) in enumerate(zip(reference.limits, reference.every, strict=True)):
        looked_at = np.flatnonzero((seen + np.arange(len(raw))) % every == 0)
        if not len(looked_at):
            continue
        found, stands = _sums(steps[looked_at, i], sums[i]), sums[i] >= limit
        reached = (found >= limit) & ~stands
        if reached.any():
            since[i] = looked_at[reached.any(axis=1).argmax()]
        sums[i] = np.where(stands | reached.any(axis=0), limit, found[-1])
    return Followed(sums.astype(np.int16), (seen + len(raw)) % RAREST, since)


def calibrated(reference: Reference, raw: np.ndarray, faults: np.ndarray) -> Reference:
    """Returns the reference with what the training samples, in order of time, tell: every, slack and limits."""
    counts, features = reference.counts.sum(axis=2), raw.shape[1]
    slack, limits, every = (
        np.empty_like(reference.slack),
        np.empty(features, np.int64),
        np.ones(features, np.int64),
    )
    places = _steps(replace(reference, slack=np.zeros_like(slack)), raw, faults)[:, :, 0]
    for i, place in enumerate(places.T):
        while (alike := _alike(place, every[i])) > ALIKE and every[i] < RAREST:
            every[i] *= 2
        slack[:, i] = [slack_of(count / every[i] * (1 - alike) / (1 + alike)) for count in counts[:, i]]
    steps = _steps(replace(reference, slack=slack), raw, faults)
    for i in range(features):
        while True:
            largest = _sums(steps[:: every[i], i], np.zeros(SUMS, np.int64)).max()
            if 2 * largest <= MOST or every[i] == RAREST:
                break
            every[i] *= 2
        limits[i] = min(max(2 * largest, LIMIT), MOST)
    return replace(reference, slack=slack, limits=limits, every=every)


def _alike(place: np.ndarray, apart: int) -> float:
    """Returns how samples, (rows,), go together with those so many later, 0 to 1."""
    return max(0.0, float((place[apart:] * place[:-apart]).sum() / max((place**2).sum(), 1)))


def _sums(steps: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Returns a feature's sums after each sample, (rows, SUMS) int64, as if there were no limit."""
    added = np.cumsum(steps, axis=0)
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
    steps -= reference.slack[which][:, :, None]
    return np.where(np.isnan(values)[:, :, None], 0, steps)

"""How a device's training samples were distributed: edges of bins for each feature, and counts.

Samples that the model calls faults have a distribution of their own where there are enough of them: a fault
that lasts is then no drift, since it looks as faults did in training.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

EDGES = 9
"""Of a feature: where the training samples begin, their eighths, and where they end."""

BINS = EDGES + 1
"""Eight with an eighth of the samples each, as far as equal values let them, and one beyond either end."""

FEWEST = 50
"""Samples that the faults, and the others, need for a distribution of their own."""

UNIT = 32
"""Of the scores: so many are a standard deviation."""

LIMIT = 25 * UNIT
"""What a sum of scores has to reach for an alarm, at least; `detector` says why."""

MOST = 20 * LIMIT
"""That limit at most, which 16 bits hold."""

RAREST = 1024
"""Of so many samples one at least is looked at."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Reference:
    """What a bundle carries of its device's training samples.

    Attributes:
        edges: (references, features, EDGES) float32, in raw units, none less than that before it; of one
            reference for all samples, or of two: of those that the model calls normal, and of its faults.
        counts: (references, features, BINS) int64, the samples below the first edge, from each edge to the
            next, and from the last on.
        slack: (references, features) int64, what a mean score may be off.
        limits: (features,) int64, the sum of scores that is an alarm.
        every: (features,) int64, powers of two: of so many samples, which are alike, one is looked at.
    """

    edges: np.ndarray
    counts: np.ndarray
    slack: np.ndarray
    limits: np.ndarray
    every: np.ndarray

    def __post_init__(self) -> None:
        """Raises ValueError where this is no reference, as in a damaged file."""
        references, features = self.edges.shape[:2]
        if self.edges.shape != (references, features, EDGES) or references not in (1, 2) or not features:
            raise ValueError("the edges of drift are not of one or two references")
        own = self.limits.shape == self.every.shape == (features,) and self.slack.shape == (
            references,
            features,
        )
        if self.counts.shape != (references, features, BINS) or not own:
            raise ValueError("the edges, counts and limits of drift are not of the same features")
        if not np.isfinite(self.edges).all() or (np.diff(self.edges, axis=2) < 0).any():
            raise ValueError("the edges of drift must be finite, and rise")
        totals = self.counts.sum(axis=2)
        if (self.counts < 0).any() or (totals < 1).any():
            raise ValueError("the counts of drift must be those of some samples")
        if (self.limits < LIMIT).any() or (self.limits > MOST).any():
            raise ValueError(f"the limits of drift lie between {LIMIT} and {MOST}")
        if (self.slack < 0).any() or (self.slack > 127).any():
            raise ValueError("the slack of drift lies between 0 and 127")
        if not np.isin(self.every, 2 ** np.arange(11)).all():
            raise ValueError(f"of drift one sample is looked at of 1, 2, 4, ... or {RAREST}")

    @classmethod
    def of(cls, raw: np.ndarray, faults: np.ndarray) -> "Reference":
        """Takes the distribution of training samples.

        Args:
            raw: (rows, features) float64, at least one row; NaN where a feature has no value.
            faults: (rows,) bool, which of them the deployed model calls faults.
        """
        several = min(np.count_nonzero(faults), np.count_nonzero(~faults)) >= FEWEST
        parts = [raw[~faults], raw[faults]] if several else [raw]
        columns = [[_known(column) for column in single(part).T] for part in parts]
        edges = np.stack([np.stack(list(map(edges_of, part))) for part in columns])
        counts = np.stack(
            [np.stack(list(map(_counted, own, part))) for own, part in zip(edges, columns, strict=True)]
        )
        count = raw.shape[1]
        slack = np.array([list(map(slack_of, each)) for each in counts.sum(axis=2)])
        return cls(edges, counts, slack, np.full(count, LIMIT), np.ones(count, np.int64))

    @property
    def scores(self) -> np.ndarray:
        """The scores of each bin, (references, features, BINS, 2) int8: where a value lies, and how far out.

        Both have a mean of 0 among the training samples, and a standard deviation of `UNIT` at most. The first
        is the middle rank of the bin's samples, the second the square of that.
        """
        share = self.counts / self.counts.sum(axis=2, keepdims=True)
        place = np.cumsum(share, axis=2) - share / 2 - 0.5
        place = _standard(place, share, 0.125)
        both = np.stack([place, _standard(place**2, share, 0.25)], axis=3)
        return np.asarray(np.rint(UNIT * both), np.int8)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as bundle.json has it."""
        return {each.name: getattr(self, each.name).tolist() for each in fields(self)}

    @classmethod
    def read(cls, facts: Any) -> "Reference":
        """Reads what `to_dict` returns.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        whole = {
            each.name: np.array(facts[each.name], np.int64) for each in fields(cls) if each.name != "edges"
        }
        return cls(np.array(facts["edges"], np.float32), **whole)


def slack_of(samples: float) -> int:
    """Returns the slack: a quarter of a standard deviation, and two standard errors of the mean of training.

    Args:
        samples: of training, less where each is like the one before it.
    """
    return int(min(UNIT // 4 + np.ceil(2 * UNIT / np.sqrt(max(samples, 1))), 3 * UNIT // 4))


def single(raw: np.ndarray) -> np.ndarray:
    """Returns raw values as a device has them, float32."""
    with np.errstate(over="ignore"):
        return raw.astype(np.float32)


def binned(edges: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Returns the bin of each value, (rows, features) int64.

    Args:
        edges: (features, EDGES) float32.
        raw: (rows, features) float32; the bin of NaN means nothing.
    """
    return np.column_stack(
        [np.searchsorted(own, column, side="right") for own, column in zip(edges, raw.T, strict=True)]
    )


def _known(values: np.ndarray) -> np.ndarray:
    """Returns the values that there are, (values,) float32; a single 0 where there is none."""
    found = values[~np.isnan(values)]
    return found if len(found) else np.zeros(1, np.float32)


def _counted(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns how many values are in each bin, (BINS,) int64."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=BINS)


def edges_of(values: np.ndarray) -> np.ndarray:
    """Returns the edges of a feature, (EDGES,) float32: those that equal values leave out are its end."""
    ordered = np.clip(np.sort(values), -_LARGEST, _LARGEST)
    end = np.nextafter(ordered[-1], np.float32(_LARGEST), dtype=np.float32)
    eighths = np.unique(ordered[[len(ordered) * i // 8 for i in range(8)]])
    return np.concatenate([eighths, np.full(EDGES - len(eighths), end, np.float32)])


def _standard(values: np.ndarray, share: np.ndarray, least: float) -> np.ndarray:
    """Takes the mean away and divides by the standard deviation, at least so much; 4 of these are the most."""
    centred = values - (share * values).sum(axis=2, keepdims=True)
    spread = np.sqrt((share * centred**2).sum(axis=2, keepdims=True))
    found = np.clip(centred / np.maximum(spread, least), -(127 / UNIT), 127 / UNIT)
    return np.asarray(found)

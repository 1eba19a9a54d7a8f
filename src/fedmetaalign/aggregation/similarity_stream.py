"""The similarity rule for a cohort that memory cannot hold: its deltas are looked at one by one, twice.

First they are added up, which gives the direction that all are compared with; then each is weighted, and the
weighted ones are added up. That is the rule itself and no approximation: only the order of sums is another than
in `similarity`, which takes all at once where they fit, for the sake of the same bits as ever.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fedmetaalign.aggregation import Aggregate, Aggregator, Contribution, Memory, gathered
from fedmetaalign.aggregation.geometry import NO_DIRECTION, cosines, norms, units
from fedmetaalign.aggregation.similarity import Criterion, normalized, product, similarity

VALUES = 2**24
"""Of all deltas together that are taken at once: 128 MB in float64."""


@dataclass(frozen=True)
class Settings:
    """The arguments of `similarity`."""

    floor: float = 0.1
    reference: Literal["mean", "others", "root"] = "mean"
    unit_norm: bool = False
    criteria: tuple[Criterion, ...] = ("score", "alignment")


@dataclass
class _Seen:
    """What a round has come to; the sums are (parameters,) float64.

    Attributes:
        root: the server's own delta.
        held: contributions as they came, as long as all of them are few enough.
        count: contributions that were added up instead.
        parts: their sum, of unit length each where that is asked for.
        longest: the length of the longest part.
        step: the sum of weight times delta.
        plain: the sum of the deltas.
        weights: not yet normalised.
        alignment: of each.
    """

    root: np.ndarray | None
    held: list[Contribution] = field(default_factory=list)
    count: int = 0
    parts: np.ndarray | float = 0.0
    longest: float = 0.0
    step: np.ndarray | float = 0.0
    plain: np.ndarray | float = 0.0
    weights: list[float] = field(default_factory=list)
    alignment: list[float] = field(default_factory=list)


def of_any_size(settings: Settings, values: int = VALUES) -> Aggregator[_Seen]:
    """Returns the aggregator of the similarity rule; up to so many `values` it takes all deltas at once."""

    def init(memory: Memory, root: np.ndarray | None) -> _Seen:
        return _Seen(root)

    def add(seen: _Seen, sent: Contribution) -> _Seen:
        if not seen.count:
            seen.held.append(sent)
        if seen.count or len(seen.held) * sent.delta.size > values:
            for each in _taken(seen, sent):
                part = _part(each, settings)
                seen.parts = seen.parts + part
                seen.longest = max(seen.longest, float(norms(part[np.newaxis])[0]))
                seen.count += 1
        return seen

    def again(seen: _Seen, sent: Contribution) -> _Seen:
        if not seen.count:
            return seen
        delta = sent.delta.astype(np.float64)
        direction, least = np.asarray(seen.parts) / seen.count, NO_DIRECTION * seen.longest / seen.count
        if settings.reference == "others":
            direction = direction - _part(sent, settings) / seen.count
        if settings.reference == "root":
            assert seen.root is not None  # noqa: S101 - the round is run with one
            direction, least = seen.root.astype(np.float64), 0.0
        alignment = cosines(delta[np.newaxis], direction, least)
        raised = np.maximum(settings.floor, alignment)
        weight = float(product(settings.criteria, np.array([sent.query_score]), raised)[0])
        seen.step, seen.plain = seen.step + weight * delta, seen.plain + delta
        seen.weights.append(weight)
        seen.alignment.append(float(alignment[0]))
        return seen

    def finish(seen: _Seen) -> Aggregate:
        if not seen.count:
            return similarity(
                gathered(seen.held, {}, seen.root),
                settings.floor,
                settings.reference,
                settings.unit_norm,
                settings.criteria,
            )
        total = sum(seen.weights)
        alone = seen.count == 1  # is followed to the bit
        step = seen.step / total if total and not alone else seen.plain / seen.count
        return Aggregate(np.asarray(step), normalized(np.array(seen.weights)), np.array(seen.alignment))

    return Aggregator(init, add, finish, again)


def _taken(seen: _Seen, sent: Contribution) -> Iterator[Contribution]:
    """Yields what is to be added up: the contribution, or all that were held up to now."""
    if seen.count:
        yield sent
    while seen.held:
        yield seen.held.pop(0)


def _part(sent: Contribution, settings: Settings) -> np.ndarray:
    """Returns what a delta is in the reference, (parameters,) float64."""
    delta = sent.delta.astype(np.float64)
    return units(delta[np.newaxis])[0] if settings.unit_norm else delta

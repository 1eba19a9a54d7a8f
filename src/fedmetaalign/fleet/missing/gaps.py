"""What becomes of the values that a device's table lacks: the rule of `model.missing`, applied and told."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.by_channel import groups_of, medians
from fedmetaalign.fleet.placement import joined
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.missing import Missing, carried
from fedmetaalign.model.rules import FLAGGED

_MOST = 5  # devices, features of a device, and texts of a feature that a sentence names


@dataclass(frozen=True)
class Gaps:
    """Which values a table lacks, and why.

    Attributes:
        codes: (rows, features) int16, 0 of a value that is there, else where its reason stands.
        reasons: such as "empty" or "'No Data'"; the first is "".
    """

    codes: np.ndarray
    reasons: tuple[str, ...]

    @classmethod
    def none(cls, rows: int, features: int) -> "Gaps":
        """Returns those of a table that lacks nothing, which take no memory."""
        return cls(np.broadcast_to(np.int16(0), (rows, features)), ("",))

    def take(self, rows: np.ndarray | slice) -> "Gaps":
        """Returns those of some rows."""
        if len(self.reasons) == 1:
            return Gaps.none(len(self.codes[rows, :0]), self.codes.shape[1])
        return Gaps(self.codes[rows], self.reasons)

    def counts(self, features: tuple[str, ...]) -> dict[str, dict[str, int]]:
        """Returns of each feature that lacks values how often for which reason."""
        found = {}
        for feature, codes in zip(features, self.codes.T, strict=True):
            counts = np.bincount(codes, minlength=len(self.reasons))[1:]
            if counts.any():
                order = sorted(range(len(counts)), key=lambda i: -counts[i])
                found[feature] = {self.reasons[i + 1]: int(counts[i]) for i in order if counts[i]}
        return found


def in_range(x: np.ndarray, features: tuple[str, ...], missing: Missing) -> Gaps:
    """Returns the gaps of values that are all finite, where they lie outside the range of their sensor.

    Args:
        x: (rows, features).
        features: their names.
        missing: states the ranges.
    """
    codes, reasons = np.zeros(x.shape, np.int16), [""]
    outside = missing.broken(x, features)
    for i, name in enumerate(features):
        if outside[:, i].any():
            codes[outside[:, i], i] = len(reasons)
            reasons.append(range_reason(missing, name))
    return Gaps(codes, tuple(reasons))


def range_reason(missing: Missing, feature: str) -> str:
    """Returns how a value outside its range is told."""
    if feature not in missing.ranges:
        return "too large for float32"
    low, high = missing.ranges[feature]
    return f"outside {low:g} to {high:g}"


def settled(table: Table, empty: np.ndarray, gaps: Gaps, missing: Missing) -> tuple[Table, np.ndarray]:
    """Applies the rule to a device's rows as far as no training set has to be known.

    Rows go under `drop`, and values are carried on under `last`; under every rule that fills, values that are
    still lacking become NaN, and a feature without any value is none of the device's.

    Args:
        table: of all its rows, in their order.
        empty: (rows,) bool, which have no label.
        gaps: what the table lacks.
        missing: the rule.

    Returns:
        The table, and which of its rows have no label.

    Raises:
        DataError: nothing is left, or (under `reject`) there is a gap.
    """
    ranges = {name: ends for name, ends in missing.ranges.items() if name in table.features}
    missing = replace(missing, ranges=ranges)
    table = replace(table, missing=missing)
    holes = gaps.codes > 0 if len(gaps.reasons) > 1 else np.zeros((1, 1), bool)
    if not holes.any():
        return table, empty
    table = replace(table, gaps=gaps.counts(table.features))
    if missing.rule == "reject":
        row, column = np.argwhere(holes)[0]
        raise DataError(
            f"Device {table.name}, row {row + 1}: '{table.features[column]}' is"
            f" {gaps.reasons[gaps.codes[row, column]]}, and so are {holes.sum() - 1:,} more values: correct"
            " them, or say with missing_values what stands for them."
        )
    if missing.rule == "drop":
        kept = np.flatnonzero(~holes.any(axis=1))
        if not len(kept):
            raise DataError(
                f'Device {table.name} has no row without a missing value, and missing_values = "drop" leaves'
                " none: drop a feature instead, or choose another rule."
            )
        return replace(table.take(kept), dropped=np.flatnonzero(holes.any(axis=1))), empty[kept]
    x = np.where(holes, np.nan, table.x)
    lost = np.asarray(holes.all(axis=0))
    if lost.all():
        raise DataError(f"Device {table.name} has no value of any feature: leave it out, or give it data.")
    carries = missing.rule == "last"
    if carries:
        x = carried(x, holes)
    there = [i for i, is_lost in enumerate(lost) if not is_lost]
    if lost.any():
        x = x[:, there]
    return replace(
        table,
        features=tuple(table.features[i] for i in there),
        units=tuple(table.units[i] for i in there),
        categories={
            name: texts for name, texts in table.categories.items() if not lost[table.features.index(name)]
        },
        missing=replace(
            missing,
            ranges={n: ends for n, ends in missing.ranges.items() if not lost[table.features.index(n)]},
        ),
        x=np.ascontiguousarray(x),
        holes=holes[:, there] if carries else None,
    ), empty


def filled(table: Table, rows: np.ndarray, flags: Sequence[int] | None = None) -> Table:
    """Fills what a table still lacks with the medians of its training samples; under `flag`, and says where.

    A table that lacks nothing stays the same, to the last bit.

    Args:
        table: as `settled` has left it.
        rows: (rows,) int64, those that it trains on.
        flags: the features of which an input says that they are missing, under `flag`; by default those that
            lack values in these rows.

    Raises:
        DataError: a feature has no value among them.
    """
    if not table.missing.fills:
        return table
    known = table.measured(rows)
    lacking = np.isnan(known)
    if lacking.all(axis=0).any():
        name = table.features[int(np.argmax(lacking.all(axis=0)))]
        raise DataError(
            f"Device {table.name} has no value of '{name}' among its {len(known)} training samples: leave the"
            " feature or the device out."
        )
    texts = [name in table.categories for name in table.features]
    middle = np.nanquantile(known, 0.5, axis=0) if len(known) else np.zeros(len(texts))
    lower = np.nanquantile(known, 0.5, axis=0, method="lower") if any(texts) else middle
    values = np.where(texts, lower, middle)  # between two texts there is none
    if (groups := groups_of(table)) is not None:
        values = medians(known, groups)
    if flags is None:
        flags = np.flatnonzero(lacking.any(axis=0)).tolist()
    flags = tuple(flags) if table.missing.rule == "flag" else ()
    names = tuple(FLAGGED.format(table.features[i]) for i in flags)

    def whole(x: np.ndarray) -> np.ndarray:
        holes = np.isnan(x)
        x = np.where(holes, values, x) if holes.any() else x
        return np.hstack([x, holes[:, list(flags)]]) if flags else x

    holes, more = (_holes(x, before) for x, before in _both(table))
    if not any(each is not None and each.any() for each in (holes, more)):
        holes = more = None
    return replace(
        table,
        holes=holes,
        unlabelled_holes=more,
        x=whole(table.x),
        unlabelled=None if table.unlabelled is None else whole(table.unlabelled),
        features=(*table.features, *names),
        units=(*table.units, *[""] * len(flags)),
        fill=tuple(values.tolist()),
        flags=flags,
    )


def _both(table: Table) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Yields the values of rows with a label, and of those without, and what was carried on there."""
    yield table.x, table.holes
    yield table.unlabelled, table.unlabelled_holes


def _holes(x: np.ndarray | None, before: np.ndarray | None) -> np.ndarray | None:
    if x is None:
        return None
    return np.asarray(np.isnan(x) if before is None else np.isnan(x) | before)


def notices(tables: Iterable[Table]) -> Iterator[str]:
    """Yields what the rules have done, a sentence a device."""
    told = [table for table in tables if table.gaps]
    for table in told[:_MOST]:
        rule = table.missing.rule
        pieces = _few([_of_feature(name, reasons) for name, reasons in table.gaps.items()])
        what = f"filled {_joined(pieces)} on {table.name}"
        if rule == "drop":
            gone = 0 if table.dropped is None else len(table.dropped)
            rows = len(table) + gone + (0 if table.unlabelled is None else len(table.unlabelled))
            thing = "windows" if table.windows is not None else "rows"
            what = f"left out {gone:,} of {rows:,} {thing} of {table.name}, for {_joined(pieces)}"
        there = (
            table.features if table.signal is None else table.signal.columns if table.windows else table.gaps
        )
        lost = [name for name in table.gaps if name not in there]
        more = f"; it never gave {joined(map(repr, lost))}, and lacks that" if lost and rule != "drop" else ""
        yield f"Missing values, {rule}: {what}{more}."
    if len(told) > _MOST:
        cells = sum(sum(reasons.values()) for table in told[_MOST:] for reasons in table.gaps.values())
        yield f"Missing values on other devices ({len(told) - _MOST}): {cells:,}."


def added(counts: Mapping[str, Counter[str]], more: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Returns the counts of several pieces of a table together, each as `Gaps.counts` has them."""
    return {**counts, **{name: counts.get(name, Counter()) + Counter(each) for name, each in more.items()}}


def without(counts: Mapping[str, Counter[str]]) -> str:
    """Returns what values are missing, as a list in words; "" where none is."""
    pieces = [_of_feature(name, dict(reasons.most_common())) for name, reasons in counts.items()]
    return _joined(_few(pieces)) if pieces else ""


def _few(pieces: list[str]) -> list[str]:
    return pieces if len(pieces) <= _MOST else [*pieces[:_MOST], f"{len(pieces) - _MOST} more features"]


def _of_feature(name: str, reasons: Mapping[str, int]) -> str:
    shown = [f"{count:,} {reason}" for reason, count in reasons.items()]
    if len(shown) > _MOST:
        rest = [count for _, count in list(reasons.items())[_MOST:]]
        shown[_MOST:] = [f"{sum(rest):,} other{'s' * (sum(rest) > 1)}"]
    total = sum(reasons.values())
    return f"{total:,} cell{'s' * (total > 1)} of '{name}' ({', '.join(shown)})"


def _joined(pieces: list[str]) -> str:
    return " and ".join([", ".join(pieces[:-1]), pieces[-1]]) if len(pieces) > 1 else pieces[0]

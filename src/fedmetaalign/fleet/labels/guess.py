"""What the label is where nobody says: which columns, and which of their values mean no fault."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.findings import of_no_use
from fedmetaalign.fleet.columns.words import (
    FAULT_NAMES,
    FAULT_VALUES,
    LABEL_NAMES,
    NORMAL_VALUES,
    TELLING_VALUES,
    ordered,
    words,
)
from fedmetaalign.fleet.files import Raw, cells, listed, require
from fedmetaalign.fleet.labels.classes import Labels, Value, canonical, fault_or_not
from fedmetaalign.model.target import MOST_CLASSES

_FLAGS = {"0", "1", "true", "false"}
_FEW = 30  # the most values of a column that is taken for a label unasked
_RARE = 1 / 3  # the share below which the rarer of two values is taken for the fault


@dataclass(frozen=True)
class Guess:
    """What the label is.

    Attributes:
        columns: the label columns.
        normal: the values of one column that mean no fault; empty for 0/1, and for several columns.
        faults: its other values, the most frequent first; empty for 0/1, and for several columns.
        why: why these columns, and why these values, for a sentence.
        sure: False where nothing tells which values are normal, so that somebody should look.
    """

    columns: tuple[str, ...]
    normal: tuple[str, ...]
    faults: tuple[str, ...]
    why: str
    sure: bool = True

    @property
    def sentence(self) -> str:
        """The guess as an audit reports it."""
        if len(self.columns) > 1:
            return f"Label: columns {listed(self.columns)}, a fault if any is set ({self.why})."
        meaning = ""
        if self.faults:
            fault, normal = listed(self.faults), listed(self.normal)
            meaning = f", {fault} mean{'s' * (len(self.faults) == 1)} fault and {normal} no fault"
        return f"Label: column '{self.columns[0]}'{meaning} ({self.why})."


def guess(
    raw: Raw, named: Sequence[str] = (), positive: Sequence[Value] = (), normal: Sequence[Value] = ()
) -> Guess:
    """Says what the label is.

    Args:
        raw: the file.
        named: the label columns where they are known.
        positive: the values that mean fault where they are known; of several columns those of each.
        normal: the values that mean no fault where they are known.

    Raises:
        DataError: a named column is not there, none is named and none looks like a label, or a named value
            never occurs.
    """
    require(raw, named)
    found = {name: levels(raw, name, MOST_CLASSES if named else _FEW) for name in named or raw.frame.columns}
    chosen, why = (tuple(named), "as named") if named else _columns(raw, found)
    if not chosen:
        raise DataError(
            f"{raw.path} has no column that looks like a label (0/1, yes/no, or words such as ok and leak);"
            " name it with --label"
        )
    if len(chosen) > 1:
        return Guess(chosen, (), (), why)
    seen = found[chosen[0]]
    if seen is None:
        raise DataError(
            f"{raw.path}, column '{chosen[0]}' has more than {MOST_CLASSES} values and cannot be a label; name"
            " another with --label"
        )
    _occur(raw, chosen[0], seen, (*positive, *normal))
    if positive or normal:
        known = {canonical(value) for value in positive or normal}
        hit = tuple(cell for cell in seen if canonical(cell) in known)
        rest = tuple(cell for cell in seen if cell not in hit)
        return Guess(chosen, rest if positive else hit, hit if positive else rest, why)
    return _meaning(chosen, seen, why)


def levels(raw: Raw, name: str, most: int) -> dict[str, int] | None:
    """The values of a column and how often each occurs, the most frequent first; None where there are more."""
    series = raw.frame[name]
    if of_no_use(series):
        return None
    few = series.drop_nulls().head(5000).unique()
    if len(few) > most * 4 or len(counted := series.drop_nulls().value_counts()) > most * 4:
        return None  # spelt in up to four ways each, such as " 1", "1", "1.0"
    text = cells(replace(raw, frame=counted), name)
    found: dict[str, int] = {}
    for cell, count in zip(text, counted.to_series(1), strict=True):
        if cell is not None:
            found[cell] = found.get(cell, 0) + count
    ordered = sorted(found, key=lambda cell: (-found[cell], cell))
    return None if len(found) > most else {cell: found[cell] for cell in ordered}


def _columns(raw: Raw, found: Mapping[str, dict[str, int] | None]) -> tuple[tuple[str, ...], str]:
    """The label columns, and why: by their names first, then by their values."""
    few = {name: seen for name, seen in found.items() if seen}
    two = [name for name, seen in few.items() if len(seen) <= 2]
    more = [name for name, seen in few.items() if len(seen) > 2 and _tells_normal(seen)]
    if named := [name for name in two if FAULT_NAMES & words(name)]:
        return _overall(raw, named, few), "by its name and because it has two values"
    if named := [name for name in more if FAULT_NAMES & words(name)]:
        return (named[0],), "by its name and its values"
    if told := [
        name for name, seen in few.items() if TELLING_VALUES & _folded(seen) and not _ranks(name, seen)
    ]:
        told.sort(key=lambda name: not LABEL_NAMES & words(name))
        known = listed(sorted(TELLING_VALUES & _folded(few[told[0]])))
        return (told[0],), f"by its values, such as {known}"
    if named := [name for name in two if LABEL_NAMES & words(name)]:
        return (named[-1],), "by its name and because it has two values"
    for names in (FAULT_NAMES, LABEL_NAMES):
        if named := [name for name, seen in few.items() if len(seen) > 1 and names & words(name)]:
            return (named[-1],), "by its name and because it has few values"
    flags = [name for name in two if set(few[name]) == {"0", "1"}]
    columns = list(found)
    backwards = columns[columns.index(flags[-1]) :: -1] if flags else []
    block = tuple(takewhile(flags.__contains__, backwards))
    return block[::-1], "no column is named like a label and these are 0/1"


def _overall(raw: Raw, named: Sequence[str], few: Mapping[str, dict[str, int]]) -> tuple[str, ...]:
    """Of several columns of two values the one that is set where any other is; without one, all of a kind."""
    flags = [name for name in named if set(few[name]) <= _FLAGS]
    if len(flags) < 2:
        return (named[-1],)
    on = {name: fault_or_not(*_labelled(raw, (name,))).y != 0 for name in flags}
    for name in sorted(flags, key=lambda name: on[name].sum(), reverse=True):
        rest = np.any([on[other] for other in flags if other != name], axis=0)
        if on[name][rest].mean() > 0.9 if rest.any() else True:
            return (name,)
    alike = set.intersection(*(words(name) for name in flags)) & FAULT_NAMES
    return tuple(flags) if alike and len(flags) == len(named) else (named[-1],)


def _meaning(chosen: tuple[str, ...], seen: Mapping[str, int], why: str) -> Guess:
    """Which values of a label mean no fault: known words, else 0, else what most rows hold."""
    if set(seen) <= _FLAGS:
        return Guess(chosen, (), (), why)
    sure = True
    if healthy := NORMAL_VALUES & _folded(seen):
        normal = [cell for cell in seen if cell.lower() in healthy]
    elif len(seen) == 2 and len(faults := FAULT_VALUES & _folded(seen)) == 1:
        normal = [cell for cell in seen if cell.lower() not in faults]
    else:
        total, (most, count) = sum(seen.values()), next(iter(seen.items()))
        common = count > total / 2 if len(seen) > 2 else count >= (1 - _RARE) * total
        sure = common and len(seen) == 2
        normal = [most if common else min(seen, key=lambda cell: (_number(cell), cell))]
        why += f", {'the rarer value means fault' if sure else 'none of its values says normal'}"
    return Guess(chosen, tuple(normal), tuple(cell for cell in seen if cell not in normal), why, sure)


def labelled_rows(raw: Raw, label: Guess) -> tuple[Labels, np.ndarray]:
    """As `fault_or_not`, of the rows that have a label, and which rows these are (rows,) bool.

    Raises:
        DataError: as `fault_or_not`, or no row has a label.
    """
    filled, names = _labelled(raw, label.columns)
    labelled = ~np.any([cells(raw, name).is_null().to_numpy() for name in names], axis=0)
    if not labelled.any():
        raise DataError(f"{raw.path} has no row with a label; fill in {', '.join(names)}")
    if label.normal and not label.faults:
        n = int(labelled.sum())
        return Labels(np.zeros(n, np.int8), ("normal", "fault"), ("normal",), None), labelled
    found = fault_or_not(filled, names, label.faults)
    kinds = None if found.kinds is None else found.kinds[labelled]
    if len(label.faults) > 1:
        kinds = cells(raw, names[0]).filter(labelled).to_numpy().astype(str)
    return replace(found, y=found.y[labelled], kinds=kinds), labelled


def _labelled(raw: Raw, names: tuple[str, ...]) -> tuple[Raw, tuple[str, ...]]:
    """The file with some label in every empty cell of the named columns."""
    text = {name: cells(raw, name) for name in names}
    frame = raw.frame.with_columns(
        column.fill_null(column.drop_nulls()[0])
        for column in text.values()
        if column.null_count() < len(column)
    )
    return replace(raw, frame=frame), names


def _occur(raw: Raw, column: str, seen: Mapping[str, int], values: Sequence[Value]) -> None:
    there = {canonical(cell) for cell in seen}
    if never := [value for value in values if canonical(value) not in there]:
        raise DataError(
            f"{raw.path}, column '{column}' never holds {listed(never)}; it holds {listed([*seen])}, so name"
            " one of these"
        )


def _ranks(name: str, seen: Mapping[str, int]) -> bool:
    """Whether values are of a scale, such as low, normal and high, and no label."""
    return bool(ordered(set(seen))) and not LABEL_NAMES & words(name)


def _tells_normal(seen: Mapping[str, int]) -> bool:
    """Whether one of some values is known to mean no fault."""
    return bool(NORMAL_VALUES & _folded(seen))


def _folded(seen: Mapping[str, int]) -> set[str]:
    return {cell.lower() for cell in seen}


def _number(cell: str) -> float:
    value = canonical(cell)
    return value if isinstance(value, float) else np.inf

"""Windows of several files become those of one device."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.labels.classes import in_order
from fedmetaalign.fleet.schema import Table, Times, Windows


def joined(tables: Sequence[Table], name: str) -> Table:
    """Puts windows of one device together.

    Args:
        tables: of a file each, one at least, with recordings of their own.
        name: of the device.

    Raises:
        DataError: their features or rates are unlike, or a class means no fault in one and a fault in another.
    """
    first = tables[0]
    for other in tables[1:]:
        if (first.features, first.signal) != (other.features, other.signal):
            raise DataError(
                f"Device {name}: {_of(first)} and {_of(other)} have unlike channels or sampling rates"
                f" ({_signal(first)}, and {_signal(other)}): the recordings of a device have the same."
            )
    classes = sorted({each for table in tables for each in table.classes}, key=in_order)
    normal = {each for table in tables for each in table.normal}
    for table in tables:
        if strange := [each for each in table.classes if each in normal and each not in table.normal]:
            raise DataError(
                f"Device {name}: class '{strange[0]}' means no fault in one file and one in another."
            )
    if {table.classes for table in tables} == {first.classes}:
        classes = [*first.classes]
    y = [np.array([classes.index(each) for each in t.classes], np.int8)[t.y] for t in tables if len(t.classes)]
    bare = [table.unlabelled for table in tables if table.unlabelled is not None]
    return replace(
        first,
        name=name,
        x=np.concatenate([table.x for table in tables]),
        y=np.concatenate([*y, np.empty(0, np.int8)]),
        kinds=_together([table.kinds for table in tables]),
        groups=_together([table.groups for table in tables]),
        classes=tuple(classes),
        normal=tuple(each for each in classes if each in normal),
        unlabelled=np.concatenate(bare) if bare else None,
        times=_times(tables),
        gaps=_counts(tables),
        dropped=_together([table.dropped for table in tables if table.dropped is not None] or [None]),
        files=tuple(table.source for table in tables if table.source is not None),
        windows=_windows(tables),
    ).in_order()


def _of(table: Table) -> str:
    return table.source.name if table.source is not None else table.name


def _signal(table: Table) -> str:
    assert table.signal is not None  # noqa: S101 - they are windows
    return (
        f"{', '.join(table.signal.columns)} at {table.signal.rate or 'an unknown number of':g} samples a second"
    )


def _together(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there and len(there) == len(parts) else None


def _times(tables: Sequence[Table]) -> Times | None:
    times = [table.times for table in tables if table.times is not None]
    if len(times) < len(tables):
        return None
    return replace(times[0], values=np.concatenate([each.values for each in times]))


def _counts(tables: Sequence[Table]) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for table in tables:
        for feature, reasons in table.gaps.items():
            own = found.setdefault(feature, {})
            for reason, count in reasons.items():
                own[reason] = own.get(reason, 0) + count
    return found


def _windows(tables: Sequence[Table]) -> Windows | None:
    parts = [table.windows for table in tables if table.windows is not None]
    if not parts:
        return None
    spans, start = [], 0
    for part in parts:
        spans.append(part.spans + start)
        start += int(part.spans.max(initial=0))
    recordings = np.concatenate([part.recordings for part in parts])
    return Windows(recordings, np.concatenate(spans), parts[0].parted, tuple(n for p in parts for n in p.notes))

"""The class of a window, by those of its samples."""

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.windows.samples import Samples
from fedmetaalign.fleet.windows.wording import counted


def classes_of(
    samples: Samples, spans: np.ndarray, rule: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Labels windows.

    Args:
        samples: of the device.
        spans: (windows, 2) int64, of each window the first sample and the one after the last.
        rule: "any": the fault that most of its samples have, normal if none has one; "majority": the class of
            most; "last": that of the last; "all": the only one. Of equally many a fault comes first.

    Returns:
        The class of each, (windows,) int8; its kind, (windows,) str, where the samples have kinds; and whether
        it has a label, (windows,) bool: all its samples have one, or the last under "last".

    Raises:
        DataError: a window has several classes, under "all".
    """
    table, ends = samples.table, spans[:, 1]
    before = np.concatenate([[0], np.cumsum(samples.empty)])
    if rule == "last":
        labelled = ~samples.empty[ends - 1]
        y = table.y[ends - 1]
    else:
        labelled = before[ends] == before[spans[:, 0]]
        if not table.classes:  # of a table without a single label
            return np.zeros(len(spans), np.int8), None, np.asarray(labelled)
        counts = np.stack([_within(table.y == c, spans) for c in range(len(table.classes))], axis=1)
        faults = np.array([name not in table.normal for name in table.classes])
        if rule == "all":
            _check(samples, spans, counts, labelled)
        score = 2 * counts + faults
        if rule == "any":
            score = np.where(faults & (counts > 0), score + 2 * len(table), score)
        y = np.where(counts > 0, score, -1).argmax(axis=1)
    kinds = None
    if table.kinds is not None:
        places = np.arange(len(table))
        last = np.full(len(spans), 0)
        for c in range(len(table.classes)):
            of_class = np.maximum.accumulate(np.where(table.y == c, places, 0))
            last = np.where(y == c, of_class[ends - 1], last)
        kinds = table.kinds[last]
    return y.astype(np.int8), kinds, np.asarray(labelled)


def _within(chosen: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Counts samples that are chosen, (rows,) bool, in each window."""
    before = np.concatenate([[0], np.cumsum(chosen)])
    return np.asarray(before[spans[:, 1]] - before[spans[:, 0]])


def _check(samples: Samples, spans: np.ndarray, counts: np.ndarray, labelled: np.ndarray) -> None:
    mixed = labelled & (counts.max(axis=1) < spans[:, 1] - spans[:, 0])
    if not mixed.any():
        return
    first = int(np.argmax(mixed))
    y = samples.table.y[slice(*spans[first])]
    row = int(spans[first, 0] + np.argmax(y != y[0]))
    names = samples.table.classes
    more = f" (as in {counted(int(mixed.sum()) - 1, 'more window')})" if mixed.sum() > 1 else ""
    raise DataError(
        f"{samples.where(row)}: the label changes here from '{names[y[0]]}' to"
        f" '{names[samples.table.y[row]]}', inside a window{more}, and fleet.window.label = \"all\" takes no"
        ' such window; choose "any", "last" or "majority".'
    )

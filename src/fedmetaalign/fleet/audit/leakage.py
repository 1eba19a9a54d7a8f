"""What a split lets through: test rows that stand in the training set too, or right beside it."""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.fleet.columns.findings import Finding
from fedmetaalign.fleet.division.splits import Rows
from fedmetaalign.fleet.schema import Table

_MOST = 20_000  # rows that are looked at
_TESTED = 2_000  # test rows among them
_NEAR = 0.01  # of the usual distance: closer is nearly the same row
_OTHERS = 6  # neighbours, the last of which tells the usual distance: it is no copy where rows come in twos
_BESIDE = 2  # rows apart in the file
_LEAST = 20


def leaks_through(table: Table, rows: Rows) -> Iterator[Finding]:
    """Compares each test row with the training row nearest to it, over all features in units of their spread.

    Args:
        table: a device's samples.
        rows: how they are divided.
    """
    from scipy.spatial import cKDTree

    train, test = rows.train[rows.train < _MOST], rows.test[rows.test < _MOST]
    test = test[:: max(1, len(test) // _TESTED)]
    train, test = (part[np.isfinite(table.x[part]).all(axis=1)] for part in (train, test))
    if not len(train) or len(test) < _LEAST:
        return
    spread = table.x[train].std(axis=0)
    x = table.x / np.where(spread > 0, spread, 1)
    distances, places = cKDTree(x[train]).query(x[test], k=min(_OTHERS, len(train)))
    distances, places = distances.reshape(len(test), -1), places.reshape(len(test), -1)
    distance, place = distances[:, 0], places[:, 0]
    copies = int(np.count_nonzero(distance == 0))
    usual = float(np.median(distances[:, -1]))
    near = int(np.count_nonzero((distance > 0) & (distance < _NEAR * usual)))
    if copies:
        sentence = (
            f"{copies:,} of {len(test):,} test rows are in the training set too, in every feature; take the"
            " copies out, or keep them together with [splits] unit."
        )
        yield Finding("copies", "error" if copies > 0.05 * len(test) else "warning", None, sentence)
    if near > 0.01 * len(test):
        sentence = (
            f"{near:,} of {len(test):,} test rows are all but the same as a training row; take near-copies out,"
            " or keep them together with [splits] unit."
        )
        yield Finding("near-copies", "warning", None, sentence)
    beside = float(np.mean(np.abs(train[place] - test) <= _BESIDE))
    if beside > 0.5:
        sentence = (
            f"For {beside:.0%} of the test rows the nearest training row is a neighbour in the table: rows"
            ' follow one another in time, and this split flatters every model; use [splits] kind = "blocks",'
            ' "units" or "time".'
        )
        yield Finding("neighbours", "warning", None, sentence)

"""What is wrong with the rows of a data set as they stand: copies, and an order that tells the label."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from fedmetaalign.evaluation.rules import auc, auc_error
from fedmetaalign.fleet.columns.findings import SIGMAS, Finding


def duplicates(compare: pl.DataFrame, y: np.ndarray) -> Iterator[Finding]:
    """Counts rows that repeat an earlier one, and those whose copies have another label."""
    if compare.is_empty():
        return
    hashes = compare.hash_rows().to_numpy()
    ordered = np.sort(hashes)
    repeated_hashes = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated_hashes):
        return
    again = np.isin(hashes, repeated_hashes)  # no other row can be a copy
    compare, y = compare.filter(again), y[again]
    label = pl.col("\0y")
    groups = compare.with_columns(pl.Series("\0y", y)).group_by(compare.columns)
    counted = groups.agg(pl.len().alias("\0n"), (label.min() != label.max()).alias("\0d"))
    if repeated := compare.height - counted.height:
        disagree = int(counted.filter(pl.col("\0d"))["\0n"].sum())
        sentence = (
            f"Rows that repeat an earlier one in every feature: {repeated:,}; rows with a copy of the other "
            f"label: {disagree:,}; copies must not sit on both sides of a split."
        )
        yield Finding("duplicates", "warning", None, sentence)


def runs_test(kinds: np.ndarray) -> tuple[int, float, float]:
    """The runs of a sequence against those of a random order (Wald and Wolfowitz 1940; Mood 1940 for k kinds).

    Args:
        kinds: (rows,), any values.

    Returns:
        The number of runs, the number expected in a random order, and the standard score (0 for one kind).
    """
    n = len(kinds)
    counts = np.unique(kinds, return_counts=True)[1].astype(float)
    runs = 1 + int(np.count_nonzero(kinds[1:] != kinds[:-1]))
    squares, cubes = float((counts**2).sum()), float((counts**3).sum())
    expected = (n * (n + 1) - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1)) if n > 1 else 0.0
    return runs, expected, (runs - expected) / math.sqrt(variance) if variance > 0 else 0.0


def order(features: Mapping[str, np.ndarray], y: np.ndarray, kinds: np.ndarray) -> Iterator[Finding]:
    """Reports rows that stand in an order that tells the label, or that are sorted by a feature."""
    runs, expected, z = runs_test(kinds)
    if z < -SIGMAS:
        what = "The rows are in order of their label" if 2 * runs < expected else "Rows of one label cluster"
        sentence = (
            f"{what}: {runs:,} runs where a random order has about {expected:,.0f} (z = {z:.1f}); shuffle and "
            "stratify, or split by blocks where neighbours are of one waveform."
        )
        yield Finding("order", "warning", None, sentence)
    if abs(auc(np.arange(len(y)), y) - 0.5) > SIGMAS * auc_error(y):
        fifths = [float(part.mean()) for part in np.array_split(y, 5)]
        sentence = (
            f"The fault share changes along the file, from {fifths[0]:.1%} in the first fifth to "
            f"{fifths[-1]:.1%} in the last; never split at a row number without shuffling."
        )
        yield Finding("drift", "warning", None, sentence)
    for name, values in features.items():
        steps = np.diff(values)
        if len(y) >= 20 and ((steps >= 0).all() or (steps <= 0).all()):
            sentence = f"The rows are sorted by '{name}'; shuffle before splitting by row number."
            yield Finding("sorted", "warning", name, sentence)

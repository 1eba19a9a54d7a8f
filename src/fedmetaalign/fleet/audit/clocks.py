"""Columns that tell the time, count the rows, or say how far the next failure is: none is a measurement."""

import numpy as np
import polars as pl

from fedmetaalign.evaluation.rules import auc
from fedmetaalign.fleet.columns.findings import Finding, are_row_numbers
from fedmetaalign.fleet.columns.words import CLOCK_NAMES, FAULT_NAMES, REMAINING_NAMES, SPAN_NAMES, words
from fedmetaalign.fleet.times.stamps import MONTH

_TIMES = (
    r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$",
    r"^\d{4}/\d{1,2}/\d{1,2}( .*)?$",
    r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?$",
    r"^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?$",
    rf"^\d{{1,2}}\.?[-/. ]\s*(de )?{MONTH}[-/., ]\s*(de )?\d{{2,4}}(,? .*)?$",
    rf"^{MONTH} \d{{1,2}},? \d{{4}}(,? .*)?$",
)
_STEADY = 0.9  # the share of equal steps from which on a column counts
_TELLS = 0.1  # how far from one half the AUC of a clock has to be before it is worth a word


def clock(name: str, text: pl.Series | None, values: np.ndarray, y: np.ndarray) -> Finding | None:
    """Whether a column is a clock, by its type, its cells, its name, or its steps.

    Args:
        name: of the column.
        text: (rows,) its cells, None where they are stored as numbers.
        values: (rows,) float64, the same as numbers, NaN where one is none.
        y: (rows,) 1 at faults.
    """
    if remains(name):
        sentence = f"Column '{name}' tells how far a failure is, which nobody knows beforehand; never use it."
        return Finding("leak", "error", name, sentence)
    if text is not None and are_times(text):
        return Finding("clock", "warning", name, f"Column '{name}' tells the time; no feature, but an order.")
    if np.isnan(values).any() or len(values) < 20:
        return None
    steps = np.diff(values)
    named = bool(words(name) & CLOCK_NAMES)
    if named and ((values == np.round(values)).all() or (steps >= 0).all()):
        return Finding(
            "clock", "warning", name, f"Column '{name}' tells the time{_telling(values, y)}; leave it out."
        )
    if are_row_numbers(values):
        return None  # an identifier
    moving = steps[steps != 0]
    if len(moving) < 0.5 * len(steps) or not len(moving):
        return None
    step = float(np.median(moving))
    if step and np.mean(np.abs(steps - step) <= 1e-6 * abs(step)) >= _STEADY:
        way = "up" if step > 0 else "down"
        sentence = f"Column '{name}' counts {way} row by row{_telling(values, y)}; leave it out."
        return Finding("clock", "warning", name, sentence)
    return None


def remains(name: str) -> bool:
    """Whether a column is named as the time to or since a failure."""
    told = words(name)
    return bool(told & REMAINING_NAMES) or bool(told & FAULT_NAMES and told & SPAN_NAMES)


def are_times(text: pl.Series) -> bool:
    """Whether nearly all cells are written as a date, a time of day, or both."""
    cells = text.drop_nulls()
    few = cells.gather_every(max(1, len(cells) // 200))
    if not len(few):
        return False
    return int(few.str.contains("|".join(_TIMES)).sum()) > 0.95 * len(few)


def _telling(values: np.ndarray, y: np.ndarray) -> str:
    area = auc(values, y)
    if abs(area - 0.5) < _TELLS:
        return ""
    return f", and predicts the label by itself (AUC {max(area, 1 - area):.2f})"

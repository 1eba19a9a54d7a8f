"""Tables whose rows are samples of a signal, or whose rows are windows of one."""

import re
from collections.abc import Sequence

import numpy as np

from fedmetaalign.proposal.features import are_of_one

_LONG = 2000  # the rows of a recording from which on it is a signal
_NARROW = 12  # the features that a table of samples has at most
_POINTS = 20  # the columns of a window at least


def is_signal(features: Sequence[str], kinds: np.ndarray, units: np.ndarray | None, step: int) -> bool:
    """Whether rows are samples of a signal: long recordings of few sensors, each of one class.

    Args:
        features: their names.
        kinds: (rows,) the class of each row.
        units: (rows,) int64, the recording of each row; None where no column names any.
        step: how many rows of the tables each of these stands for.
    """
    if units is None or not 1 <= len(features) <= _NARROW:
        return False
    sizes = step * np.bincount(units)
    return bool(np.median(sizes[sizes > 0]) >= _LONG) and are_of_one(kinds, units)


def points(features: Sequence[str]) -> tuple[str, int] | None:
    """The stem and the number of columns that are the points of a window, such as t000 to t151."""
    found = [re.fullmatch(r"(.*?)(\d+)", name) for name in features]
    stems: dict[str, list[int]] = {}
    for match in found:
        if match:
            stems.setdefault(match[1], []).append(int(match[2]))
    for stem, numbers in stems.items():
        if len(numbers) >= _POINTS and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            return (stem, len(numbers)) if len(numbers) > 0.8 * len(features) else None
    return None

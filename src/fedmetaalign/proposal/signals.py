"""Tables whose rows are samples of a signal, or whose rows are windows of one."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from fedmetaalign.proposal.features import are_of_one
from fedmetaalign.proposal.proposal import Cut

_LONG = 2000  # the rows of a recording from which on it is a signal, whatever its samples are like
_SLOW = 300  # the same where rows follow one another in time, and neighbours are alike
_ALIKE = 0.3
_UNNAMED = 20_000  # the rows of a table from which on they are samples, where nothing names recordings
_RUN = 1000  # of them of one class in a row
_NARROW = 12  # the features that a table of samples has at most, but for a slow process
_POINTS = 20  # the columns of a window at least
_LIKE = 0.25  # what neighbouring points have in common at least; of numbered sensors it is next to nothing
_LOOKED_AT = 2000  # rows, to tell whether columns are points
_RAW = 400  # the points that a network takes as they are
_WINDOWS = 20  # of a recording at least
_LENGTHS = (1024, 16)  # samples of a window at most and at least
_SPECTRAL = 64  # samples of a window from which on its spectrum says something


def windows_of(
    features: Sequence[str],
    kinds: np.ndarray,
    by: str | None,
    devices: np.ndarray,
    numbers: np.ndarray,
    step: int,
    correlation: float,
    numbers_of: Mapping[str, np.ndarray],
    clocked: bool,
    rate: float | None,
) -> Cut | None:
    """Proposes windows where rows are samples of a signal, or windows of one.

    Samples are those of long recordings of few sensors, each of one class; of long recordings of a process
    whose rows follow one another; or, where nothing names recordings, of few sensors in long runs of a class.

    Args:
        features: their names.
        kinds: (rows,) the class of each row.
        by: the column that names the recording, None where none does.
        devices: (rows,) int64, the device of each row.
        numbers: (rows,) int64, the number of each row's recording.
        step: how many rows of the tables each of these stands for.
        correlation: of neighbouring rows, the median over the features.
        numbers_of: each feature that is no text, (rows,) float64.
        clocked: a column tells the time.
        rate: samples a second, if a column tells.
    """
    if (found := points(features)) is not None and likeness(numbers_of) >= _LIKE:
        front = ("raw", "statistics", "bands") if found[1] <= _RAW else ("statistics", "bands")
        return Cut(f"a row is a window of {found[1]} points", front, points=f"{found[0]}*")
    sizes = step * np.bincount(numbers)
    rows = float(np.median(sizes[sizes > 0]))
    if by is not None:
        narrow = 1 <= len(features) <= _NARROW and rows >= _LONG and are_of_one(kinds, numbers)
        slow = clocked and rows >= _SLOW and correlation >= _ALIKE
        if not (narrow or slow):
            return None
    else:
        changes = int(np.count_nonzero((kinds[1:] != kinds[:-1]) | (numbers[1:] != numbers[:-1])))
        if not 1 <= len(features) <= _NARROW or rows < _UNNAMED or step * len(kinds) / (changes + 1) < _RUN:
            return None
    most, least = _LENGTHS
    length = int(min(most, max(least, 2 ** int(np.log2(rows / _WINDOWS)))))
    return Cut(
        f"rows are samples of a signal, some {rows:,.0f} a recording, and one says next to nothing",
        ("statistics", "bands") if length >= _SPECTRAL else ("statistics",),
        length=length,
        by=by,
        rate=rate,
        parted=fewest_recordings(kinds, devices, numbers) < 2,
    )


def fewest_recordings(kinds: np.ndarray, devices: np.ndarray, recordings: np.ndarray) -> float:
    """Returns how many recordings the class has that has fewest, on the device in the middle."""
    found = []
    for device in np.unique(devices):
        own, theirs = kinds[devices == device], recordings[devices == device]
        found.append(min(len(np.unique(theirs[own == kind])) for kind in np.unique(own)))
    return float(np.median(found))


def likeness(columns: Mapping[str, np.ndarray]) -> float:
    """Returns how much columns are like those up to four places on, the mean correlation, 0 to 1.

    The rows of the real tables of windows have 0.41 and more, the 41 measurements of a process 0.13.
    """
    step = max(1, len(next(iter(columns.values()), ())) // _LOOKED_AT)
    x = np.array([values[::step] for values in columns.values()])
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    x = np.where(known, x - np.where(known, x, 0.0).sum(axis=-1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((x**2).sum(axis=-1, keepdims=True) / count)
    z = x / np.where(deviation > 0, deviation, 1.0)
    return max((abs(float((z[:-k] * z[k:]).mean())) for k in range(1, min(5, len(z)))), default=0.0)


def rate_of(constants: Mapping[str, float]) -> float | None:
    """Returns the samples a second that a column of one value tells by its name, such as sample_rate_hz."""
    for name, value in constants.items():
        if re.search(r"sampl|(^|[^a-z])fs([^a-z]|$)", name.lower()) and re.search(
            r"rate|freq|hz|fs", name.lower()
        ):
            return value if value > 0 else None
    return None


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

"""How samples should be divided: what their order, their recordings and their clock ask for."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedmetaalign.fleet.audit.rows import runs_test
from fedmetaalign.fleet.columns.findings import SIGMAS
from fedmetaalign.proposal.proposal import Split

_ALIKE = 0.3  # the correlation with the row before from which on neighbours are of one waveform
_LAGS = (10, 20, 50, 100, 200, 500)
_BLOCKS = 4  # the least blocks of each class


def split_of(
    features: Mapping[str, np.ndarray],
    kinds: np.ndarray,
    devices: np.ndarray,
    unit: str | None,
    units: np.ndarray | None,
    clocked: bool,
) -> Split:
    """Proposes a split.

    Args:
        features: of each feature its values, (rows,) float64.
        kinds: (rows,) the class of each row.
        devices: (rows,) int64, the device of each row.
        unit: the column of recordings, if there is one.
        units: (rows,) int64, the recording of each row, None without one.
        clocked: a column counts or tells the time, so that rows follow one another.
    """
    if unit is not None and units is not None:
        per = np.array([len(np.unique(units[kinds == kind])) for kind in np.unique(kinds)])
        if per.min() >= 2:
            test = None if per.min() >= 5 else 0.5 if per.min() == 2 else 0.34
            why = f"rows of one '{unit}' stay on one side: any split inside it would test on what it trained on"
            return Split("units", why, unit=unit, test=test)
    runs, expected, z = _runs(kinds, devices)
    clustered = z < -SIGMAS and 2 * runs < expected
    alike = correlation(features, devices, 1) if clustered or clocked else 0.0
    if alike >= _ALIKE:
        rows = "rows of one class stand together" if clustered else "rows follow one another"
        why = (
            f"{rows} and neighbours are alike (correlation {alike:.2f}): a split row by row would test on"
            " neighbours of what it trained on"
        )
        return Split("blocks", why, block=_block(features, kinds, devices))
    return Split("rows", "a row tells next to nothing of the label of its neighbour")


def _runs(kinds: np.ndarray, devices: np.ndarray) -> tuple[int, float, float]:
    """As `runs_test`, of the rows of each device by themselves, taken together."""
    each = [runs_test(kinds[devices == device]) for device in np.unique(devices)]
    runs, expected = sum(found[0] for found in each), sum(found[1] for found in each)
    variance = sum(((found[0] - found[1]) / found[2]) ** 2 for found in each if found[2])
    return runs, expected, (runs - expected) / variance**0.5 if variance else 0.0


def correlation(features: Mapping[str, np.ndarray], devices: np.ndarray, lag: int = 1) -> float:
    """The median over features of the correlation between rows of one device that are so far apart."""
    same = devices[lag:] == devices[:-lag]
    found = []
    for values in features.values():
        a, b = values[lag:][same], values[:-lag][same]
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() > 2 and a[known].std() > 0 and b[known].std() > 0:
            found.append(abs(float(np.corrcoef(a[known], b[known])[0, 1])))
    return float(np.median(found)) if found else 0.0


def _block(features: Mapping[str, np.ndarray], kinds: np.ndarray, devices: np.ndarray) -> int:
    """A block's rows: as many as it takes until rows are unlike, and as each class has enough blocks for."""
    each = [np.unique(kinds[devices == device], return_counts=True)[1].min() for device in np.unique(devices)]
    rarest = int(np.median(each))
    lags: Sequence[int] = [lag for lag in _LAGS if lag < len(kinds)]
    far = next((lag for lag in lags if correlation(features, devices, lag) < _ALIKE), _LAGS[-1])
    return int(max(min(far, rarest // _BLOCKS), 2))

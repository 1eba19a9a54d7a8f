"""Raw windows are scaled by channel: all samples of one share a mean, a scale, and what fills a missing one."""

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.signals import shared


def groups_of(table: Table) -> np.ndarray | None:
    """Returns which features share a scale, (features,) int: those of equal numbers; None where none do.

    Raises:
        DataError: the rule for missing values would add inputs to the samples.
    """
    if table.signal is None or "raw" not in table.signal.front:
        return None
    if table.missing.rule == "flag":
        raise DataError(
            f'Device {table.name}: its windows are raw, and missing_values = "flag" would add an input for each'
            ' sample: choose "median" or "last".'
        )
    return shared(table.signal)


def medians(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns the median of each feature's group, (features,) float64.

    Args:
        x: (rows, features), NaN where a value is missing.
        groups: (features,) int, of `groups_of`.
    """
    result = np.empty(len(groups))
    for group in np.unique(groups):
        result[groups == group] = np.nanmedian(x[:, groups == group])
    return result

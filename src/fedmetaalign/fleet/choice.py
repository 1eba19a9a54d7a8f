"""Some rows of a table and not others: one file then serves devices that have some of its recordings each."""

from collections.abc import Mapping

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw, cells, listed, require
from fedmetaalign.fleet.labels.classes import Value, canonical
from fedmetaalign.fleet.patterns import like

Only = Mapping[str, tuple[Value, ...]]
"""By column the values that its rows have to have, or patterns of them."""


def chosen(raw: Raw, only: Only) -> Raw:
    """Returns the rows of a file that have one of the values named of each column.

    Args:
        raw: the file.
        only: the values; in texts `*` and `?` stand for any characters. Empty: all rows.

    Raises:
        DataError: a column is not there, a value occurs nowhere in it, or no row is left.
    """
    kept = np.ones(len(raw.frame), bool)
    for column, wanted in only.items():
        require(raw, (column,))
        text = cells(raw, column)
        there = sorted(text.drop_nulls().unique())
        found: set[str] = set()
        for value in wanted:
            own = {each for each in there if canonical(each) == canonical(value) or like(str(value), each)}
            if not own:
                raise DataError(
                    f"{raw.path}: the recipe takes only rows with '{column}' = '{value}', and there is none: it"
                    f" has {listed(there[:20])}{', ...' if len(there) > 20 else ''}"
                )
            found |= own
        kept &= text.is_in(sorted(found)).fill_null(value=False).to_numpy()
    if not kept.any():
        raise DataError(f"{raw.path}: no row has all that the recipe's `only` asks for; ask for less")
    return raw if kept.all() else raw.take(np.flatnonzero(kept))

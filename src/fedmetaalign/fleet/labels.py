"""What a column is where nobody says: the label, or a mere name of the row, by its own name and its values."""

import re
from dataclasses import replace
from itertools import takewhile

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.classes import Labels, fault_or_not
from fedmetaalign.fleet.files import Raw, cells, require

# Names that a label goes by, the telling ones first; the second group is taken only where the first is absent.
_LABEL_WORDS = (
    {"fail", "fails", "failed", "failure", "fault", "faults", "faulty", "anomaly", "defect", "broken", "alarm"},
    {"label", "target", "output", "class", "y", "status", "state", "outcome"},
)
_FAULT_VALUES = {"yes", "y", "true", "1", "fault", "faulty", "fail", "failed", "failure", "bad", "abnormal",
                 "anomaly", "broken", "defect", "alarm"}  # fmt: skip
_ID_WORDS = {"id", "uid", "udi", "uuid", "index", "serial", "rowid"}


def guess(
    raw: Raw, named: tuple[str, ...] = (), positive: tuple[str | int | float, ...] = ()
) -> tuple[tuple[str, ...], tuple[str | int | float, ...], str]:
    """The label columns, the values that mean fault (empty for 0/1), and a sentence that says why.

    Args:
        raw: the file.
        named: the label columns where they are known.
        positive: the values that mean fault where they are known.

    Raises:
        DataError: a named column is not there, or none is named and none looks like a label.
    """
    values = {
        name: cells(raw, name).drop_nulls().unique(maintain_order=True).to_list() for name in raw.frame.columns
    }
    require(raw, named)
    chosen, why = (named, "as named") if named else _label(values)
    if not chosen:
        raise DataError(f"{raw.path} has no column that looks like a label (0/1, or yes/no); name it")
    shown = ", ".join(f"'{name}'" for name in chosen)
    if len(chosen) > 1:
        return chosen, positive, f"Label: columns {shown}, a fault if any is set ({why})."
    seen = values[chosen[0]]
    if positive or len(seen) != 2 or {cell.lower() for cell in seen} <= {"0", "1", "true", "false"}:
        return chosen, positive, f"Label: column {shown} ({why})."
    faults = [cell for cell in seen if cell.lower() in _FAULT_VALUES]
    if len(faults) != 1:
        text = cells(raw, chosen[0])
        faults = [min(seen, key=lambda cell: int((text == cell).sum()))]
        why += ", the rarer value means fault"
    return chosen, (faults[0],), f"Label: column {shown}, '{faults[0]}' means fault ({why})."


def _label(values: dict[str, list[str]]) -> tuple[tuple[str, ...], str]:
    """Of the columns with two values the last that is named like a label, else the last block of 0/1."""
    two = [name for name, seen in values.items() if 1 <= len(seen) <= 2]
    for words in _LABEL_WORDS:
        if hits := [name for name in two if words & _words(name)]:
            return (hits[-1],), "by its name and because it has two values"
    flags = [name for name in two if set(values[name]) == {"0", "1"}]
    columns = list(values)
    backwards = columns[columns.index(flags[-1]) :: -1] if flags else []
    block = tuple(takewhile(flags.__contains__, backwards))
    return block[::-1], "no column is named like a label and these are 0/1"


def labelled_rows(
    raw: Raw, labels: tuple[str, ...], positive: tuple[str | int | float, ...]
) -> tuple[Labels, np.ndarray]:
    """As `fault_or_not`, of the rows that have a label, and which rows these are (rows,) bool.

    Raises:
        DataError: as `fault_or_not`, or no row has a label.
    """
    text = {name: cells(raw, name) for name in labels}
    labelled = ~np.any([column.is_null().to_numpy() for column in text.values()], axis=0)
    if not labelled.any():
        raise DataError(f"{raw.path} has no row with a label; fill in {', '.join(labels)}")
    filled = raw.frame.with_columns(text[name].fill_null(text[name].drop_nulls()[0]) for name in labels)
    found = fault_or_not(replace(raw, frame=filled), labels, positive)
    kinds = None if found.kinds is None else found.kinds[labelled]
    return replace(found, y=found.y[labelled], kinds=kinds), labelled


def is_named_id(name: str) -> bool:
    """Whether a column's name says that it names rows or things."""
    return bool(_ID_WORDS & _words(name))


def are_row_numbers(values: np.ndarray) -> bool:
    """Whether whole numbers (rows,) name the rows: all different, and gapless or too many for chance."""
    whole = not np.isnan(values).any() and bool((values == np.round(values)).all())
    if not whole or len(values) < 20 or len(np.unique(values)) < len(values):
        return False
    return len(values) >= 100 or bool(np.ptp(values) == len(values) - 1)


def _words(name: str) -> set[str]:
    return set(re.split("[^a-z]+", name.lower()))

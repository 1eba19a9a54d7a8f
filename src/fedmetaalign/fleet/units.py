"""Columns whose names carry a unit, such as "Ia [A]" or "Ia (A)"."""

import re
from collections.abc import Sequence
from dataclasses import replace

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw

_WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]*)[\])]\s*")


def in_units(raw: Raw, features: Sequence[str], units: Sequence[str]) -> Raw:
    """Gives features whose columns carry their unit their own names.

    Args:
        raw: a table.
        features: names that are wanted.
        units: of each, "" where unknown.

    Returns:
        The table, with "Ia [A]" renamed to "Ia" where "Ia" is wanted in A and not there itself.

    Raises:
        DataError: a feature is there only in another unit.
    """
    wanted = {name: unit for name, unit in zip(features, units, strict=False) if name not in raw.frame.columns}
    names: dict[str, str] = {}
    for column in raw.frame.columns:
        name, unit = _split(column)
        if name not in wanted:
            continue
        if wanted[name] and unit != wanted[name]:
            raise DataError(
                f"{raw.path} has '{name}' in {unit}, but {wanted[name]} is needed: convert column '{column}'"
                " and rename it"
            )
        names.setdefault(name, column)
    return replace(raw, frame=raw.frame.rename({column: name for name, column in names.items()}))


def _split(column: str) -> tuple[str, str]:
    found = _WITH_UNIT.fullmatch(column)
    return (found[1], found[2].strip()) if found else (column, "")

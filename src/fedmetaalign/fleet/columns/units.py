"""Columns whose names carry a unit, such as "Ia [A]", "Ia (A)" or, where a recipe speaks of amperes, "Ia_A"."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import Raw

_WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]*)[\])]\s*")
_WORDS = re.compile(r"[_\s.-]+")

_SPELLINGS = (
    ("°C", "ºC", "° C", "degC", "deg C", "C", "Celsius", "Grad", "Grad C", "grdC", "℃"),
    ("°F", "ºF", "° F", "degF", "deg F", "F", "Fahrenheit", "℉"),
    ("K", "Kelvin", "degK"),
    ("m³/h", "m3/h", "m^3/h", "cbm/h", "m3h", "m3ph"),
    ("m³/s", "m3/s", "m^3/s"),
    ("m/s²", "m/s2", "m/s^2", "ms2"),
    ("m/s", "mps"),
    ("mm/s", "mmps"),
    ("kg/h", "kgh"),
    ("l/min", "L/min", "lpm", "LPM"),
    ("l/s", "L/s"),
    ("l/h", "L/h"),
    ("rpm", "1/min", "U/min", "min-1", "rev/min", "r/min"),
    ("%", "pct", "percent", "Prozent"),
    ("µm", "μm", "um"),
    ("Ω", "Ω", "Ohm", "ohm", "Ohms"),
    ("kΩ", "kΩ", "kOhm", "kohm"),
    ("A", "Amp", "Amps", "Ampere"),
    ("V", "Volt", "Volts"),
    ("W", "Watt", "Watts"),
    ("in/s", "ips", "inch/s"),
    ("in", "inch"),
)
_MEANT = {spelt: each[0] for each in _SPELLINGS for spelt in each}


def meant(unit: str) -> str:
    """Returns one spelling of a unit that is written in several ways, such as "°C" of "degC"."""
    unit = " ".join(unit.split())
    return _MEANT.get(unit, unit)


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
    renamed, found = without_units(raw, features, units)
    for name, wanted in zip(features, units, strict=True):
        if wanted and meant(found.get(name) or wanted) != meant(wanted):
            column = raw.frame.columns[renamed.frame.columns.index(name)]
            raise DataError(
                f"{raw.path} has '{name}' in {found[name]}, but {wanted} is needed: convert column '{column}'"
                " and rename it"
            )
    return renamed


def without_units(raw: Raw, features: Sequence[str], among: Collection[str] = ()) -> tuple[Raw, dict[str, str]]:
    """Returns the table with "Ia [A]" renamed to "Ia" where that is wanted and not there, and units by name."""
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    for column in raw.frame.columns:
        name, unit = split_unit(column, among)
        if name in features and name not in raw.frame.columns and name not in units:
            names[column], units[name] = name, unit
    return replace(raw, frame=raw.frame.rename(names)), units


def carrying(columns: Sequence[str], named: Callable[[str], bool], among: Collection[str] = ()) -> list[str]:
    """Returns the columns that are named, with their unit or without."""
    return [column for column in columns if named(column) or named(split_unit(column, among)[0])]


def bare(columns: Sequence[str], among: Collection[str] = ()) -> list[str]:
    """Returns the names of columns, and those of them that carry a unit without it."""
    return [*columns, *(split_unit(column, among)[0] for column in columns)]


def split_unit(column: str, among: Collection[str] = ()) -> tuple[str, str]:
    """Returns a column's name without its unit, and that; "" where it carries none.

    Args:
        column: its name.
        among: units that its last word may be, or its last two ("flow_l_min"): of other words nobody knows
            whether they are units.
    """
    if found := _WITH_UNIT.fullmatch(column):
        return found[1], found[2].strip()
    breaks = [*_WORDS.finditer(column)] if among else []
    for gap in breaks[-2:]:
        last = _WORDS.sub("/", column[gap.end() :])
        fitting = {meant(unit): unit for unit in among if unit and gap.start() and _is_spelt(last, unit)}
        if len(fitting) == 1:
            return column[: gap.start()], fitting.popitem()[1]
    return column, ""


def _is_spelt(text: str, unit: str) -> bool:
    """Whether a word is a unit, in upper or lower case."""
    ways = {each.casefold() for each in (unit, *(spelt for spelt in _MEANT if _MEANT[spelt] == meant(unit)))}
    return text.casefold() in ways

"""Sister tables that have one sensor in several units: one name for its columns, and the way to one unit."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from fedmetaalign.fleet.columns.units import meant, split_unit
from fedmetaalign.fleet.files import Raw, listed

_FAHRENHEIT = 5 / 9
_KINDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "temperature": {"°C": (1, 0), "K": (1, -273.15), "°F": (_FAHRENHEIT, -32 * _FAHRENHEIT)},
    "pressure": {
        **{"Pa": (1, 0), "hPa": (100, 0), "mbar": (100, 0), "kPa": (1e3, 0), "bar": (1e5, 0), "MPa": (1e6, 0)},
        "psi": (6894.757293168361, 0),
    },
    "speed": {"m/s": (1, 0), "mm/s": (1e-3, 0), "in/s": (0.0254, 0), "ft/s": (0.3048, 0), "km/h": (1 / 3.6, 0)},
    "length": {
        **{"m": (1, 0), "cm": (0.01, 0), "mm": (1e-3, 0), "µm": (1e-6, 0), "km": (1e3, 0)},
        **{"in": (0.0254, 0), "ft": (0.3048, 0), "mil": (2.54e-5, 0)},
    },
    "flow": {
        **{"m³/s": (1, 0), "m³/h": (1 / 3600, 0)},
        **{"l/s": (1e-3, 0), "l/min": (1 / 6e4, 0), "l/h": (1 / 3.6e6, 0)},
    },
    "current": {"A": (1, 0), "mA": (1e-3, 0), "kA": (1e3, 0)},
    "voltage": {"V": (1, 0), "mV": (1e-3, 0), "kV": (1e3, 0)},
    "power": {"W": (1, 0), "kW": (1e3, 0), "MW": (1e6, 0)},
    "frequency": {"Hz": (1, 0), "kHz": (1e3, 0), "MHz": (1e6, 0)},
    "force": {"N": (1, 0), "kN": (1e3, 0)},
    "mass": {"kg": (1, 0), "lb": (0.45359237, 0), "lbs": (0.45359237, 0)},
}  # fmt: skip
"""What a value in each unit is in the first of its kind: value * factor + offset. Gallons are of two sizes."""


@dataclass(frozen=True)
class Turned:
    """What is proposed of units.

    Attributes:
        conversions: of a unit its key of [fleet.conversions].
        notes: sentences on what differs, and what was made of it; CHECK where nothing was.
        several: the features that have several units.
    """

    conversions: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    several: frozenset[str]


def alike(raws: Sequence[Raw]) -> list[Raw]:
    """Calls a column that carries a unit by its bare name where a sister table has it in another, or none."""
    spelt: dict[str, set[str]] = {}
    for raw in raws:
        for column in raw.frame.columns:
            spelt.setdefault(split_unit(column)[0], set()).add(column)
    several = {name for name, columns in spelt.items() if len(columns) > 1}
    return [_bare(raw, several) for raw in raws]


def _bare(raw: Raw, names: set[str]) -> Raw:
    own = Counter(split_unit(column)[0] for column in raw.frame.columns)
    renamed = {
        column: name
        for column in raw.frame.columns
        if (name := split_unit(column)[0]) in names and name != column and own[name] == 1
    }
    if not renamed:
        return raw
    units = {renamed.get(column, column): unit for column, unit in raw.units.items()}
    units |= {name: split_unit(column)[1] for column, name in renamed.items()}
    return replace(raw, frame=raw.frame.rename(renamed), units=units)


def in_one_unit(raws: Sequence[Raw]) -> list[Raw]:
    """Returns tables with their numbers in the units that `turned` proposes."""
    columns = list(dict.fromkeys(name for raw in raws for name in raw.units if name in raw.frame.columns))
    ways = {meant(unit): way for unit, way in turned(raws, columns).conversions.items()}

    def number(raw: Raw, name: str) -> pl.Expr:
        way = ways[meant(raw.units[name])]
        return pl.col(name).cast(pl.Float64, strict=False) * float(way["factor"]) + float(way.get("offset", 0))

    found = []
    for raw in raws:
        own = [name for name in columns if name in raw.frame.columns and meant(raw.units.get(name, "")) in ways]
        frame = raw.frame.with_columns(number(raw, name).alias(name) for name in own) if own else raw.frame
        found.append(replace(raw, frame=frame))
    return found


def turned(raws: Sequence[Raw], features: Sequence[str]) -> Turned:
    """Proposes how to turn the units of some tables into one for each feature, the same for all of a kind."""
    units = {name: _units(raws, name) for name in features}
    several = {name: found for name, found in units.items() if len({*map(meant, found)}) > 1}
    wanted: dict[str, str] = {}
    for kind, known in _KINDS.items():
        counted = Counter[str]()
        for found in several.values():
            if all(meant(unit) in known for unit in found):
                counted.update({unit: len(paths) for unit, paths in found.items()})
        if counted:
            wanted[kind] = counted.most_common(1)[0][0]
    conversions: dict[str, Mapping[str, Any]] = {}
    notes: list[str] = []
    for name, found in several.items():
        kinds = [kind for kind, known in _KINDS.items() if all(meant(unit) in known for unit in found)]
        told = "; ".join(f"in {unit} in {listed(paths, 3)}" for unit, paths in found.items())
        if not kinds:
            notes.append(
                f"CHECK the units: '{name}' is {told}, and how to turn them into one is not known here: they"
                " count as unlike features until [fleet.conversions] says it."
            )
            continue
        to = wanted[kinds[0]]
        for unit in found:
            if meant(unit) != meant(to) and unit not in conversions:
                conversions[unit] = {"to": to, **dict(_way(kinds[0], unit, to))}
        bare = [raw.path.name for raw in raws if name in raw.frame.columns and not raw.units.get(name)]
        unsaid = f" CHECK {listed(bare, 3)}: no unit is stated there, and it is taken for {to}." if bare else ""
        notes.append(f"'{name}' is {told}: turned into {to}; each bundle takes its own table's.{unsaid}")
    return Turned(conversions, tuple(notes), frozenset(several))


def _units(raws: Sequence[Raw], name: str) -> dict[str, list[str]]:
    """The units that are stated for a column, and in which files; spellings of one are one."""
    found: dict[str, tuple[str, list[str]]] = {}
    for raw in raws:
        if unit := raw.units.get(name, "") if name in raw.frame.columns else "":
            found.setdefault(meant(unit), (unit, []))[1].append(raw.path.name)
    return dict(found.values())


def _way(kind: str, unit: str, to: str) -> Iterator[tuple[str, float]]:
    (factor, offset), (by, less) = (_KINDS[kind][meant(each)] for each in (unit, to))
    yield "factor", factor / by
    if offset != less:
        yield "offset", (offset - less) / by

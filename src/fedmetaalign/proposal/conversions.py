"""Sister tables that have one sensor in several units: one name for its columns, and the way to one unit."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from fedmetaalign.fleet.columns.in_names import bare_of
from fedmetaalign.fleet.columns.units import meant, split_unit
from fedmetaalign.fleet.columns.ways import KINDS, kind_of, way
from fedmetaalign.fleet.files import Raw, listed


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
    """Calls a column that carries a unit by its bare name where a sister table has it in another, or none.

    A unit that is a word of the name, as in "temp_degC", and no more than that, counts only where all units are
    of one kind: else it may be no unit.
    """
    spelt: dict[str, set[str]] = {}
    twice: set[str] = set()
    for raw in raws:
        own = Counter(bare_of(column)[0] for column in raw.frame.columns)
        twice |= {name for name, count in own.items() if count > 1}
        for column in raw.frame.columns:
            spelt.setdefault(bare_of(column)[0], set()).add(column)
    several = {
        name for name, columns in spelt.items() if len(columns) > 1 and (name not in twice and _is_one(columns))
    }
    return [_bare(raw, several) for raw in raws]


def _is_one(columns: Collection[str]) -> bool:
    """Whether columns of one bare name are one sensor."""
    as_words = any(bare_of(column)[1] and not split_unit(column)[1] for column in columns)
    units = {meant(unit) for column in columns if (unit := bare_of(column)[1])}
    return not as_words or len(units) == 1 or bool(kind_of(units))


def _bare(raw: Raw, names: set[str]) -> Raw:
    renamed = {column: name for column in raw.frame.columns if (name := bare_of(column)[0]) in names - {column}}
    if not renamed:
        return raw
    units = {renamed.get(column, column): unit for column, unit in raw.units.items()}
    units |= {name: bare_of(column)[1] for column, name in renamed.items()}
    return replace(raw, frame=raw.frame.rename(renamed), units=units)


def in_one_unit(raws: Sequence[Raw]) -> list[Raw]:
    """Returns tables with their numbers in the units that `turned` proposes."""
    columns = list(dict.fromkeys(name for raw in raws for name in raw.units if name in raw.frame.columns))
    ways = {meant(unit): keys for unit, keys in turned(raws, columns).conversions.items()}

    def number(raw: Raw, name: str) -> pl.Expr:
        keys = ways[meant(raw.units[name])]
        number = pl.col(name).cast(pl.Float64, strict=False)
        return number * float(keys["factor"]) + float(keys.get("offset", 0))

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
    for kind, known in KINDS.items():
        counted = Counter[str]()
        for found in several.values():
            if all(meant(unit) in known for unit in found):
                counted.update({unit: len(paths) for unit, paths in found.items()})
        if counted:
            wanted[kind] = counted.most_common(1)[0][0]
    conversions: dict[str, Mapping[str, Any]] = {}
    notes: list[str] = []
    for name, found in several.items():
        kind = kind_of(found)
        told = "; ".join(f"in {unit} in {listed(paths, 3)}" for unit, paths in found.items())
        if not kind:
            notes.append(
                f"CHECK the units: '{name}' is {told}, and how to turn them into one is not known here: they"
                " count as unlike features until [fleet.conversions] says it."
            )
            continue
        to = wanted[kind]
        for unit in found:
            if meant(unit) != meant(to) and unit not in conversions:
                conversions[unit] = {"to": to, **dict(way(unit, to))}
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

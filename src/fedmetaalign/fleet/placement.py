"""Which input of the network each feature takes: features that share a name and a unit share an input.

Devices that share features, directly or by way of others, are one family: their features keep apart. Devices
without anything in common lie over each other, from the first input on, as the paper's two do.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.fleet.columns.in_names import bare_of
from fedmetaalign.fleet.columns.units import meant
from fedmetaalign.fleet.columns.ways import kind_of, way
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.preparation import OwnUnit
from fedmetaalign.recipe import Model
from fedmetaalign.recipe.fleet import Conversion

Feature = tuple[str, str]
"""Its name and its physical unit, "" where unknown: the same name in another unit is another feature."""

_MOST = 5
"""Names that a sentence lists."""


@dataclass(frozen=True)
class Layout:
    """The inputs of a fleet's features.

    Attributes:
        families: of each family of devices the input of each feature, in the order in which they got one.
    """

    families: tuple[Mapping[Feature, int], ...] = ()

    def columns(self, features: Sequence[Feature], model: Model) -> np.ndarray:
        """Returns which feature of a device each input takes, (inputs,) int64, -1 for none.

        Args:
            features: the device's, at most as many as the network has inputs; it need not be of the fleet.
            model: how many inputs there are, and what those do that no feature of its family takes: they are
                zero, or repeat the device's own. An input of a feature that the device lacks is always zero.
        """
        theirs = self.family(features)
        used = {place for family in self.families for place in family.values()}
        own = _placed(features, theirs, used, model.inputs)
        columns = np.full(model.inputs, -1)
        columns[[own[feature] for feature in features]] = np.arange(len(features))
        if model.padding == "repeat":
            free = np.setdiff1d(np.flatnonzero(columns < 0), [*theirs.values()])
            columns[free] = np.resize(columns[columns >= 0], len(free))
        return columns

    def family(self, features: Sequence[Feature]) -> dict[Feature, int]:
        """Returns the input of each feature of the families that a device shares one with."""
        kin = [family for family in self.families if not family.keys().isdisjoint(features)]
        return {feature: place for family in kin for feature, place in family.items()}


def layout(devices: Mapping[str, Sequence[Feature]], inputs: int) -> Layout:
    """Gives each feature of a fleet an input, whatever the order of the mapping.

    The devices come by name. The first of a family is laid from the first input on. A later one's features
    that are known take their inputs, and new ones the lowest that no feature of the fleet has; where there is
    none, the lowest that none of the family has, and at last the lowest that is free on the device.

    Args:
        devices: the features of each device, at most as many as there are inputs.
        inputs: of the network.
    """
    taken: dict[Feature, int] = {}
    sets = _families(devices)
    families: list[dict[Feature, int]] = [{} for _ in sets]
    for name in sorted(devices):
        family = families[next(i for i, found in enumerate(sets) if found.issuperset(devices[name]))]
        for feature, place in _placed(devices[name], family, set(taken.values()), inputs).items():
            taken[feature] = family.setdefault(feature, place)
    return Layout(tuple(families))


def agreed(devices: Mapping[str, Sequence[Feature]]) -> dict[str, tuple[Feature, ...]]:
    """Returns features as the fleet calls them: one name and one meaning of a unit are one feature everywhere.

    A unit that a device does not state is the one that others state for that name, where these mean the same.
    """
    known: dict[str, dict[str, str]] = {}
    for device in sorted(devices):
        for name, unit in devices[device]:
            if unit:
                known.setdefault(name, {}).setdefault(meant(unit), unit)

    def called(name: str, unit: str) -> Feature:
        spelt = known.get(name, {})
        if unit:
            return name, spelt[meant(unit)]
        return name, next(iter(spelt.values())) if len(spelt) == 1 else ""

    return {device: tuple(called(*feature) for feature in own) for device, own in devices.items()}


def as_known(features: Sequence[Feature], known: Collection[Feature]) -> tuple[Feature, ...]:
    """Returns a device's features as its fleet calls them, also of one that comes later."""

    def called(feature: Feature) -> Feature:
        name, unit = feature
        named = [each for each in known if each[0] == name]
        same = [each for each in named if unit and meant(each[1]) == meant(unit)]
        if feature in named or not (same or (len(named) == 1 and not (unit and named[0][1]))):
            return feature
        return (same or named)[0]

    return tuple(map(called, features))


def converted(table: Table, conversions: Mapping[str, Conversion]) -> Table:
    """Returns a table with its features in the units that a recipe turns others into."""
    by_meaning = {meant(unit): conversion for unit, conversion in conversions.items()}
    found = {
        i: by_meaning[meant(unit)]
        for i, (name, unit) in enumerate(table.sensors)
        if meant(unit) in by_meaning and name not in table.categories
    }
    if not found:
        return table
    factor, offset = [1.0] * len(table.features), [0.0] * len(table.features)
    units = list(table.units)
    for i, conversion in found.items():
        factor[i], offset[i], units[i] = conversion.factor, conversion.offset, conversion.to
    more = None if table.unlabelled is None else table.unlabelled * np.array(factor) + np.array(offset)
    was = {table.features[i]: OwnUnit(table.units[i], factor[i], offset[i]) for i in found}
    ranges = {
        name: (ends[0] * factor[i] + offset[i], ends[1] * factor[i] + offset[i])
        for name, ends in table.missing.ranges.items()
        if (i := table.features.index(name)) >= 0
    }
    missing = replace(table.missing, ranges={name: (min(ends), max(ends)) for name, ends in ranges.items()})
    return replace(
        table,
        x=table.x * np.array(factor) + np.array(offset),
        unlabelled=more,
        units=tuple(units),
        converted=was,
        missing=missing,
    )


def conversions_told(tables: Iterable[Table]) -> Iterator[str]:
    """Yields on which devices a feature is in another unit than its table has it in."""
    turned: dict[tuple[str, str, str], list[str]] = {}
    for table in tables:
        units = dict(table.sensors)
        for feature, own in table.converted.items():
            turned.setdefault((feature, own.unit, units[feature]), []).append(table.name)
    for (feature, unit, to), names in turned.items():
        yield (
            f"'{feature}' is turned from {unit} into {to} on {joined(names)}: a bundle there takes it in"
            f" {unit}."
        )


def relatives(devices: Mapping[str, Sequence[Feature]]) -> dict[str, int]:
    """Returns the family of each device: those that share features, also by way of others, have one number."""
    devices = agreed(devices)
    families = _families(devices)
    return {
        name: next(i for i, family in enumerate(families) if family.issuperset(features))
        for name, features in devices.items()
    }


def notices(
    devices: Mapping[str, Sequence[Feature]], inputs: int, public: Sequence[Feature] = ()
) -> Iterator[str]:
    """Yields what a user has to know of a fleet with unlike features: a sentence for each kind of finding.

    Args:
        devices: the features of each device.
        inputs: of the network.
        public: the features of phase 0's table.
    """
    if unknown := [*_unknown(devices)]:
        yield (
            "Where nothing states the unit of a feature, it is taken for the one that others state:"
            f" {joined(unknown)}; correct it with units."
        )
    devices = agreed(devices)
    public = as_known(public, {feature for own in devices.values() for feature in own})
    units = _units({**devices, "the public table": public})
    if units:
        yield (
            f"The same name in unlike units is not the same feature: {joined(units.values())}; use one unit, or"
            " say in fleet.conversions how to turn them into one."
        )
    yield from _named_apart(devices)
    lacking: dict[tuple[str, ...], list[str]] = {}
    adding: dict[tuple[str, ...], list[str]] = {}
    families = _families(devices)
    for family in families:
        kin = [name for name in sorted(devices) if family.issuperset(devices[name])]
        for feature in dict.fromkeys(feature for name in kin for feature in devices[name]):
            have = tuple(name for name in kin if feature in devices[name])
            lack = tuple(name for name in kin if name not in have)
            if feature[0] in units or not lack:  # of units another sentence tells
                continue
            group, who = (lacking, lack) if len(have) > len(lack) else (adding, have)
            group.setdefault(who, []).append(feature[0])
    if lacking:
        yield f"Some devices lack features of others, and have zeros in their place: {_on(lacking)}."
    if adding:
        yield f"Some devices add features, whose inputs are zero on the others: {_on(adding)}."
    widest = max(map(len, families), default=0)
    if widest > inputs:
        yield (
            f"Devices that share features have {widest} between them, and the network takes {inputs}: some"
            f" input stands for unlike features until you raise model.inputs to {widest}."
        )


def _families(devices: Mapping[str, Sequence[Feature]]) -> list[set[Feature]]:
    """Returns the features of each family of devices."""
    families: list[set[Feature]] = []
    for name in sorted(devices):
        kin = [family for family in families if not family.isdisjoint(devices[name])]
        families = [family for family in families if family not in kin]
        families.append(set(devices[name]).union(*kin))
    return families


def _placed(
    features: Sequence[Feature], family: Mapping[Feature, int], used: set[int], inputs: int
) -> dict[Feature, int]:
    """Gives each feature of a device an input of its own.

    Args:
        features: the device's.
        family: the inputs of its family so far, none where the device is the first.
        used: the inputs of all features of the fleet so far.
        inputs: of the network.
    """
    found: dict[Feature, int] = {}
    for feature, place in family.items():
        if feature in features and place not in found.values():
            found[feature] = place
    taken = (used, set(family.values()), set()) if family else (set(),)
    for feature in features:
        if feature not in found:
            free = [place for place in range(inputs) if place not in found.values()]
            found[feature] = next(place for busy in taken for place in free if place not in busy)
            taken = tuple(busy | {found[feature]} for busy in taken)
    return found


def _units(devices: Mapping[str, Sequence[Feature]]) -> dict[str, str]:
    """Says of each name that has unlike units which devices have which."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for device in sorted(devices):
        for name, unit in devices[device]:
            by_name.setdefault(name, {}).setdefault(unit, []).append(device)
    return {
        name: f"'{name}' "
        + ", ".join(
            f"{f'in {unit}' if unit else 'without a unit'} on {joined(who)}" for unit, who in units.items()
        )
        for name, units in by_name.items()
        if len(units) > 1
    }


def _named_apart(devices: Mapping[str, Sequence[Feature]]) -> Iterator[str]:
    """Yields which features differ in nothing but the unit that their names carry, and what makes them one."""
    named: dict[str, dict[str, str]] = {}
    for name, unit in dict.fromkeys(feature for own in devices.values() for feature in own):
        bare, in_name = bare_of(name)
        if in_name:
            named.setdefault(bare, {})[name] = unit or in_name
    for bare, units in named.items():
        together = any(sum(name in units for name, _ in own) > 1 for own in devices.values())
        if len(units) < 2 or together or not kind_of(units.values()):
            continue
        to, *others = dict.fromkeys(units.values())
        ways = (
            f'"{unit}" = {{ to = "{to}", {", ".join(f"{k} = {v:.10g}" for k, v in way(unit, to))} }}'
            for unit in others
        )
        yield (
            f"{joined(map(repr, units))} look like one sensor in several units, and are features apart: to make"
            f" them one, call it '{bare}' in features, and say in fleet.conversions: {'; '.join(ways)}."
        )


def _unknown(devices: Mapping[str, Sequence[Feature]]) -> Iterator[str]:
    """Yields of each feature whose unit some devices lack, and others know, which it is and where it lacks."""
    lacking: dict[Feature, list[str]] = {}
    for device, features in agreed(devices).items():
        for (name, unit), (_, told) in zip(features, devices[device], strict=True):
            if unit and not told:
                lacking.setdefault((name, unit), []).append(device)
    yield from (f"'{name}' in {unit} on {joined(sorted(own))}" for (name, unit), own in lacking.items())


def _on(features: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    pieces = [f"{joined([repr(name) for name in names])} on {joined(who)}" for who, names in features.items()]
    return "; ".join(pieces[:_MOST]) + (f"; and {len(pieces) - _MOST} more" if len(pieces) > _MOST else "")


def joined(names: Iterable[str]) -> str:
    """Lists names as a sentence does."""
    first, rest = [*names][:_MOST], [*names][_MOST:]
    last = f"{len(rest)} more" if rest else first.pop()
    return f"{', '.join(first)} and {last}" if first else last

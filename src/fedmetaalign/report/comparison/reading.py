"""`compare.json` becomes one value, `Comparison`; nothing else in this package looks into the file."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedmetaalign.methods import ALONE, CONTROLS
from fedmetaalign.report.comparison.names import GLOBAL_SUFFIX, OURS, PAPER, label, plain
from fedmetaalign.report.reading import mean, number


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval and the value of each seed; None where something is not defined."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[float | None, ...] = ()


NOTHING = Interval()

Metrics = Mapping[str, Interval]


@dataclass(frozen=True)
class Rival:
    """The best other method, and the difference in the fleet's accuracy to it with its p and corrected p."""

    label: str
    difference: Interval
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Row:
    """One line of the tables: a method, or a variant of one, at one stage.

    Attributes:
        label: its proper name, one line of printable text.
        method: the file's name under `methods/`.
        edge: whether the learning rate chosen lies at an end of the grid.
        diverged: seeds in which training diverged.
        devices: device -> metric -> interval, unseen devices too.
        fleet: over the members.
        unseen: over the devices that took no part; empty where there are none.
        rounds: accuracy of the global model over the fleet, after each round; empty without such a model.
    """

    name: str
    label: str
    method: str
    stage: str
    learning_rate: float | None
    edge: bool
    diverged: tuple[int, ...]
    devices: Mapping[str, Metrics]
    fleet: Metrics
    unseen: Metrics
    steps: float | None
    bytes: float | None
    seconds: float | None
    rival: Rival | None
    rounds: tuple[Interval, ...]

    @property
    def accuracy(self) -> Interval:
        """Mean accuracy over the members."""
        return self.fleet.get("accuracy", NOTHING)


@dataclass(frozen=True)
class Comparison:
    """All of `compare.json`.

    Attributes:
        rows: in the order of the file.
        stages: stage -> device -> accuracy of Fed-Meta-Align; empty where it was not compared.
    """

    recipe: str
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    tune_seeds: tuple[int, ...]
    devices: tuple[str, ...]
    unseen: tuple[str, ...]
    rows: tuple[Row, ...]
    stages: Mapping[str, Mapping[str, Interval]]

    def row(self, name: str) -> Row | None:
        """The row of that name, if it was compared."""
        return next((row for row in self.rows if row.name == name), None)


def read(comparison: Mapping[str, Any]) -> Comparison:
    """Returns the contents of `compare.json`, given as the JSON object."""
    stages = (comparison.get("stages") or {}).get(OURS) or {}
    return Comparison(
        recipe=plain(str(comparison["recipe"])),
        seeds=tuple(comparison["seeds"]),
        learning_rates=tuple(comparison.get("learning_rates") or ()),
        tune_seeds=tuple(comparison.get("tune_seeds") or ()),
        devices=tuple(comparison["devices"]),
        unseen=tuple(comparison.get("unseen") or ()),
        rows=tuple(_row(name, entry) for name, entry in comparison["methods"].items()),
        stages={
            stage: {device: _interval(metrics.get("accuracy")) for device, metrics in devices.items()}
            for stage, devices in stages.items()
        },
    )


def of_unseen(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """The same object of `compare.json`, with the devices that took no part in the place of the fleet."""
    methods = {name: {**entry, "fleet": entry["unseen"]} for name, entry in comparison["methods"].items()}
    return {**comparison, "methods": methods}


def accuracy_of(row: Row, device: str) -> Interval:
    """The accuracy of a row on one device, over the seeds."""
    return row.devices.get(device, {}).get("accuracy", NOTHING)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The rows with an accuracy, the best first; of equals, the one that stands first in the file."""
    known = [row for row in rows if row.accuracy.mean is not None]
    return sorted(known, key=lambda row: -(row.accuracy.mean or 0.0))


def foremost(rows: Iterable[Row], most: int) -> list[Row]:
    """Returns at most so many rows: Fed-Meta-Align and the paper's baselines, then the best of the others."""
    best = ranked(rows)
    return sorted(best, key=lambda row: PAPER.index(row.name) if row.name in PAPER else len(PAPER))[:most]


def with_rounds(comparison: Comparison) -> list[Row]:
    """One row for each method that has a global model, by the method's name and its label.

    A method's final and its global row, where they stand for it, tell of the same rounds.
    """
    first: dict[str, Row] = {}
    for row in comparison.rows:
        name = row.name.removesuffix(GLOBAL_SUFFIX)
        if name not in first and any(each.mean is not None for each in row.rounds):
            first[name] = replace(row, name=name, label=label(name))
    return list(first.values())


def gains(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Returns row name -> member -> accuracy minus that of training alone, the mean over the seeds in points.

    Of the models that devices end with: global models and controls would hide them behind losses of a quarter.
    """
    alone = comparison.row(ALONE)
    if alone is None:
        return {}
    found = {}
    for row in comparison.rows:
        if row.stage == "final" and row.method not in CONTROLS:
            paired = {d: _gain(accuracy_of(row, d), accuracy_of(alone, d)) for d in comparison.devices}
            found[row.name] = {device: gain for device, gain in paired.items() if gain is not None}
    return {name: devices for name, devices in found.items() if devices}


def members_of(
    stages: Mapping[str, Mapping[str, Interval]], devices: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """Returns stage -> member -> accuracy for the paper's stages, in their order, where there is any."""
    known = {
        stage: {
            d: stages[stage][d] for d in devices if d in stages[stage] and stages[stage][d].mean is not None
        }
        for stage in ("serial", "global", "final")
        if stage in stages
    }
    return {stage: found for stage, found in known.items() if found}


FIGURES: Mapping[str, tuple[str, Callable[[Comparison], bool]]] = {
    "accuracy": ("Accuracy of every method with its 95 % interval", lambda c: bool(ranked(c.rows))),
    "gains": ("Gain of every device over training alone", lambda c: bool(gains(c))),
    "rounds": ("Accuracy of the global model after each round", lambda c: bool(ranked(with_rounds(c)))),
    "stages": (
        "Accuracy of Fed-Meta-Align after each stage",
        lambda c: len(members_of(c.stages, c.devices)) > 1,
    ),
}
"""Figure -> what it shows, and whether a comparison has what it takes."""


def shown(comparison: Comparison) -> dict[str, str]:
    """Returns file name -> what it shows, for the figures that this comparison has the data of."""
    return {f"{name}.svg": title for name, (title, applies) in FIGURES.items() if applies(comparison)}


def _row(name: str, entry: Mapping[str, Any]) -> Row:
    rate, rival, rounds = entry.get("learning_rate"), entry.get("against_best"), entry.get("rounds") or {}
    return Row(
        name=name,
        label=label(name),
        method=entry["method"],
        stage=entry["stage"],
        learning_rate=number(rate),
        edge=bool(entry.get("edge")),
        diverged=tuple(entry.get("diverged") or ()),
        devices={device: _metrics(metrics) for device, metrics in entry["devices"].items()},
        fleet=_metrics(entry["fleet"]),
        unseen=_metrics(entry.get("unseen")),
        steps=number(entry.get("steps")),
        bytes=number(entry.get("bytes")),
        seconds=number(entry.get("seconds")),
        rival=_rival(rival) if rival else None,
        rounds=tuple(
            Interval(number(mid), number(low), number(high))
            for mid, low, high in zip(*(rounds.get(key, ()) for key in ("mean", "low", "high")), strict=True)
        ),
    )


def _rival(entry: Mapping[str, Any]) -> Rival:
    return Rival(
        label=label(entry["method"]),
        difference=_interval(entry.get("difference")),
        p=number(entry.get("p")),
        p_holm=number(entry.get("p_holm")),
    )


def _metrics(entry: Mapping[str, Any] | None) -> Metrics:
    return {metric: _interval(value) for metric, value in (entry or {}).items()}


def _interval(entry: Mapping[str, Any] | None) -> Interval:
    if entry is None:
        return NOTHING
    values = tuple(number(value) for value in entry.get("values") or ())
    return Interval(number(entry.get("mean")), number(entry.get("low")), number(entry.get("high")), values)


def _gain(one: Interval, other: Interval) -> float | None:
    pairs = zip(one.values, other.values, strict=True) if one.values and other.values else ()
    gain = mean(a - b for a, b in pairs if a is not None and b is not None)
    return None if gain is None or not math.isfinite(gain) else 100 * gain

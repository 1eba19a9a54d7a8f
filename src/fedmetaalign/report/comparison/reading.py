"""`compare.json` becomes one value, `Comparison`; nothing else in this package looks into the file."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fedmetaalign.methods import ALONE, CONTROLS, FORESTS
from fedmetaalign.report.comparison.names import GLOBAL_SUFFIX, OURS, PAPER, label, plain
from fedmetaalign.report.comparison.names import title as title_of
from fedmetaalign.report.fields import Number
from fedmetaalign.report.finished import mean


class _Part(BaseModel):
    """What is null in the file is taken for not there."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, found: object) -> object:
        if isinstance(found, Mapping):
            return {key: value for key, value in found.items() if value is not None}
        return {} if found is None else found


class Interval(_Part):
    """A mean with its 95 % interval and the value of each seed; None where something is not defined."""

    mean: Number = None
    low: Number = None
    high: Number = None
    values: tuple[Number, ...] = ()


NOTHING = Interval()

Metrics = Mapping[str, Interval]

Rank = Literal["accuracy", "macro_f1"]
"""What a comparison may rank by."""


class Rival(_Part):
    """The best other method, and the difference of the fleet's mean to it with its p and corrected p."""

    method: str
    difference: Interval = NOTHING
    p: Number = None
    p_holm: Number = None

    @property
    def label(self) -> str:
        """Its proper name."""
        return label(self.method)


class Row(_Part):
    """One line of the tables: a method, or a variant of one, at one stage.

    Attributes:
        method: the file's name under `methods/`.
        rank: the metric that the comparison ranks by.
        edge: whether the learning rate chosen lies at an end of the grid.
        diverged: seeds in which training diverged.
        devices: device -> metric -> interval, unseen devices too.
        fleet: over the federated devices.
        unseen: over the devices that took no part; empty where there are none.
        rival: what it is held against.
        rounds: accuracy of the global model over the fleet, after each round; empty without such a model. Of
            more than two classes it is the class accuracy.
    """

    name: str
    method: str
    stage: str
    rank: Rank = "accuracy"
    learning_rate: Number = None
    edge: bool = False
    diverged: tuple[int, ...] = ()
    devices: Mapping[str, Metrics]
    fleet: Metrics
    unseen: Metrics = {}
    steps: Number = None
    bytes: Number = None
    seconds: Number = None
    rival: Rival | None = Field(default=None, validation_alias="against_best")
    rounds: tuple[Interval, ...] = ()

    @property
    def label(self) -> str:
        """Its proper name, one line of printable text."""
        return label(self.name)

    @property
    def ranking(self) -> Interval:
        """The mean over the federated devices of what the comparison ranks by."""
        return self.fleet.get(self.rank, NOTHING)

    @field_validator("rounds", mode="before")
    @classmethod
    def _by_round(cls, found: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
        """The file has one list of means, one of lower and one of upper bounds."""
        keys = ("mean", "low", "high")
        columns = zip(*(found.get(key, ()) for key in keys), strict=True)
        return [dict(zip(keys, each, strict=True)) for each in columns]


class Comparison(_Part):
    """All of `compare.json`.

    Attributes:
        rank: the metric that says which row is better, what one gains, and who is worse off.
        deployed: the format that networks were judged in; empty where as they are trained.
        rows: in the order of the file.
        stages: stage -> device -> metric of Fed-Meta-Align; empty where it was not compared.
    """

    recipe: Annotated[str, BeforeValidator(lambda name: plain(str(name)))]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...] = ()
    tune_seeds: tuple[int, ...] = ()
    rank: Rank = "accuracy"
    deployed: Annotated[str, BeforeValidator(lambda name: plain(str(name)))] = ""
    devices: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(validation_alias="methods")
    stages: Mapping[str, Mapping[str, Metrics]] = {}

    @field_validator("rows", mode="before")
    @classmethod
    def _named(cls, found: Mapping[str, Mapping[str, Any]], read: ValidationInfo) -> list[dict[str, Any]]:
        rank = read.data.get("rank", "accuracy")
        return [{**entry, "name": name, "rank": rank} for name, entry in found.items()]

    @field_validator("stages", mode="before")
    @classmethod
    def _ours(cls, found: Mapping[str, object]) -> object:
        return found.get(OURS) or {}

    @property
    def kinds(self) -> bool:
        """Whether there are more than two classes."""
        return any("class_accuracy" in row.fleet for row in self.rows)

    @property
    def by_round(self) -> str:
        """The metric that rows have for each round."""
        return "class_accuracy" if self.kinds else "accuracy"

    def row(self, name: str) -> Row | None:
        """The row of that name, if it was compared."""
        return next((row for row in self.rows if row.name == name), None)


Source = Mapping[str, Any] | Comparison
"""The object of `compare.json`, or what was read of it."""


def read(comparison: Source) -> Comparison:
    """Returns the contents of `compare.json`."""
    return Comparison.model_validate(comparison)


def of_unseen(comparison: Source) -> Comparison:
    """The same comparison, with the devices that took no part in the place of the fleet."""
    found = read(comparison)
    rows = tuple(row.model_copy(update={"fleet": row.unseen}) for row in found.rows)
    return found.model_copy(update={"rows": rows})


def unseen_sweep(comparisons: Mapping[str, Source]) -> dict[str, Comparison]:
    """Returns a sweep over the devices that took no part; empty where one of its comparisons has none."""
    known = all(read(each).unseen for each in comparisons.values())
    return {value: of_unseen(each) for value, each in comparisons.items()} if known else {}


def value_of(row: Row, device: str) -> Interval:
    """What a row comes to on one device, over the seeds, in the metric that the comparison ranks by."""
    return row.devices.get(device, {}).get(row.rank, NOTHING)


AGAINST_ALONE = ("gain_over_local", "worse_off")
AGAINST_FOREST = ("gain_over_forest",)
"""Metrics that hold a row against another."""


def beside_itself(row: Row, metric: str) -> bool:
    """Tells whether a row is what a metric holds the others against: it would be the best of its column."""
    if metric in AGAINST_FOREST:
        return row.method in FORESTS
    return row.name == ALONE and metric in AGAINST_ALONE


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The rows that have a rank, the best first; of equals, the one that stands first in the file."""
    known = [row for row in rows if row.ranking.mean is not None]
    return sorted(known, key=lambda row: -(row.ranking.mean or 0.0))


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
            first[name] = row.model_copy(update={"name": name})
    return list(first.values())


def gains(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Returns row name -> device -> what is gained over training alone, the mean over the seeds in points.

    Of the models that devices end with: global models and controls would hide them behind losses of a quarter.
    """
    alone = comparison.row(ALONE)
    if alone is None:
        return {}
    found = {}
    for row in comparison.rows:
        if row.stage == "final" and row.method not in CONTROLS:
            paired = {d: _gain(value_of(row, d), value_of(alone, d)) for d in comparison.devices}
            found[row.name] = {device: gain for device, gain in paired.items() if gain is not None}
    return {name: devices for name, devices in found.items() if devices}


def by_stage(comparison: Comparison) -> dict[str, dict[str, Interval]]:
    """Returns stage -> device -> its value for the paper's stages, in their order, where there is any."""
    found = {}
    for stage in ("serial", "global", "final"):
        devices = comparison.stages.get(stage, {})
        known = {name: devices.get(name, {}).get(comparison.rank, NOTHING) for name in comparison.devices}
        found[stage] = {name: value for name, value in known.items() if value.mean is not None}
    return {stage: known for stage, known in found.items() if known}


FIGURES: Mapping[str, tuple[str, Callable[[Comparison], bool]]] = {
    "accuracy": ("{rank} of every method with its 95 % interval", lambda c: bool(ranked(c.rows))),
    "gains": ("Gain of every device over training alone", lambda c: bool(gains(c))),
    "rounds": ("{by_round} of the global model after each round", lambda c: bool(ranked(with_rounds(c)))),
    "stages": ("{rank} of Fed-Meta-Align after each stage", lambda c: len(by_stage(c)) > 1),
}
"""Figure -> what it shows, and whether a comparison has what it takes."""


def shown(comparison: Comparison) -> dict[str, str]:
    """Returns file name -> what it shows, for the figures that this comparison has the data of."""
    return {f"{name}.svg": title(name, comparison) for name, (_, ok) in FIGURES.items() if ok(comparison)}


def title(figure: str, comparison: Comparison) -> str:
    """Returns what a figure of this comparison shows."""
    metrics = {"rank": title_of(comparison.rank), "by_round": title_of(comparison.by_round)}
    return FIGURES[figure][0].format(**metrics)


def _gain(one: Interval, other: Interval) -> float | None:
    pairs = zip(one.values, other.values, strict=True) if one.values and other.values else ()
    gain = mean(a - b for a, b in pairs if a is not None and b is not None)
    return None if gain is None or not math.isfinite(gain) else 100 * gain

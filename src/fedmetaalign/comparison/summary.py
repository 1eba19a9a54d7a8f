"""From the chosen cells to compare.json: means, intervals, gains over training alone and forests, and tests.

NaN stands for undefined in every array here, and becomes null in the result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np

from fedmetaalign.comparison.cell import FINAL, Cell, Stage
from fedmetaalign.comparison.table import Row, device_names, measured, rows
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation.statistics import (
    Draws,
    Intervals,
    draw,
    holm,
    over_fleet,
    over_seeds,
    paired_p,
    worst,
    worst_decile,
)
from fedmetaalign.methods import ALONE, FORESTS, NO_RIVALS

Json = dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """How a method came to its learning rate.

    Attributes:
        choice: the learning rate; None where the method has none.
        validation: mean validation Brier score over the tuning seeds for each learning rate tried, None where
            training diverged; empty where nothing was tuned.
    """

    choice: float | None
    validation: Mapping[float, float | None]


@dataclass(frozen=True)
class Group:
    """Devices that are summarised together, on the same bootstrap replicates for every row and metric.

    Attributes:
        metrics: what is summarised of each.
        rank: the one of them that makes one row better than another.
    """

    devices: Sequence[str]
    draws: Draws
    metrics: tuple[str, ...]
    rank: str


def summarise(
    recipe: str,
    cells: Sequence[Cell],
    methods: Mapping[str, str],
    tunings: Mapping[str, Tuning],
    learning_rates: Sequence[float],
    tune_seeds: Sequence[int],
    rank: str = "accuracy",
    deployed: str | None = None,
) -> Json:
    """Returns what compare.json holds: plain dicts, lists, numbers and None.

    Args:
        recipe: its name.
        cells: the chosen ones, one for each method and seed.
        methods: in the order of the table, the name that the cells have -> the method's.
        tunings: by the name that the cells have.
        learning_rates: the shared grid.
        tune_seeds: the seeds that learning rates were chosen on.
        rank: the metric that says which method is better, what one gains and which device is worse off.
        deployed: the format in which networks were judged; None for float32, as they are trained.

    Raises:
        FedMetaAlignError: training diverged in every cell, so that there is nothing to summarise.
        ValueError: a method lacks a seed that another has, or has one twice.
    """
    table = rows(cells, list(methods))
    seeds = [cell.seed for cell in table[0].cells] if table else []
    federated, unseen = device_names(cells)
    if not federated:
        raise FedMetaAlignError(
            "Training diverged with every method and every seed: give [compare] lower learning_rates."
        )
    metrics = measured(cells)
    fleet = Group(federated, draw(len(seeds), len(federated)), metrics, rank)
    unseen_fleet = Group(unseen, draw(len(seeds), len(unseen)), metrics, rank) if unseen else None
    alone = next((row for row in table if row.name == ALONE), None)
    forests = [row for row in table if row.stage == FINAL and methods[row.method] in FORESTS]
    raced = [row for row in table if row.stage == FINAL and methods[row.method] not in NO_RIVALS]
    ranked = {row.name: _values(row, fleet.devices, [rank])[0] for row in raced}
    rivals = _against_best(ranked, fleet.draws) if raced else {}
    return {
        "recipe": recipe,
        "seeds": seeds,
        "learning_rates": list(learning_rates),
        "tune_seeds": list(tune_seeds),
        "rank": rank,
        **({} if deployed is None else {"deployed": deployed}),
        "devices": federated,
        "unseen": unseen,
        "methods": {
            row.name: {
                "method": methods[row.method],
                "stage": row.stage,
                **_tuned(tunings[row.method], learning_rates),
                "diverged": [cell.seed for cell in row.cells if FINAL not in cell.stages],
                "devices": _devices(row, fleet) | (_devices(row, unseen_fleet) if unseen_fleet else {}),
                "fleet": _fleet(row, alone, forests, fleet),
                "unseen": _fleet(row, alone, forests, unseen_fleet) if unseen_fleet else None,
                **_spent(row),
                "against_best": rivals.get(row.name),
                **_rounds(row, fleet),
            }
            for row in table
        },
        "stages": {row.name: _stages(row, fleet) for row in table if row.stage == FINAL},
    }


def _values(row: Row, devices: Sequence[str], metrics: Sequence[str]) -> np.ndarray:
    """(metrics, seeds, devices) float64: what a row's devices were measured to be."""
    return np.array([[_metric(stage, devices, metric) for stage in row.stages] for metric in metrics])


def _metric(stage: Stage | None, devices: Sequence[str], metric: str) -> list[float]:
    """One metric of each device at a stage; NaN where it is undefined, unmeasured, or training diverged."""
    found = [stage.devices.get(device, {}).get(metric) if stage else None for device in devices]
    return [np.nan if value is None else value for value in found]


def _devices(row: Row, group: Group) -> Json:
    intervals = over_seeds(_values(row, group.devices, group.metrics).transpose(2, 0, 1), group.draws)
    return {
        device: {metric: _interval(intervals, (d, m)) for m, metric in enumerate(group.metrics)}
        for d, device in enumerate(group.devices)
    }


def _fleet(row: Row, alone: Row | None, forests: Sequence[Row], group: Group) -> Json:
    """A group's metrics, and what it gained over training alone and over a forest, paired by seed and device.

    The forest is the one that is better for this very group, which flatters the forests.

    The intervals of the worst device and decile are over seeds only, for these very devices: resampling devices
    never finds one worse than the worst (P. J. Bickel and D. A. Freedman, Annals of Statistics 9, 1981).
    """
    values = _values(row, group.devices, group.metrics)
    ranked = values[group.metrics.index(group.rank)]
    gain = ranked - (np.nan if alone is None else _values(alone, group.devices, [group.rank])[0])
    worse = np.where(np.isnan(gain), np.nan, gain < 0)
    grown = [_values(forest, group.devices, [group.rank])[0] for forest in forests]
    over_forest = ranked - max(grown, key=np.nanmean, default=np.nan)
    means = over_fleet(np.stack([*values, gain, worse, over_forest]), group.draws)
    lowest = over_seeds(np.stack([worst(ranked), worst_decile(ranked)]), group.draws)
    names = (*group.metrics, "gain_over_local", "worse_off", "gain_over_forest")
    return {
        **{name: _interval(means, i) for i, name in enumerate(names)},
        **{name: _interval(lowest, i) for i, name in enumerate(("worst", "worst_decile"))},
    }


def _against_best(ranked: Mapping[str, np.ndarray], draws: Draws) -> dict[str, Json | None]:
    """Compares every method with the best other one, by the fleet's mean paired by seed.

    The p values are corrected for the number of pairs, of which the best and the second are one. Which is best
    is read off the same seeds, which flatters it: on average, the others are less far behind than the
    differences say. A method that diverged with some seed is not compared: it is measured on the others alone.

    Args:
        ranked: name -> (seeds, devices) of the metric that ranks; at least one.
        draws: of these seeds and devices.
    """
    fleet = over_fleet(np.stack(list(ranked.values())), draws)
    by_seed = dict(zip(ranked, fleet.values, strict=True))
    whole = [name for name in ranked if not np.isnan(by_seed[name]).any()]
    means = dict(zip(ranked, fleet.mean, strict=True))
    best = sorted(whole, key=lambda name: -means[name])[:2]
    pairs = {name: best[best[0] == name] for name in whole if len(whole) > 1}
    distinct = {frozenset(pair): paired_p(*(by_seed[name] for name in pair)) for pair in pairs.items()}
    corrected = dict(zip(distinct, holm(list(distinct.values())), strict=True))
    found: dict[str, Json | None] = dict.fromkeys(ranked)
    for name, other in pairs.items():
        difference = _interval(over_fleet(ranked[name] - ranked[other], draws))
        pair = frozenset((name, other))
        found[name] = {
            "method": other,
            "difference": difference,
            "p": distinct[pair],
            "p_holm": corrected[pair],
        }
    return found


def _rounds(row: Row, group: Group) -> Json:
    """The fleet's accuracy with the global model after each round, for a method that has one.

    Of more than two classes it is that of the classes.
    """
    trained = [cell.rounds if FINAL in cell.stages else () for cell in row.cells]
    count = max(map(len, trained))
    if count == 0:
        return {}
    values = np.full((count, len(trained), len(group.devices)), np.nan)
    for s, after in enumerate(trained):
        for r, accuracies in enumerate(after):
            values[r, s] = [accuracies.get(device, np.nan) for device in group.devices]
    found = over_fleet(values, group.draws)
    return {"rounds": {name: _numbers(getattr(found, name)) for name in ("mean", "low", "high")}}


def _stages(row: Row, group: Group) -> Json:
    """How every device ranks at every stage of a method, in the order in which the stages were measured."""
    names = dict.fromkeys(name for cell in row.cells for name in cell.stages)
    return {name: _stage(Row(row.name, row.method, name, row.cells), group) for name in names}


def _stage(row: Row, group: Group) -> Json:
    devices = list(dict.fromkeys(device for stage in row.stages if stage for device in stage.devices))
    intervals = over_seeds(_values(row, devices, [group.rank])[0].T, group.draws)
    return {device: {group.rank: _interval(intervals, d)} for d, device in enumerate(devices)}


def _tuned(tuning: Tuning, learning_rates: Sequence[float]) -> Json:
    ends = {min(learning_rates), max(learning_rates)} if len(learning_rates) > 1 else set()
    return {
        "learning_rate": tuning.choice,
        "tuning": {repr(float(rate)): value for rate, value in tuning.validation.items()},
        "edge": bool(tuning.validation) and tuning.choice in ends,
    }


def _spent(row: Row) -> Json:
    """What the row cost, the mean over the seeds that did not diverge."""
    done = [stage for stage in row.stages if stage]

    def average(spent: Iterable[float]) -> float | None:
        return mean(spent) if done else None

    return {
        "steps": average(stage.steps for stage in done),
        "bytes": average(stage.bytes for stage in done),
        "seconds": average(stage.seconds for stage in done),
    }


def _interval(intervals: Intervals, at: int | tuple[int, ...] = ()) -> Json:
    mid, low, high = _numbers([intervals.mean[at], intervals.low[at], intervals.high[at]])
    return {"mean": mid, "low": low, "high": high, "values": _numbers(intervals.values[at])}


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]

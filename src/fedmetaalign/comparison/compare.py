"""Compares methods on a recipe: chooses learning rates, runs every seed, and writes what came out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from fedmetaalign import methods
from fedmetaalign import recipe as recipes
from fedmetaalign.comparison import pool
from fedmetaalign.comparison.cell import Cell
from fedmetaalign.comparison.pool import Job, Pool
from fedmetaalign.comparison.store import AGAIN, check_folder
from fedmetaalign.comparison.summary import Json, Tuning, summarise
from fedmetaalign.comparison.table import to_csv
from fedmetaalign.errors import DataError, DataErrors, RecipeError
from fedmetaalign.fleet.build import UNJUDGED, build
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.recipe import Recipe
from fedmetaalign.report.comparison import figures, markdown, page
from fedmetaalign.system.writing import replace as replace_file
from fedmetaalign.system.writing import writing_to

NO_SWEEP = ""
"""The value of a comparison without a sweep."""


class Watcher:
    """Follows how a comparison gets on; this one keeps it to itself."""

    def begin(self, cells: int) -> None:
        """So many cells are wanted."""

    def notice(self, sentence: str) -> None:
        """The user has to know this of the fleet."""

    def stage(self, name: str) -> None:
        """Learning rates are chosen ("tuning"), or the methods are run for the remaining seeds ("running")."""

    def advance(self) -> None:
        """One more cell is there."""


@dataclass(frozen=True)
class Arm:
    """A method under its settings.

    Attributes:
        row: its name in the tables.
        method: its name; see `methods`.
        recipe: with the arm's settings.
        data: sha256 of the files that the recipe reads.
    """

    row: str
    method: str
    recipe: Recipe
    data: Mapping[str, str]

    @property
    def grid(self) -> tuple[float | None, ...]:
        """The learning rates to choose from; None alone where nothing is trained."""
        method = methods.find(self.method)
        if not method.trains:
            return (None,)
        return self.recipe.compare.learning_rates if method.tuned else (self.recipe.optimizer.learning_rate,)

    def tune_seeds(self, seeds: int) -> int:
        """Returns on how many of the seeds it is tuned: none where there is no choice."""
        return min(self.recipe.compare.tune_seeds, seeds) if len(self.grid) > 1 else 0

    def job(self, seed: int, learning_rate: float | None) -> Job:
        """Returns the cell to be made for a seed and a learning rate."""
        return Job(
            self.row, self.method, self.recipe.model_copy(update={"seed": seed}), learning_rate, self.data
        )


@dataclass(frozen=True)
class Chosen:
    """An arm, its learning rate, and its cells with that, one a seed."""

    arm: Arm
    tuning: Tuning
    cells: list[Cell]


def compare(
    recipe: Recipe,
    out: Path,
    seeds: int,
    watcher: Watcher | None = None,
    workers: int | None = None,
    cells: Path | None = None,
) -> Json:
    """Runs a comparison, or as many as the recipe's sweep has values.

    Finished cells are used again, so that the same call goes on where another was stopped.

    Args:
        recipe: what to compare; its [compare] section names the methods, the grid, variants and the sweep.
        out: the comparison's folder, new, or one that a comparison has written.
        seeds: how many, at least 1, from the recipe's own on.
        watcher: gets reports of the progress.
        workers: processes, by default one a core.
        cells: where finished cells are kept, by default under `out`; comparisons may share the folder.

    Returns:
        What compare.json holds, or for a sweep what sweep.json does: {"key": ..., "comparisons": {value:
        comparison}}.

    Raises:
        FedMetaAlignError: the recipe, its data or the folder cannot be used, or a method cannot run on them.
    """
    watcher = watcher or Watcher()
    check_folder(out)
    recipe = resolved(recipe)
    points = dict(_points(recipe))
    notice = cache(watcher.notice)  # once, however many of the fleets it is true of
    numbers = range(recipe.seed, recipe.seed + seeds)
    arms = {value: _arms(point, numbers, notice) for value, point in points.items()}
    every = [arm for group in arms.values() for arm in group]
    with writing_to(out, AGAIN):
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / "recipe.toml", recipes.dump(recipe).encode())
    with pool.processes(cells or out / "cells", workers) as running:
        chosen = iter(_run(running, every, numbers, watcher))
    results = {
        value: _write(out / _folder(value), points[value], [next(chosen) for _ in group])
        for value, group in arms.items()
    }
    if recipe.compare.sweep is None:
        return results[NO_SWEEP]
    return _write_sweep(out, recipe.compare.sweep.key, results)


def _points(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Lists the values of a recipe's sweep, as text, each with its recipe; without a sweep, itself.

    Raises:
        RecipeError: two values would have the same folder, or one the cells'.
    """
    points = [(NO_SWEEP if value is None else str(value), point) for value, point in recipes.sweep(recipe)]
    folders = ["cells", *(_folder(value) for value, _ in points)]
    for i, (value, _) in enumerate(points, 1):
        if folders[i] in folders[:i]:
            raise RecipeError(
                f"compare.sweep cannot have the value {value!r}: its folder, {folders[i]}, is taken; change it."
            )
    return points


def _folder(value: str) -> str:
    """Returns the folder of a sweep's value, below the comparison's own, which serves without a sweep."""
    return safe_name(value) if value != NO_SWEEP else "."


def _arms(recipe: Recipe, seeds: Sequence[int], notice: Callable[[str], None]) -> list[Arm]:
    """Lists a recipe's rows: its methods, then its variants. Builds all fleets, to know that it can be done."""
    chosen = [(name, name, recipe) for name in recipe.compare.methods]
    settings = recipes.variants(recipe)
    chosen += [(name, variant.method, settings[name]) for name, variant in recipe.compare.variants.items()]
    for row, method, own in chosen:
        if why := methods.find(method).lacking(own):
            raise RecipeError(why if row == method else f'compare.variants."{row}": {why}')
    digests: dict[str, Mapping[str, str]] = {}
    arms = []
    for row, method, own in chosen:
        built = own.model_dump_json(include={"seed", "fleet", "splits", "model", "foundation"})
        if built not in digests:
            fleet = _fleet(own, seeds)
            if own.compare.rank == "macro_f1" and fleet.target.outputs == 1:
                raise RecipeError(
                    'compare.rank = "macro_f1" ranks by kinds of fault, and the label of this fleet has two '
                    'classes only: take "accuracy", or give a label of more values (fleet.normal, or '
                    "fleet.kinds = true)."
                )
            digests[built] = fleet.files
            for sentence in fleet.notices:
                notice(sentence)
        arms.append(Arm(row, method, own, digests[built]))
    return arms


def _fleet(recipe: Recipe, seeds: Sequence[int]) -> Fleet:
    """Returns the fleet of the first seed, after those of all others have been built, too.

    Raises:
        DataError: one cannot be, or has other devices than the first.
    """
    first = _judged(recipe, seeds[0])
    for seed in seeds[1:]:
        try:
            fleet = _judged(recipe, seed)
        except DataError as error:
            raise DataErrors(
                replace(each, sentence=f"With seed {seed}: {each.sentence}") for each in error.problems
            ) from None
        if other := {each.name for each in fleet.left_out} ^ {each.name for each in first.left_out}:
            raise DataError(
                f"{', '.join(sorted(other))} can be used with seed {seed} or with seed {seeds[0]}, and not with"
                " both, which compares unlike fleets: leave out what cannot be used with fleet.exclude."
            )
    return first


def _judged(recipe: Recipe, seed: int) -> Fleet:
    """Returns the fleet of a seed.

    Raises:
        DataError: it cannot be built, or says nothing of faults.
    """
    fleet = build(recipe.model_copy(update={"seed": seed}), unseen_devices=True)
    if UNJUDGED in fleet.notices:
        raise DataError(UNJUDGED)
    return fleet


def _run(running: Pool, arms: Sequence[Arm], seeds: Sequence[int], watcher: Watcher) -> list[Chosen]:
    """Chooses each arm's learning rate on the first seeds, and runs it with that for all of them."""
    plans = [
        [arm.job(seed, rate) for rate in arm.grid for seed in seeds[: arm.tune_seeds(len(seeds))]]
        for arm in arms
    ]
    rests = [seeds[arm.tune_seeds(len(seeds)) :] for arm in arms]
    watcher.begin(sum(map(len, plans)) + sum(map(len, rests)))
    watcher.stage("tuning")
    tried = _run_all(running, plans, watcher)
    tunings = [_tuning(arm, cells) for arm, cells in zip(arms, tried, strict=True)]
    watcher.stage("running")
    finals = [
        [arm.job(seed, tuning.choice) for seed in rest]
        for arm, tuning, rest in zip(arms, tunings, rests, strict=True)
    ]
    run = _run_all(running, finals, watcher)
    return [
        Chosen(arm, tuning, [cell for cell in first if cell.learning_rate == tuning.choice] + then)
        for arm, tuning, first, then in zip(arms, tunings, tried, run, strict=True)
    ]


def _run_all(running: Pool, groups: Sequence[Sequence[Job]], watcher: Watcher) -> list[list[Cell]]:
    """Runs the jobs of several arms at once, and returns their cells arm by arm."""
    cells = iter(running.run([job for jobs in groups for job in jobs], watcher.advance))
    return [[next(cells) for _ in jobs] for jobs in groups]


def _tuning(arm: Arm, cells: Sequence[Cell]) -> Tuning:
    """Chooses the learning rate with the least mean Brier score on validation data, of equals the smaller one.

    One that diverged for any seed is no choice, unless all did: then it is the smallest.
    """
    if len(arm.grid) == 1:
        return Tuning(arm.grid[0], {})
    found: dict[float, float | None] = {}
    for rate in arm.recipe.compare.learning_rates:
        values = [cell.validation for cell in cells if cell.learning_rate == rate]
        known = [value for value in values if value is not None]
        found[rate] = float(np.mean(known)) if len(known) == len(values) else None
    fit = {rate: value for rate, value in found.items() if value is not None}
    return Tuning(min(fit, key=fit.__getitem__) if fit else min(found), found)


def _write(out: Path, recipe: Recipe, chosen: Sequence[Chosen]) -> Json:
    """Writes one comparison's files and returns what compare.json holds."""
    cells = [cell for each in chosen for cell in each.cells]
    names = {each.arm.row: each.arm.method for each in chosen}
    comparison = summarise(
        recipe.name,
        cells,
        names,
        {each.arm.row: each.tuning for each in chosen},
        recipe.compare.learning_rates,
        [cell.seed for cell in chosen[0].cells][: recipe.compare.tune_seeds],
        recipe.compare.rank,
        recipe.deploy.format if recipe.compare.deployed else None,
    )
    with writing_to(out, AGAIN):
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / "compare.csv", to_csv(cells, list(names)).encode())
        figures.write(comparison, out)
        replace_file(out / "compare.md", markdown.document(comparison).encode())
        replace_file(out / "compare.html", page.document(comparison, out).encode())
        _write_json(out / "compare.json", comparison)
    return comparison


def _write_sweep(out: Path, key: str, comparisons: Mapping[str, Json]) -> Json:
    """Writes what ties a sweep's comparisons together; each has a folder of its own."""
    swept = {"recipe": next(iter(comparisons.values()))["recipe"], "key": key, "comparisons": dict(comparisons)}
    with writing_to(out, AGAIN):
        figures.write_sweep(comparisons, key, out)
        replace_file(out / "compare.md", markdown.sweep_document(comparisons, key).encode())
        folders = {value: _folder(value) for value in comparisons}
        replace_file(out / "compare.html", page.sweep_document(comparisons, key, out, folders).encode())
        _write_json(out / "sweep.json", swept)
    return swept


def _write_json(path: Path, value: Json) -> None:
    replace_file(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

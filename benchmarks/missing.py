"""What is a missing sensor worth, and does filling in its value from the others give any of it back?

    python benchmarks/missing.py --data FOLDER                                    # ten minutes on two cores
    python benchmarks/missing.py --data FOLDER --fleets mills --seeds 1           # two minutes

Of each fleet every other device lacks two features, drawn by the seed. FOLDER holds the tables that
`fedmetaalign data list` names. All devices have the recipe `fleet`'s settings.

    zero       the input of a feature that a device lacks is 0, its median
    imputed    it is what linear regression makes of the inputs that the device has; the others have sent the
               sums of products of theirs, once
    folded     what `fleet.missing = "regression"` does: inputs stay 0, and the first layer's weights of the
               missing ones are added to the others'; it rests on correlations within each device's samples
    whole      no device lacks anything: the ceiling
    alone      the devices of `zero`, each trained by itself, as a network and as a forest
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fedmetaalign import load_recipe
from fedmetaalign.comparison.cell import FINAL
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Device, Fleet, Part
from fedmetaalign.fleet.missing.imputation import correlations_of, pooled
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.model.online import Samples
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe, variants

LACKING = 2
"""Features that every other device lacks."""
RIDGE = 1e-3
"""A sample's share that is added to each variance: currents that sum to zero have no inverse."""
ROWS = {
    "zero": ("zero", "fleet"),
    "imputed": ("imputed", "fleet"),
    "folded": ("zero", "fleet"),
    "whole": ("whole", "fleet"),
    "network alone": ("zero", "local_only"),
    "forest alone": ("zero", "forest_alone"),
}
"""Which inputs, and which method."""

Fill = Callable[[np.ndarray], np.ndarray]
"""From inputs to inputs, (rows, inputs) float32."""


def recipe_of(fleet: str, data: Path, seed: int) -> Recipe:
    """Returns the recipe of a fleet, with the settings of `fleet`."""
    if fleet == "feeders":
        return variants(load_recipe("joining", ["extends=feeders"], seed=seed, data=data))["fleet"]
    simulated = ["fleet.simulator=milling", "fleet.count=10", "fleet.samples=500", "splits.test=0.8"]
    return load_recipe("fleet", simulated, seed=seed)


def drawn(recipe: Recipe, fleet: Fleet) -> dict[str, np.ndarray]:
    """Returns the inputs that each device lacks."""
    inputs = len(fleet.devices[0].preparation.features)
    return {
        device.name: generator(recipe.seed, "lacking", device.name).choice(inputs, LACKING, replace=False)
        for device in fleet.devices[1::2]
    }


def second_moments(device: Device, inputs: int) -> np.ndarray:
    """Returns what a device sends: the sums of products of its inputs and 1, (inputs + 1, inputs + 1)."""
    x = device.train.x[:, :inputs].astype(np.float64)
    with_one = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return with_one.T @ with_one


def regression(moments: np.ndarray, lacking: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inputs that are there, and 1, and what the missing ones are of them, (there, lacking)."""
    there = np.setdiff1d(np.arange(len(moments)), lacking)
    ridge = RIDGE * moments[-1, -1] * np.diag(there < len(moments) - 1)
    return there, np.linalg.solve(moments[np.ix_(there, there)] + ridge, moments[np.ix_(there, lacking)])


def zero(lacking: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Feeds zeros."""
    filled = x.copy()
    filled[:, lacking] = 0
    return filled


def imputed(moments: np.ndarray, lacking: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Feeds what the regression says."""
    there, coefficients = regression(moments, lacking)
    with_one = np.concatenate([x[:, : len(moments) - 1], np.ones((len(x), 1), np.float32)], axis=1)
    filled = x.copy()
    filled[:, lacking] = with_one[:, there] @ coefficients
    return filled


def filling(fleet: Fleet, lacking: dict[str, np.ndarray]) -> Fleet:
    """Returns the fleet whose devices fold what they lack into their weights, as `regression` does."""
    told = [device for device in fleet.devices if device.name not in lacking]
    together = pooled((each.preparation.sensors, correlations(each), len(each.train)) for each in told)
    devices = []
    for device in fleet.devices:
        columns, sensors = np.array(device.preparation.columns), device.preparation.sensors
        family = {sensors[column]: i for i, column in enumerate(columns) if column >= 0}
        columns[lacking.get(device.name, [])] = -1
        own = [name for name, place in family.items() if columns[place] >= 0]
        places = np.array([own.index(sensors[c]) if c >= 0 else -1 for c in columns])
        devices.append(replace(device, fill=together.fill(places, own, family)))
    return replace(fleet, devices=tuple(devices))


def correlations(device: Device) -> np.ndarray:
    """Returns what a device sends before the first round, (features, features)."""
    raw = device.preparation.raw(device.train.x)
    return correlations_of(np.column_stack([curve_of([Sketch.of(values)]).apply(values) for values in raw.T]))


def lacking_fleet(fleet: Fleet, fills: dict[str, Fill]) -> Fleet:
    """Returns the fleet as it is where some devices' inputs come another way."""

    def samples(name: str, own: Samples) -> Samples:
        return Samples(fills[name](own.x), own.y) if name in fills else own

    def part(name: str, own: Part) -> Part:
        return Part(samples(name, own.support), samples(name, own.query))

    devices = tuple(
        replace(
            device,
            parts={phase: part(device.name, own) for phase, own in device.parts.items()},
            own=part(device.name, device.own),
        )
        for device in fleet.devices
    )
    return replace(fleet, devices=devices, test={name: samples(name, x) for name, x in fleet.test.items()})


def explained(fleet: Fleet, fills: dict[str, Fill], lacking: dict[str, np.ndarray]) -> float:
    """Returns the share of the variance of missing inputs that the fills explain on test samples."""
    lost = total = 0.0
    for name, places in lacking.items():
        x = fleet.test[name].x
        lost += float(((x - fills[name](x))[:, places] ** 2).sum())
        total += float((x[:, places] ** 2).sum())
    return 1 - lost / total


def measured(fleet: str, data: Path, seed: int, rows: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yields each row's accuracy in %, of all devices and of those that lack features."""
    recipe = recipe_of(fleet, data, seed)
    full = build(recipe)
    lacking = drawn(recipe, full)
    inputs = len(full.devices[0].preparation.features)
    whole = [device for device in full.devices if device.name not in lacking]
    moments = np.sum([second_moments(device, inputs) for device in whole], axis=0)
    fills: dict[str, dict[str, Fill]] = {
        "zero": {name: partial(zero, places) for name, places in lacking.items()},
        "imputed": {name: partial(imputed, moments, places) for name, places in lacking.items()},
        "whole": {},
    }
    share = explained(full, fills["imputed"], lacking)
    for row, (fill, method) in ROWS.items():
        if row not in rows:
            continue
        given = lacking_fleet(filling(full, lacking) if row == "folded" else full, fills[fill])
        devices = run_cell(method, recipe, given, start(recipe, given)).stages[FINAL].devices
        accuracy = {name: 100 * float(found["accuracy"] or 0) for name, found in devices.items()}
        yield {
            "fleet": fleet,
            "seed": seed,
            "row": row,
            "all": float(np.mean([*accuracy.values()])),
            "lacking": float(np.mean([accuracy[name] for name in lacking])),
            "explained": share,
            "devices": accuracy,
        }


def table(cells: Sequence[dict[str, object]]) -> str:
    """Returns the means over seeds as Markdown."""
    fleets = list(dict.fromkeys(str(cell["fleet"]) for cell in cells))
    heads = [f"{fleet}, {who}" for fleet in fleets for who in ("all", "those that lack")]
    lines = [f"| accuracy in % | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for row in dict.fromkeys(str(cell["row"]) for cell in cells):
        means = [
            np.mean([float(str(c[who])) for c in cells if (c["fleet"], c["row"]) == (fleet, row)])
            for fleet in fleets
            for who in ("all", "lacking")
        ]
        lines.append(f"| {row} | {' | '.join(f'{mean:.1f}' for mean in means)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the tables")
    parser.add_argument("--fleets", default="feeders,mills", help="some of them")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of them")
    asked = parser.parse_args()
    cells = []
    for seed in range(asked.seeds):
        for fleet in asked.fleets.split(","):
            for cell in measured(fleet, asked.data, seed, asked.rows.split(",")):
                cells.append(cell)
                print(json.dumps(cell), flush=True)
    print(table(cells))


if __name__ == "__main__":
    main()

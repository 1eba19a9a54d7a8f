"""Which threshold serves a device of the method `fleet`: 0.5, the best for its F1 or its fleet's, or costs?

    python benchmarks/thresholds.py --data FOLDER

FOLDER holds the tables of the recipes `feeders`, `equipment` and `machines`. Each fleet is trained once a
seed, with the keys of the recipe `fleet`; all thresholds are then put on the same scores. What a run has given
is kept in build/thresholds, and used again.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markers import replace_between

from fedmetaalign import load_recipe, methods
from fedmetaalign.comparison.run_cell import CellRun, start
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.evaluation.few_samples import shrunk_f1
from fedmetaalign.evaluation.fleet_threshold import counted, drawn_to_fleet
from fedmetaalign.evaluation.metrics import measure
from fedmetaalign.evaluation.thresholds import Choice, best_f1
from fedmetaalign.fleet.build import build
from fedmetaalign.phases import taught
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe, variants, with_settings
from fedmetaalign.tinyml.decision import fault_probability

KEPT = Path(__file__).parents[1] / "build" / "thresholds"
FLEETS = ("demo", "feeders", "equipment", "machines")
MISS = 10
"""What a missed fault costs, where a false alarm costs 1."""
THRESHOLDS = (
    "0.5",
    "greatest F1",
    "greatest F1 if it is sure",
    "drawn to the fleet's greatest F1",
    f"costs {MISS} : 1",
)

Scores = dict[str, dict[str, np.ndarray]]
"""By device: labels `y` and `scores` of its samples, out of fold, and `test_y` and `test_scores`."""


@dataclass(frozen=True)
class Kept(Choice):
    """A choice, and the samples it rests on."""

    y: np.ndarray | None = None
    scores: np.ndarray | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0, 1, ...; of the demo one more")
    parser.add_argument("--fleets", default=",".join(FLEETS))
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    lines = [
        f"| fleet | threshold | devices where it is not 0.5, % | accuracy, % | F1, % | cost at {MISS} : 1 |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name in options.fleets.split(","):
        seeds = range(options.seeds + (name == "demo"))
        runs = [(seed, scores(name, seed, options.data)) for seed in seeds]
        found = np.array(
            [
                judged(each, device, seed, sum(counted(of["y"], of["scores"]) for of in run.values()))
                for seed, run in runs
                for device, each in run.items()
            ]
        )
        for label, row in zip(THRESHOLDS, np.nanmean(found, axis=0), strict=True):
            lines.append(f"| {name} | {label} | {row[0]:.0f} | {' | '.join(f'{v:.1f}' for v in row[1:])} |")
    print("\n".join(lines))
    if options.markdown:
        replace_between(options.markdown, "thresholds", "\n".join(lines))


def judged(of: dict[str, np.ndarray], device: str, seed: int, counts: np.ndarray) -> list[tuple[float, ...]]:
    """Returns a row for each threshold on a device: whether it is another than 0.5, accuracy, F1, cost.

    Accuracy and F1 are in %, the cost is that of 100 samples, in false alarms.
    """
    y, found, test = of["y"], of["scores"], of["test_y"].astype(bool)
    best = best_f1(y, found).threshold
    shrunk = shrunk_f1(y, found, generator(seed, "threshold", device)).threshold
    drawn = drawn_to_fleet(y, found, counts, generator(seed, "threshold", device)).threshold
    rows = []
    for threshold in (0.5, best, shrunk, drawn, 1 / (1 + MISS)):
        alarms = of["test_scores"] > threshold
        f1 = measure(of["test_y"], of["test_scores"], threshold).f1
        cost = np.mean(MISS * (test & ~alarms) + (~test & alarms))
        accuracy = np.mean(test == alarms)
        rows.append((100 * (threshold != 0.5), 100 * accuracy, np.nan if f1 is None else 100 * f1, 100 * cost))
    return rows


def scores(name: str, seed: int, data: Path) -> Scores:
    """Returns what a run has given, or runs it."""
    path = KEPT / f"{name}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run = trained(name, seed, data)
        np.savez(path, **{f"{device}|{key}": each for device, of in run.items() for key, each in of.items()})
    found: Scores = {}
    with np.load(path) as kept:
        for where in kept.files:
            device, key = where.split("|")
            found.setdefault(device, {})[key] = kept[where]
    return found


def trained(name: str, seed: int, data: Path) -> Scores:
    """Trains a fleet by the method `fleet`, and returns what its devices choose and are tested by."""
    recipe = with_settings(recipe_of(name, seed, data), {"personalize.threshold": "f1"})
    taught.drawn_to_fleet = lambda y, scores, counts, random, beta: Kept(0.5, None, None, y=y, scores=scores)
    fleet, learner = build(recipe), learner_of(recipe)
    begin = start(recipe, fleet).weights
    cell = CellRun(recipe, learner, fleet.devices, fleet.unseen_devices, fleet.public, begin)
    found: Scores = {}
    for device, model in cell.run(methods.find("fleet")).models.items():
        test, choice = fleet.test[device], model.threshold
        if isinstance(choice, Kept) and choice.y is not None and choice.scores is not None:
            said = fault_probability(model.probabilities(test.x), learner.target)
            test_y = learner.target.faults(test.y)
            found[device] = {"y": choice.y, "scores": choice.scores, "test_y": test_y, "test_scores": said}
    return found


def recipe_of(name: str, seed: int, data: Path) -> Recipe:
    """Returns the demo, or another recipe's fleet with the keys of the recipe `fleet`."""
    if name == "demo":
        return load_recipe(name, seed=seed)
    return variants(load_recipe("joining", [f"extends={name}"], seed, data))["fleet"]


if __name__ == "__main__":
    main()

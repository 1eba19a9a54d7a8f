"""Which fault, not only whether: the federation beside forests on six classes; renews docs/results.md.

    python benchmarks/kinds.py --data FOLDER

FOLDER holds classData.csv. Runs `compare feeders-kinds`, with as many rounds as the other comparisons of these
feeders have and with four times as many (finished runs are used again), and beside it a random forest with
scikit-learn's defaults: one on the samples of all devices in one place, and one for each device on its own.
A forest needs no validation part and trains on all of a device's training samples. It raises an alarm where
1 - p(normal) > 0.5, and names the likeliest fault. Intervals are those of the comparison.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markers import replace_between
from sklearn.ensemble import RandomForestClassifier

from fedmetaalign import load_recipe
from fedmetaalign.comparison.compare import compare
from fedmetaalign.evaluation.metrics import measure_classes
from fedmetaalign.evaluation.statistics import draw, over_fleet
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import ALONE
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.report.comparison.formats import Metric, ranged
from fedmetaalign.report.comparison.names import label
from fedmetaalign.report.comparison.reading import Interval
from fedmetaalign.report.numbers import ABSENT

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
RECIPE = "feeders-kinds"
ROUNDS = (10, 40)
METRICS = {
    "accuracy": "accuracy of alarms in %",
    "class_accuracy": "class accuracy in %",
    "macro_f1": "macro-F1 in %",
}
Values = dict[str, np.ndarray]
"""Metric -> (seeds, devices) float64."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of classData.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/results/feeders-kinds"), help="for the runs")
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0, 1, ...")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    trees = {
        "Random forest, pooled data": forests(pooled, arguments.data, seeds),
        "Random forest, local only": forests(alone, arguments.data, seeds),
    }
    parts = []
    for rounds in ROUNDS:
        recipe = load_recipe(RECIPE, [f"parallel.rounds={rounds}"], None, arguments.data)
        found = compare(recipe, arguments.out / str(rounds), len(seeds))
        networks = {name: measured(row, found["devices"]) for name, row in found["methods"].items()}
        steps = found["methods"][ALONE]["steps"]
        title = f"{rounds} rounds ({steps:,.0f} steps with each method), {len(seeds)} seeds:"
        parts += [title, table(networks | trees)]
    text = "\n\n".join(parts)
    print(text)
    replace_between(PAGE, f"{RECIPE} table", text)


def measured(row: dict[str, Any], devices: list[str]) -> Values:
    """Returns what compare.json has of a row."""
    return {
        metric: np.array([row["devices"][name][metric]["values"] for name in devices], np.float64).T
        for metric in METRICS
    }


def forests(fit: Callable[[tuple[Device, ...], int], list[Any]], data: Path, seeds: Sequence[int]) -> Values:
    """Returns what forests come to; `fit` makes a fleet's, one a device."""
    by_seed = []
    for seed in seeds:
        fleet = build(load_recipe(RECIPE, (), seed, data))
        models = fit(fleet.devices, seed)
        judged = [
            judge(model, fleet.test[device.name], fleet.target)
            for model, device in zip(models, fleet.devices, strict=True)
        ]
        by_seed.append({metric: [each[metric] for each in judged] for metric in METRICS})
    return {metric: np.array([each[metric] for each in by_seed], np.float64) for metric in METRICS}


def pooled(devices: tuple[Device, ...], seed: int) -> list[RandomForestClassifier]:
    """Returns one forest of all devices' samples, once for each."""
    x, y = (np.concatenate(part) for part in zip(*(device.train for device in devices), strict=True))
    return [RandomForestClassifier(random_state=seed).fit(x, y)] * len(devices)


def alone(devices: tuple[Device, ...], seed: int) -> list[RandomForestClassifier]:
    """Returns a forest of each device's own samples."""
    return [RandomForestClassifier(random_state=seed).fit(*device.train) for device in devices]


def judge(model: RandomForestClassifier, test: Samples, target: Target) -> dict[str, Any]:
    """Measures a forest as the comparison does its models; a class that it never saw has no probability."""
    probabilities = np.zeros((len(test.y), len(target.classes)))
    probabilities[:, model.classes_.astype(int)] = model.predict_proba(test.x)
    fault = 1 - probabilities[:, target.normal].sum(axis=1)
    return measure_classes(target, test.y, np.clip(fault, 0, 1), probabilities, 0.5).to_dict()


def table(rows: dict[str, Values]) -> str:
    """Returns the Markdown table: means with their 95 % intervals over seeds and devices; the best in bold."""
    shape = rows[ALONE]["accuracy"].shape
    draws, metric = draw(*shape), Metric("")
    head = [*METRICS.values(), "worse off than alone in % (alarms)", "(macro-F1)"]
    lines = [["", *head], ["---", *["---:"] * len(head)]]
    means = {
        name: {key: over_fleet(each, draws) for key, each in values.items()} for name, values in rows.items()
    }
    best = {key: metric.best(float(row[key].mean) for row in means.values()) for key in METRICS}
    for name, values in rows.items():
        cells = [label(name)]
        for key, found in means[name].items():
            mean, low, high = (float(x) for x in (found.mean, found.low, found.high))
            cell = ranged(metric, Interval(mean=mean, low=low, high=high))
            shown = metric.format(mean)
            cells.append(cell.replace(shown, f"**{shown}**", 1) if shown == best[key] else cell)
        for key in ("accuracy", "macro_f1"):
            worse = float(np.mean(values[key] < rows[ALONE][key]))
            cells.append(ABSENT if name == ALONE else metric.format(worse))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()

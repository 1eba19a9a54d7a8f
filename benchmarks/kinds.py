"""Which fault, not only whether: the federation beside forests on six classes; renews docs/results.md.

    python benchmarks/kinds.py --data FOLDER

FOLDER holds classData.csv. Runs `compare feeders-kinds`, forests and boosted trees included, with as many
rounds as the other comparisons of these feeders have and with four times as many. Finished runs are used again.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from markers import replace_between

from fedmetaalign import load_recipe
from fedmetaalign.comparison.compare import compare
from fedmetaalign.evaluation.statistics import draw, over_fleet
from fedmetaalign.methods import ALONE
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
    parts = []
    for rounds in ROUNDS:
        recipe = load_recipe(RECIPE, [f"parallel.rounds={rounds}"], None, arguments.data)
        found = compare(recipe, arguments.out / str(rounds), arguments.seeds)
        rows = {name: measured(row, found["devices"]) for name, row in found["methods"].items()}
        steps = found["methods"][ALONE]["steps"]
        title = f"{rounds} rounds ({steps:,.0f} steps with each network), {arguments.seeds} seeds:"
        parts += [title, table(rows)]
    text = "\n\n".join(parts)
    print(text)
    replace_between(PAGE, f"{RECIPE} table", text)


def measured(row: dict[str, Any], devices: list[str]) -> Values:
    """Returns what compare.json has of a row."""
    return {
        metric: np.array([row["devices"][name][metric]["values"] for name in devices], np.float64).T
        for metric in METRICS
    }


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

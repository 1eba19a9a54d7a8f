"""What does a serial phase on G tours side by side cost in accuracy, and how many hops does it save?

    python benchmarks/tours.py                               # 10 devices with ten seeds, 100 and 1,000 with one
    python benchmarks/tours.py --devices 10 --seeds 3        # minutes
    python benchmarks/tours.py --devices 10 100 --markdown docs/benchmarks.md    # rewrite the table there

Six feeders to four milling machines, simulated, with the recipe `mixed`, but ten rounds in phase 2. A fleet of
machines takes as long as its hops one after another. What a run has given is kept in build/tours, with the
seconds that phase 1 took here, and used again.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from markers import replace_between
from scipy.stats import t

from fedmetaalign import load_recipe
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import Recipe

KEPT = Path(__file__).parents[1] / "build" / "tours"
TOURS = {10: (1, 2, 5, 10), 100: (1, 2, 5, 10, 20, 50, 100), 1000: (1, 10, 30, 100, 300, 1000)}
SEEDS = {10: 10, 100: 1, 1000: 1}
ROUNDS = 10
STAGES = {"serial": "after phase 1", "global": "after phase 2", "final": "personal"}

Row = dict[str, float]
"""The accuracy of each stage in percent, the mean over the devices, and the seconds of phase 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", choices=TOURS, default=[*TOURS])
    parser.add_argument("--seeds", type=int, help="seeds 0, 1, ...", metavar="N")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    made = {}
    for devices in options.devices:
        seeds = options.seeds or SEEDS[devices]
        made[devices] = [measured(devices, seed) for seed in range(seeds)]
        print(table({devices: made[devices]}), flush=True)
    if options.markdown:
        replace_between(options.markdown, "tours", table(made))


def recipe_of(devices: int, tours: int, seed: int) -> Recipe:
    feeders = devices * 6 // 10
    fleet = [
        f'{{ simulator = "{simulator}", count = {count}, samples = 400 }}'
        for simulator, count in (("feeder", feeders), ("milling", devices - feeders))
    ]
    settings = (f"fleet.devices=[{', '.join(fleet)}]", f"parallel.rounds={ROUNDS}", f"serial.rounds={ROUNDS}")
    return load_recipe("mixed", (*settings, f"serial.parallel_tours={tours}"), seed=seed)


def measured(devices: int, seed: int) -> dict[int, Row]:
    """Returns what each number of tours comes to with a seed."""
    path = KEPT / f"{devices}-{seed}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    rows = {int(tours): row for tours, row in kept.items()}
    missing = [tours for tours in TOURS[devices] if tours not in rows]
    if not missing:
        return rows
    recipe = recipe_of(devices, 1, seed)
    fleet = build(recipe)
    begin = start(recipe, fleet)
    learner, part = learner_of(recipe, fleet.target), fleet.devices[0].parts["serial"]
    learner.evaluate(learner.train(begin.weights, part.support).weights, part.query)  # compiles
    for tours in missing:
        cell = run_cell("fed_meta_align", recipe_of(devices, tours, seed), fleet, begin)
        rows[tours] = {
            stage: 100 * float(np.mean([each["accuracy"] for each in cell.stages[stage].devices.values()]))
            for stage in STAGES
        } | {"seconds": cell.stages["serial"].seconds - begin.seconds}
        print(devices, seed, tours, rows[tours], flush=True)
        KEPT.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return rows


def table(made: dict[int, list[dict[int, Row]]]) -> str:
    lines = [
        f"| devices | seeds | tours | hops in a row | {' | '.join(STAGES.values())} | to one tour |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for devices, seeds in made.items():
        for tours in TOURS[devices]:
            rows = [seed[tours] for seed in seeds]
            accuracies = [f"{np.mean([row[stage] for row in rows]):.1f}" for stage in STAGES]
            lost = [row["final"] - seed[1]["final"] for row, seed in zip(rows, seeds, strict=True)]
            hops = ROUNDS * math.ceil(devices / tours)
            cells = [
                devices,
                len(seeds),
                tours,
                hops,
                *accuracies,
                difference(lost),
            ]
            lines.append(f"| {' | '.join(f'{c:,}' if isinstance(c, int) else c for c in cells)} |")
    return "\n".join(lines)


def difference(points: list[float]) -> str:
    """Writes a mean over seeds with half its 95 % interval (Student's)."""
    if len(points) < 2 or not any(points):
        return f"{np.mean(points):+.1f}"
    half = t.ppf(0.975, len(points) - 1) * np.std(points, ddof=1) / math.sqrt(len(points))
    return f"{np.mean(points):+.1f} ± {half:.1f}"


if __name__ == "__main__":
    main()

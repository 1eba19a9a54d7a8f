"""What a feeder gets that joins a trained fleet with 0, 10, 30 or 100 labelled samples; renews docs/results.md.

    python benchmarks/join.py --data FOLDER

FOLDER holds classData.csv. Of the ten feeders of the recipe `unseen` eight train. The other two join the run,
as `fedmetaalign join` does, with so many of their 100 training samples as a CSV file, or for 0 with all of them
and no label; with --unlabelled the file always has all, the others without a label. Each bundle is then tested
on the feeder's 50 samples of all kinds, as the members are on theirs.
"""

import argparse
import csv
import tempfile
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
from markers import replace_between

from fedmetaalign import load_recipe, read_bundle
from fedmetaalign.fleet.build import build_shared
from fedmetaalign.fleet.division.splits import split_newcomer
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.join import join
from fedmetaalign.recipe import Recipe
from fedmetaalign.report.comparison.names import label

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
COUNTS = (0, 10, 30, 100)
METHODS = ("fed_meta_align", "reptile")
RATES = ("3e-4", "1e-3", "3e-3")
FLEET = (
    *("fleet.encoding=quantiles", "model.hidden=[64,32]", "serial.rounds=40", "serial.decay=cosine"),
    *("parallel.rounds=0", "personalize.learning_rate=6e-4", "personalize.freeze=0.0"),
    *("personalize.threshold=0.5", "deploy.threshold=personalized"),
)
"""What the recipe `fleet` sets; its rate is 2e-3."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of classData.csv")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--methods", default=",".join(METHODS), help="of the runs")
    parser.add_argument("--rates", default=",".join(RATES), help="learning rates of the runs")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="replaces a key")
    parser.add_argument("--unlabelled", action="store_true", help="keep the rest of the 100, without labels")
    parser.add_argument("--page", action="store_true", help="renew the page")
    arguments = parser.parse_args()
    lines = [
        f"| accuracy in % | learning rate | members | {' | '.join(map(str, COUNTS))} |",
        f"| --- | ---: | ---: | {' | '.join('---:' for _ in COUNTS)} |",
    ]
    rows = [*product(arguments.methods.split(","), arguments.rates.split(",")), ("fleet", "2e-3")]
    for method, rate in rows:
        cells: list[list[float]] = [[] for _ in range(1 + len(COUNTS))]
        for seed in range(arguments.seeds):
            settings = [f"method={method}", f"optimizer.learning_rate={rate}", "evaluation.alone=false"]
            settings += [*(FLEET if method == "fleet" else ()), *arguments.settings]
            recipe = load_recipe("unseen", settings, seed, arguments.data)
            for cell, found in zip(cells, one_run(recipe, arguments.unlabelled), strict=True):
                cell.extend(found)
        shown = [f"{100 * np.mean(cell):.1f}" for cell in cells]
        lines.append(f"| {label(method)} | {rate} | {' | '.join(shown)} |")
        print(lines[-1], flush=True)
    if arguments.page:
        replace_between(PAGE, "join", "\n".join(lines))


def one_run(recipe: Recipe, unlabelled: bool) -> list[list[float]]:
    """Returns the test accuracies of the members, and of those who join with each number of samples."""
    module = import_module("fedmetaalign.run")
    # `fedmetaalign run` refuses a recipe that holds devices out: nobody but a comparison would use them.
    module.build_shared = partial(build_shared, unseen_devices=True)
    module.write_report = lambda folder: None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        results = module.run(recipe, out)
        found = [[device["stages"]["deployed"]["accuracy"] for device in results["devices"].values()]]
        strangers = [table for table in raw_tables(recipe) if table.name not in results["devices"]]
        for count in COUNTS:
            found.append([])
            for table in strangers:
                name = f"{table.name}-{count}"
                path = Path(folder) / f"{name}.csv"
                write(path, table, recipe, count, unlabelled)
                _, places = join(out, path)
                bundle = read_bundle(places.bundle)
                alarms = bundle.faults(bundle.scores(table.x[table.reserved]))
                found[-1].append(float(np.mean(alarms == table.faults[table.reserved])))
    return found


def write(path: Path, table: Table, recipe: Recipe, count: int, unlabelled: bool) -> None:
    """Writes a table's training samples, so many of them with a label."""
    labelled = np.empty(0, np.int64)
    if count:
        rows = split_newcomer(table, recipe.splits, count, recipe.seed)
        labelled = np.sort(np.concatenate([rows.personalize_support, rows.personalize_query]))
    kept = np.flatnonzero(~table.reserved) if unlabelled or not count else labelled
    source = recipe.fleet
    kinds = source.label
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*table.features, *kinds])
        for row in kept:
            label = list(table.kinds[row]) if row in labelled else [""] * len(kinds)
            writer.writerow([*map(repr, table.x[row].tolist()), *label])


if __name__ == "__main__":
    main()

"""Runs the comparisons of docs/results.md, and renews that page's tables and figures from their compare.json.

    python benchmarks/results.py --data FOLDER                     # all of them: hours on two cores
    python benchmarks/results.py --data FOLDER --only paper,floor  # some
    python benchmarks/results.py --data FOLDER --page              # renew the page from what is there
    python benchmarks/results.py --data FOLDER --list              # the command of each

FOLDER holds the tables that `fedmetaalign data list` names. Runs that are finished are used again.
"""

import argparse
import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markers import markers, replace_between

from fedmetaalign import load_recipe
from fedmetaalign.comparison.compare import Comparison, compare
from fedmetaalign.methods import runnable
from fedmetaalign.recipe import with_settings
from fedmetaalign.report.comparison import markdown
from fedmetaalign.report.comparison.reading import of_unseen

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES = PAGE.parent / "figures"
SEEDS = 10


@dataclass(frozen=True)
class Entry:
    """A comparison on the page: its name in the markers, and the call that makes it."""

    name: str
    recipe: str
    settings: tuple[str, ...] = ()
    every_method: bool = False


PRINTED = "compare.learning_rates=[1e-5]"  # the paper's only one
FEEDERS = "extends=feeders"
ENTRIES = (
    Entry("paper", "paper"),
    Entry("paper-1e-5", "paper", (PRINTED,)),
    Entry("paper-all", "paper", (), True),
    Entry("ablation", "ablation", (PRINTED,)),
    Entry("ablation-feeders", "ablation", (FEEDERS,)),
    Entry("floor", "floor", (PRINTED,)),
    Entry("floor-feeders", "floor", (FEEDERS,)),
    Entry("ratios", "ratios", (PRINTED,)),
    Entry("ratios-feeders", "ratios", (FEEDERS, "splits.reuse=false")),
    Entry("alignment", "alignment", (PRINTED,)),
    Entry("alignment-feeders", "alignment", (FEEDERS,)),
    Entry("rules", "rules"),
    Entry("dirichlet", "dirichlet"),
    Entry("feeders", "feeders"),
    Entry("feeders-samples", "feeders-samples"),
    Entry("feeders-30", "feeders-30"),
    Entry("equipment", "equipment"),
    Entry("machines", "machines"),
    Entry("unseen", "unseen"),
)

TABLE_1 = {  # Table I of the paper, in %
    "local_only": (86.40, 80.08, 83.24),
    "fedavg.global": (72.34, 54.80, 63.57),
    "fedavg": (84.10, 81.60, 82.85),
    "fedprox.global": (78.80, 63.50, 71.15),
    "fedprox": (88.50, 86.80, 87.65),
    "fed_meta_align": (92.37, 90.17, 91.27),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--out", type=Path, default=Path("runs/results"), help="where the comparisons are kept")
    parser.add_argument("--only", help="names, with commas between")
    parser.add_argument("--page", action="store_true", help="only renew the page, from what is there")
    parser.add_argument("--list", action="store_true", help="print the commands and do nothing")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else [entry.name for entry in ENTRIES]
    for entry in ENTRIES:
        if entry.name not in wanted or arguments.page:
            continue
        if arguments.list:
            print(command(entry, arguments.data, arguments.out))
            continue
        print(entry.name, flush=True)
        compare(recipe(entry, arguments.data), arguments.out / entry.name, SEEDS, cells=arguments.out / "cells")
    if not arguments.list:
        write_page(arguments.out)


def command(entry: Entry, data: Path, out: Path) -> str:
    """Returns the call that makes an entry's comparison."""
    words = ["fedmetaalign", "compare", entry.recipe, "--data", str(data), "--seeds", str(SEEDS)]
    words += ["--out", str(out / entry.name)]
    words += [word for setting in entry.settings for word in ("--set", setting)]
    words += ["--methods", "all"] if entry.every_method else []
    return shlex.join(words)


def recipe(entry: Entry, data: Path) -> Any:
    loaded = load_recipe(entry.recipe, entry.settings, None, data)
    return with_settings(loaded, {"compare.methods": runnable(loaded)}) if entry.every_method else loaded


def write_page(out: Path) -> None:
    """Renews every marked table of the page whose comparison is there, and the figures."""
    tables = {
        "overview": markdown.overview,
        "costs": markdown.costs,
        "devices": markdown.devices,
        "findings": markdown.findings,
        "unseen": markdown.unseen,
    }
    names = {entry.name for entry in ENTRIES}
    for marker in markers(PAGE):
        name, kind, *metric = marker.split()
        if name not in names:
            continue  # another script's
        folder = out / name
        if (folder / "sweep.json").exists():
            comparisons = read(folder / "sweep.json")["comparisons"]
            if kind == "unseen":
                comparisons = {value: of_unseen(each) for value, each in comparisons.items()}
            replace_between(PAGE, marker, markdown.sweep(comparisons, *metric))
        elif (folder / "compare.json").exists():
            comparison = read(folder / "compare.json")
            text = table_1(comparison, out) if kind == "table1" else tables[kind](comparison)
            replace_between(PAGE, marker, text)
        else:
            print(f"{marker}: {folder} is not there, so the page keeps what it has")
    FIGURES.mkdir(exist_ok=True)
    for entry in ENTRIES:
        for figure in sorted((out / entry.name).glob("*.svg")):
            name = f"{entry.name}-{figure.name}"
            if f"figures/{name}" in PAGE.read_text(encoding="utf-8"):
                shutil.copyfile(figure, FIGURES / name)


def read(path: Path) -> Comparison:
    found: Comparison = json.loads(path.read_text(encoding="utf-8"))
    return found


def table_1(tuned: Comparison, out: Path) -> str:
    """Returns Table I: as printed, with the paper's learning rate, and with the one that validation chooses."""
    fixed = read(out / "paper-1e-5" / "compare.json")
    lines = [
        "| | printed: device 1, 2, mean | at 1e-5: feeder, machine, mean | tuned: feeder, machine, mean |",
        "|---|---|---|---|",
    ]
    for row, printed in TABLE_1.items():
        cells = [", ".join(f"{value:.1f}" for value in printed)]
        for comparison in (fixed, tuned):
            entry = comparison["methods"][row]
            means = [entry["devices"][name]["accuracy"]["mean"] for name in comparison["devices"]]
            fleet = entry["fleet"]["accuracy"]
            cells.append(
                ", ".join(f"{100 * value:.1f}" for value in (*means, fleet["mean"]))
                + f" [{100 * fleet['low']:.1f}, {100 * fleet['high']:.1f}]"
            )
        lines.append(f"| {markdown.label(row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

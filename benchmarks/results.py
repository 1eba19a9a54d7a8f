"""Runs the comparisons of docs/results.md, and renews that page's tables and figures from their compare.json.

    python benchmarks/results.py --data FOLDER                     # all of them: hours on two cores
    python benchmarks/results.py --data FOLDER --only paper,floor  # some
    python benchmarks/results.py --data FOLDER --page              # renew the page from what is there
    python benchmarks/results.py --data FOLDER --list              # the command of each

FOLDER holds the tables that `fedmetaalign data list` names. Runs that are finished are used again.
"""

import argparse
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markers import markers, replace_between

from fedmetaalign import load_recipe
from fedmetaalign.comparison.compare import compare
from fedmetaalign.comparison.summary import Json
from fedmetaalign.methods import runnable
from fedmetaalign.recipe import Recipe, with_settings
from fedmetaalign.report.comparison import figures, markdown
from fedmetaalign.report.comparison.names import label
from fedmetaalign.report.comparison.reading import Source, of_unseen

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES = PAGE.parent / "figures"
SEEDS, FEW_SEEDS = 10, 3


@dataclass(frozen=True)
class Entry:
    """A comparison on the page.

    Attributes:
        name: in the markers, and of its folder.
        recipe: what to compare.
        settings: keys that replace the recipe's.
        every_method: compare all methods that can run.
        variants: it is about variants of one method, whose global models would only double the rows.
        seeds: how many.
    """

    name: str
    recipe: str
    settings: tuple[str, ...] = ()
    every_method: bool = False
    variants: bool = False
    seeds: int = SEEDS


JOINED = ("feeders", "mixed", "machines", "equipment", "paper")
"""The fleets on which joining is compared."""
DEPLOYED = (
    "compare.deployed=true",
    'compare.methods=["forest_alone", "forest_pooled", "local_only"]',
)
"""Networks quantised, beside the rivals that the bars name."""
PRINTED = "compare.learning_rates=[1e-5]"  # the paper's only one
FEEDERS = "extends=feeders"
ENTRIES = (
    Entry("paper", "paper"),
    Entry("paper-1e-5", "paper", (PRINTED,)),
    Entry("paper-all", "paper", every_method=True),
    Entry("ablation", "ablation", (PRINTED,), variants=True),
    Entry("ablation-feeders", "ablation", (FEEDERS,), variants=True),
    Entry("floor", "floor", (PRINTED,), variants=True),
    Entry("floor-feeders", "floor", (FEEDERS,), variants=True),
    Entry("ratios", "ratios", (PRINTED,), variants=True),
    Entry("ratios-feeders", "ratios", (FEEDERS, "splits.reuse=false"), variants=True),
    Entry("alignment", "alignment", (PRINTED,), variants=True),
    Entry("alignment-feeders", "alignment", (FEEDERS,), variants=True),
    Entry("beyond", "beyond", variants=True),
    Entry("beyond-feeders", "beyond", (FEEDERS,), variants=True),
    Entry("rules", "rules", variants=True),
    Entry("transport", "transport", variants=True),
    Entry("transport-paper", "transport", ("extends=paper", PRINTED), variants=True),
    Entry("dirichlet", "dirichlet"),
    Entry("feeders", "feeders"),
    Entry("feeders-samples", "feeders-samples"),
    Entry("feeders-30", "feeders-30"),
    Entry("equipment", "equipment"),
    Entry("machines", "machines"),
    Entry("unseen", "unseen"),
    *(Entry(f"joining-{fleet}", "joining", (f"extends={fleet}",)) for fleet in JOINED),
    *(Entry(f"deployed-{fleet}", "joining", (f"extends={fleet}", *DEPLOYED)) for fleet in JOINED),
    *(
        Entry(f"deployed-{fleet}", "joining", (f"extends={fleet}", *DEPLOYED))
        for fleet in ("feeders-30", "dirichlet")
    ),
    Entry("parts", "joining-parts", variants=True, seeds=FEW_SEEDS),
    Entry("parts-mixed", "joining-parts", ("extends=mixed",), variants=True, seeds=FEW_SEEDS),
)

LEAST = "least gains"
AS_DEPLOYED = "deployed"
RIVALS = ("local_only", "forest_alone", "forest_pooled")

FIGURE_KINDS = ("accuracy", "gains", "rounds", "stages", "sweep", "sweep-unseen")

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
    known = [entry.name for entry in ENTRIES]
    wanted = arguments.only.split(",") if arguments.only else known
    if unknown := set(wanted) - set(known):
        parser.error(f"no comparison is called {', '.join(sorted(unknown))}: choose among {', '.join(known)}")
    for entry in ENTRIES:
        if entry.name not in wanted or arguments.page:
            continue
        if arguments.list:
            print(command(entry, arguments.data, arguments.out))
            continue
        print(entry.name, flush=True)
        compare(
            recipe(entry, arguments.data),
            arguments.out / entry.name,
            entry.seeds,
            cells=arguments.out / "cells",
        )
    if not arguments.list:
        write_page(arguments.out)


def command(entry: Entry, data: Path, out: Path) -> str:
    """Returns the call that makes an entry's comparison by itself; this script lets all share their runs."""
    words = ["fedmetaalign", "compare", entry.recipe, "--data", str(data), "--seeds", str(entry.seeds)]
    words += ["--out", str(out / entry.name)]
    words += [word for setting in entry.settings for word in ("--set", setting)]
    words += ["--methods", "all"] if entry.every_method else []
    return shlex.join(words)


def recipe(entry: Entry, data: Path) -> Recipe:
    loaded = load_recipe(entry.recipe, entry.settings, None, data)
    return with_settings(loaded, {"compare.methods": runnable(loaded)}) if entry.every_method else loaded


def write_page(out: Path) -> None:
    """Renews the marked tables of the page, and its figures, of every comparison that is there."""
    wanted = markers(PAGE)
    drawn = re.findall(r"figures/([\w.-]+)\.svg", PAGE.read_text(encoding="utf-8"))
    FIGURES.mkdir(exist_ok=True)
    for marker, lines in ((LEAST, least_gains(out)), (AS_DEPLOYED, deployed(out))):
        if lines.count("\n") > 1:  # more than the head
            replace_between(PAGE, marker, lines)
    for entry in ENTRIES:
        found = read(out, entry)
        if found is None:
            print(f"{entry.name} is not there: the page keeps what it has of it")
            continue
        for marker in wanted:
            name, *what = marker.split()
            if name == entry.name:
                replace_between(
                    PAGE, marker, table_1(found, out) if what == ["table1"] else table(found, *what)
                )
        for kind in FIGURE_KINDS:
            if f"{entry.name}-{kind}" in drawn:
                (FIGURES / f"{entry.name}-{kind}.svg").write_text(figure(found, kind), encoding="utf-8")


def read(out: Path, entry: Entry) -> Json | None:
    """Returns what an entry's comparison, or sweep, has written; None if there is none."""
    for name in ("sweep.json", "compare.json"):
        path = out / entry.name / name
        if path.exists():
            found: Json = json.loads(path.read_text(encoding="utf-8"))
            return of_final(found) if entry.variants else found
    return None


def table(found: Json, kind: str, *metric: str) -> str:
    """Returns one of the tables of a comparison, or of a sweep; raises KeyError where there is no such kind."""
    if "comparisons" in found:
        return markdown.sweep(swept(found, kind == "sweep-unseen"), *metric)
    kinds = {
        "overview": markdown.overview,
        "costs": markdown.costs,
        "devices": markdown.devices,
        "findings": markdown.findings,
    }
    return kinds[kind](found)


def least_gains(out: Path) -> str:
    """Returns the device of each joined fleet that gains least, in points of accuracy over training alone."""
    lines = [
        "| fleet | devices | least mean gain of a device | devices with a mean loss |",
        "|---|---:|---:|---:|",
    ]
    for fleet in JOINED:
        found = read(out, next(entry for entry in ENTRIES if entry.name == f"joining-{fleet}"))
        if found is None:
            continue
        gains = gains_of(found)
        least = min(gains, key=gains.__getitem__)
        losing = sum(gain < 0 for gain in gains.values())
        lines.append(f"| {fleet} | {len(gains)} | {gains[least]:+.1f} ({least}) | {losing} |")
    return "\n".join(lines)


def gains_of(found: Json) -> dict[str, float]:
    """Returns by how many points of accuracy each device of a comparison is better with `fleet` than alone."""
    own, alone = (found["methods"][name]["devices"] for name in ("fleet", "local_only"))
    return {d: 100 * (own[d]["accuracy"]["mean"] - alone[d]["accuracy"]["mean"]) for d in found["devices"]}


def deployed(out: Path) -> str:
    """Returns what the method `fleet` comes to as it is deployed, beside its rivals."""
    lines = [
        "| fleet | devices | alone | forest, alone | forest, pooled | `fleet`, deployed"
        " | least mean gain of a device |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for entry in ENTRIES:
        found = read(out, entry) if entry.name.startswith(f"{AS_DEPLOYED}-") else None
        if found is None:
            continue
        name = entry.name.removeprefix(f"{AS_DEPLOYED}-")
        for value, each in found.get("comparisons", {"": found}).items():
            lines.append(deployed_line(f"{name} {value}".rstrip(), each))
    return "\n".join(lines)


def deployed_line(name: str, found: Json) -> str:
    """Returns a fleet's line in the table of what is deployed."""
    means = [found["methods"][row]["fleet"]["accuracy"] for row in (*RIVALS, "fleet")]
    cells = [f"{100 * mean['mean']:.1f}" for mean in means]
    cells[-1] += f" [{100 * means[-1]['low']:.1f}, {100 * means[-1]['high']:.1f}]"
    gains = gains_of(found)
    least = min(gains, key=gains.__getitem__)
    return f"| {name} | {len(gains)} | {' | '.join(cells)} | {gains[least]:+.1f} ({least}) |"


def figure(found: Json, kind: str) -> str:
    """Returns one of the figures of a comparison, or of a sweep, as SVG."""
    if "comparisons" in found:
        return figures.sweep(swept(found, kind == "sweep-unseen"), found["key"])
    kinds = {
        "accuracy": figures.accuracy,
        "gains": figures.gains,
        "rounds": figures.rounds,
        "stages": figures.stages,
    }
    return kinds[kind](found)


def swept(found: Json, unseen: bool) -> dict[str, Source]:
    """Returns a sweep's comparisons by value; with `unseen` over the devices that took no part."""
    return {value: of_unseen(each) if unseen else each for value, each in found["comparisons"].items()}


def of_final(comparison: Json) -> Json:
    """Returns the comparison without its global models."""
    rows = {name: entry for name, entry in comparison["methods"].items() if entry["stage"] == "final"}
    return {**comparison, "methods": rows}


def table_1(tuned: Json, out: Path) -> str:
    """Returns Table I: as printed, with the paper's learning rate, and with the one that validation chooses."""
    fixed = read(out, next(entry for entry in ENTRIES if entry.name == "paper-1e-5"))
    if fixed is None:
        raise SystemExit("Table I needs paper-1e-5: run that, too.")
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
        lines.append(f"| {label(row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

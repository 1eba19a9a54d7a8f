"""Runs a recipe for several seeds and tabulates it.

    python benchmarks/recipes.py paper --data FOLDER --seeds 3 --markdown docs/results.md
    python benchmarks/recipes.py feeders --data FOLDER --seeds 3 --markdown docs/results.md

FOLDER holds the recipe's tables (`fedmetaalign data list` says where they are had). With --markdown the table
between that file's markers of the recipe's name is replaced. --set is handed on to the recipe.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from markers import replace_between

from fedmetaalign import load_recipe, run_recipe

FEW = 3
"""Fleets of more devices are shown by their means."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a built-in name or a TOML file")
    parser.add_argument("--data", type=Path, help="folder of the recipe's tables")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--set", action="append", default=[], help="key=value for the recipe")
    parser.add_argument("--markdown", type=Path, help="file whose table is replaced")
    arguments = parser.parse_args()
    results, seconds = [], []
    for seed in range(arguments.seeds):
        recipe = load_recipe(arguments.recipe, arguments.set, seed, arguments.data)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            results.append(run_recipe(recipe, Path(folder) / "run"))
        seconds.append(time.perf_counter() - began)
    text = table(results)
    print(text)
    print(f"\nseconds a run: {', '.join(f'{s:.1f}' for s in seconds)} (the first one compiles)")
    if arguments.markdown is not None:
        replace_between(arguments.markdown, f"recipe {recipe.name}", text)


def table(results: list[dict[str, Any]]) -> str:
    """Returns accuracy and F1 before and after every stage, of each device or of a large fleet's mean."""
    lines = ["| | | accuracy: mean (each seed) | F1: mean (each seed) |", "|---|---|---|---|"]
    names = list(results[0]["devices"])
    if len(names) <= FEW:
        for name in names:
            lines += rows(name, [result["devices"][name] for result in results])
    else:
        fleets = [result["fleet"] for result in results]
        lines += rows(f"mean of {len(names)} devices", fleets)
        lines.append(f"| | gain over alone, points | {over_seeds([f['gain_over_alone'] for f in fleets])} | |")
        lines.append(f"| | devices worse off than alone | {over_seeds([f['worse_off'] for f in fleets])} | |")
    return "\n".join(lines)


def rows(name: str, entries: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of one device, or of the fleet's means; `entries` is one a seed."""
    rules = [e["one_rule"]["accuracy"] if isinstance(e["one_rule"], dict) else e["one_rule"] for e in entries]
    lines = [
        f"| {name} | majority class | {over_seeds([e['majority'] for e in entries])} | |",
        f"| | best single threshold | {over_seeds(rules)} | |",
    ]
    measured = {"alone": [e["alone"] for e in entries]}
    measured |= {stage: [e["stages"][stage] for e in entries] for stage in entries[0]["stages"]}
    for label, metrics in measured.items():
        accuracy, f1 = (over_seeds([m[metric] for m in metrics]) for metric in ("accuracy", "f1"))
        lines.append(f"| | {label} | {accuracy} | {f1} |")
    return lines


def over_seeds(values: list[float | None]) -> str:
    """Formats one figure in %: its mean over the seeds where it is defined, and its value for each."""
    shown = ["undefined" if v is None else f"{100 * v:.1f}" for v in values]
    defined = [v for v in values if v is not None]
    return f"{100 * statistics.mean(defined):.1f} ({', '.join(shown)})" if defined else "undefined"


if __name__ == "__main__":
    main()

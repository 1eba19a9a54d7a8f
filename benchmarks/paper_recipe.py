"""Runs the built-in `paper` recipe on the real tables for several seeds and tabulates it.

    python benchmarks/paper_recipe.py --data FOLDER [--seeds 3] [--markdown docs/results.md]

The three tables have to be in FOLDER (`fedmetaalign data list` says where they are had). With --markdown the
table between the markers of that file is replaced. --set is handed on to the recipe.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from markers import replace_between

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run

STAGES = ("foundation", "serial", "parallel", "personalized", "deployed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the three tables")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--set", action="append", default=[], help="key=value for the recipe")
    parser.add_argument("--markdown", type=Path, help="file whose table is replaced")
    arguments = parser.parse_args()
    results, seconds = [], []
    for seed in range(arguments.seeds):
        recipe = recipes.load("paper", arguments.set, seed, arguments.data)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            results.append(run(recipe, Path(folder) / "run"))
        seconds.append(time.perf_counter() - began)
    text = table(results)
    print(text)
    print(f"\nseconds a run: {', '.join(f'{s:.1f}' for s in seconds)} (the first one compiles)")
    if arguments.markdown is not None:
        replace_between(arguments.markdown, "paper recipe", text)


def table(results: list[dict[str, Any]]) -> str:
    """Returns accuracy and F1 of every device after every stage: mean over seeds, then each seed's value."""
    lines = ["| device | measure | value over seeds (mean; each) |", "|---|---|---|"]
    for name in results[0]["devices"]:
        rows = [result["devices"][name] for result in results]
        lines.append(f"| {name} | majority class, accuracy | {over_seeds([r['majority'] for r in rows])} |")
        lines.append(
            f"| | best single threshold, accuracy | {over_seeds([r['one_rule']['accuracy'] for r in rows])} |"
        )
        for label, stage in [("alone", None), *((stage, stage) for stage in STAGES)]:
            metrics = [r["alone"] if stage is None else r["stages"][stage] for r in rows]
            for metric in ("accuracy", "f1"):
                lines.append(f"| | {label}, {metric} | {over_seeds([m[metric] for m in metrics])} |")
    return "\n".join(lines)


def over_seeds(values: list[float | None]) -> str:
    """Formats one figure: its mean over the seeds where it is defined, and its value for each."""
    shown = ["undefined" if v is None else f"{100 * v:.1f}" for v in values]
    defined = [v for v in values if v is not None]
    return f"{100 * statistics.mean(defined):.1f}; {', '.join(shown)}" if defined else "undefined"


if __name__ == "__main__":
    main()

"""How long does a run take until it trains: without a cache of compiled code, with an empty one, and later?

    python benchmarks/startup.py                 # the demo and two other recipes, five rounds; minutes
    python benchmarks/startup.py --whole demo    # the whole run, too

Each start is a process of its own, timed from before the interpreter starts to the end of the first training
steps. The variants take turns, so that their ratios hold on a busy machine, too; those are of the processor's
seconds, of the process with its threads.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VARIANTS = ("off", "empty", "kept")
"""No cache, one that has nothing yet, and that of the start before."""

START = """
import os, sys
from pathlib import Path
from fedmetaalign.recipe import load
from fedmetaalign.run import Watcher, run

class First(Watcher):
    def advance(self, steps):
        os._exit(0)

run(load(sys.argv[1]), Path(sys.argv[2]), watcher=First())
os._exit(1)
"""

WHOLE = """
import sys
from pathlib import Path
from fedmetaalign.recipe import load
from fedmetaalign.run import run

run(load(sys.argv[1]), Path(sys.argv[2]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["demo", "mixed", "vibration"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", metavar="RECIPE", help="time this recipe's whole run in place of starts")
    options = parser.parse_args()
    print("| recipe | cache | seconds | of the processor | to no cache |\n|---|---|---:|---:|---:|")
    for recipe in [options.whole] if options.whole else options.recipes:
        print(table(recipe, WHOLE if options.whole else START, options.rounds), flush=True)


def table(recipe: str, program: str, rounds: int) -> str:
    took: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for variant in VARIANTS:
                took[variant].append(timed(recipe, program, Path(folder), variant))
    lines = []
    for variant in VARIANTS:
        wall, cpu = (statistics.median(each) for each in zip(*took[variant], strict=True))
        ratio = statistics.median(one[1] / off[1] for one, off in zip(took[variant], took["off"], strict=True))
        lines.append(f"| {recipe} | {variant} | {wall:.2f} | {cpu:.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def timed(recipe: str, program: str, folder: Path, variant: str) -> tuple[float, float]:
    """Returns the seconds of a start, and those of the processor."""
    cache = "off" if variant == "off" else str(folder / "cache")
    command = [sys.executable, "-c", program, recipe, str(folder / variant)]
    began, before = time.perf_counter(), spent()
    subprocess.run(command, env=os.environ | {"FEDMETAALIGN_CACHE": cache}, check=True)  # noqa: S603
    return time.perf_counter() - began, spent() - before


def spent() -> float:
    """Returns the seconds of the processor that the processes which have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

"""What a run costs as its fleet grows: seconds by phase, peak memory, disk, the report, and how each grows.

    python benchmarks/scale.py 10 100 1000 10000

Simulated feeders with 96 training samples each, `fed_meta_align` with one tour, two rounds and one epoch of
phase 3, each fleet in a process of its own. `--set KEY=VALUE` changes the recipe: `--set extends=fleet`, or
`--set parallel.cohort=0.01`. The slope of a column is the exponent of its power law between the two largest
fleets: 1 is linear. `--markdown docs/benchmarks.md` puts the table there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from math import log
from pathlib import Path

from markers import replace_between

PHASES = ("data", "serial", "parallel", "personalize")
MB = 1e6
RECIPE = """
name = "scale"
[[fleet.devices]]
simulator = "feeder"
count = {count}
samples = 120
[serial]
rounds = 1
[parallel]
rounds = 2
[personalize]
epochs = 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="*", type=int, default=[10, 100, 1000, 10_000])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--markdown", type=Path, help="the document that the table belongs to")
    arguments = parser.parse_args()
    rows = []
    for count in sorted(arguments.devices):
        rows.append(measure(count, arguments.set))
        sys.stderr.write(f"{count} devices: {rows[-1]}\n")
    text = table(rows)
    print(text)
    if arguments.markdown:
        replace_between(arguments.markdown, "scale", text)


def measure(count: int, settings: list[str]) -> dict[str, float]:
    """Runs a fleet of so many devices, and returns what it took."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = Path(folder, "recipe.toml"), Path(folder, "run")
        recipe.write_text(RECIPE.format(count=count), encoding="utf-8")
        command = [sys.executable, "-m", "fedmetaalign", "run", recipe, "--out", out]
        command += [part for setting in settings for part in ("--set", setting)]
        before = time.perf_counter()
        done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
        _, status, used = os.wait4(done.pid, 0)
        seconds = time.perf_counter() - before
        if status:
            raise SystemExit(f"{count} devices: {done.stderr.read() if done.stderr else status}")
        phases = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["seconds"]
        files = [path for path in out.rglob("*") if path.is_file()]
        bundles = sum(path.stat().st_size for path in files if "devices" in path.parts)
        found = {"devices": float(count)} | {phase: phases.get(phase, 0.0) for phase in PHASES}
        found["rest"] = max(0.0, seconds - sum(phases.values()))
        found["all"] = seconds
        found["processor"] = used.ru_utime + used.ru_stime
        found["memory"] = used.ru_maxrss * 1024 / MB
        found["disk"] = sum(path.stat().st_size for path in files) / MB
        found["bundle"] = bundles / count / 1e3
        found["report"] = (out / "report.html").stat().st_size / MB
    return found


COLUMNS = (
    *("devices", "data, s", "tour, s", "2 rounds, s", "phase 3, s", "rest, s", "all, s", "processor, s"),
    *("memory, MB", "disk, MB", "a bundle, KB", "report, MB"),
)


def table(rows: list[dict[str, float]]) -> str:
    """Returns the table, with the slopes of the last two rows below it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        numbers = (
            f"{value:,.0f}" if value >= 100 or name == "devices" else f"{value:.1f}"
            for name, value in row.items()
        )
        lines.append(f"| {' | '.join(numbers)} |")
    if len(rows) > 1:
        one, two = rows[-2:]
        step = log(two["devices"] / one["devices"])
        slopes = [log(two[key] / one[key]) / step if one[key] > 0 < two[key] else 0 for key in one]
        lines.append(f"| slope | {' | '.join(f'{slope:.2f}' for slope in slopes[1:])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

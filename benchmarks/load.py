"""How many devices over Flower does a machine hold: memory and seconds a device, with real messages?

    python benchmarks/load.py                      # 10 and 50 devices, three processes each; many minutes
    python benchmarks/load.py --devices 4 16 --markdown docs/benchmarks.md

The recipe is that of `engines_fleet.py`: the paper's network, 96 training samples a device. All is on loopback.
Memory is what the processes would free (PSS: what several share counts once, in parts), at its most while the
rounds run. Each run is also made by the local engine, and both have to give the same bits.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from engines_fleet import RECIPE
from markers import replace_between
from online.tables import table
from online_step import cpu_model

MARK = "FEDMETAALIGN_LOAD"
DEVICE = {"flower-supernode": "SuperNode", "flower.forking": "answers"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 50], help="how many (default 10 50)")
    parser.add_argument("--rounds", type=int, default=3, help="of the parallel phase (default 3)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    rows = [row(devices, options.rounds) for devices in options.devices]
    header = ("devices", "MB a device", "of them its SuperNode", "MB of the server", "s until all are there")
    header += ("s a hop", "s a round", "s a device in a round")
    load = os.getloadavg()[2]
    machine = f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}; flwr {version('flwr')}."
    busy = f" Other work ran beside it: a load of {load:.0f} in the last 15 minutes, this one's with it."
    text = f"{machine}{busy if load > 2 * (os.cpu_count() or 1) else ''}\n\n{table(header, rows)}"
    print(text)
    if options.markdown:
        replace_between(options.markdown, "load", text)


def row(devices: int, rounds: int) -> tuple[str, ...]:
    """Runs the recipe with so many devices on both engines, and returns a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(RECIPE.format(devices=devices, rounds=rounds), encoding="utf-8")
        most: Counter[str] = Counter()
        for engine in ("flower", "local"):
            out = Path(folder) / engine
            command = [sys.executable, "-m", "fedmetaalign", "run", str(recipe), "--engine", engine]
            environment = {**os.environ, MARK: folder}
            with subprocess.Popen(  # noqa: S603
                [*command, "--out", str(out)], env=environment, stdout=subprocess.DEVNULL
            ) as process:
                while process.poll() is None:
                    time.sleep(2)
                    if engine == "flower" and _rounds_run(out):
                        most = max(most, memory(folder), key=Counter.total)
            if process.returncode:
                sys.exit(f"error: the run with {devices} devices over {engine} failed")
        for name in ("results.json", "checkpoint.safetensors", "rounds.jsonl"):
            if len({(Path(folder) / engine / name).read_bytes() for engine in ("flower", "local")}) != 1:
                sys.exit(f"error: {name} differs between the engines")
        seconds = json.loads((Path(folder) / "flower" / "manifest.json").read_text(encoding="utf-8"))["seconds"]
    node, answers = (most[kind] / devices / 2**20 for kind in DEVICE.values())
    each = seconds["parallel"] / rounds
    return (
        *(str(devices), f"{node + answers:.0f}", f"{node:.0f}", f"{most['server'] / 2**20:.0f}"),
        *(f"{seconds['waiting']:.0f}", f"{seconds['serial'] / devices:.2f}"),
        *(f"{each:.1f}", f"{each / devices:.2f}"),
    )


def memory(mark: str) -> Counter[str]:
    """Returns the bytes (PSS) of all processes whose environment has a mark, by what they are."""
    found: Counter[str] = Counter()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is somebody else's
            if mark.encode() not in (process / "environ").read_bytes():
                continue
            words = (process / "cmdline").read_text()
            kind = next((kind for program, kind in DEVICE.items() if program in words), "server")
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    found[kind] += 1024 * int(line.split()[1])
    return found


def _rounds_run(out: Path) -> bool:
    with suppress(OSError, ValueError):
        return json.loads((out / "status.json").read_text(encoding="utf-8"))["phase"] == "parallel"
    return False


if __name__ == "__main__":
    main()

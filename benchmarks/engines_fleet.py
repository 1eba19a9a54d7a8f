"""What does a fleet over Flower cost: seconds with real processes on loopback, bytes that a device sends?

    python benchmarks/engines_fleet.py                  # four devices, each a SuperNode of its own; minutes
    python benchmarks/engines_fleet.py --markdown docs/benchmarks.md

The recipe is the paper's network on simulated feeders whose parallel part has 96 training samples, as in
`engines.py`. The seconds are those that the run's manifest tells; the run is also made by the local engine, and
both have to give the same bits. The bytes are those of Flower's messages, with their records and envelopes, but
without the HTTP around them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from itertools import product
from pathlib import Path

from markers import replace_between
from online.tables import table
from online_step import cpu_model

RECIPE = """
name = "four"
[fleet]
simulator = "feeder"
count = {devices}
samples = 300
[serial]
rounds = 1
[parallel]
rounds = {rounds}
[personalize]
epochs = 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=4, help="processes on loopback (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of the parallel phase (default 5)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    machine = f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}; flwr {version('flwr')}."
    text = "\n\n".join([machine, processes(options.devices, options.rounds), traffic()])
    print(text)
    if options.markdown:
        replace_between(options.markdown, "engines-fleet", text)


def processes(devices: int, rounds: int) -> str:
    """Runs the recipe on both engines, and returns the seconds of each phase as a table."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(RECIPE.format(devices=devices, rounds=rounds), encoding="utf-8")
        seconds = {}
        for engine in ("flower", "local"):
            out = Path(folder) / engine
            command = ["-m", "fedmetaalign", "run", str(recipe), "--engine", engine, "--out", str(out)]
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
            seconds[engine] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["seconds"]
        for name in ("results.json", "checkpoint.safetensors", "rounds.jsonl"):
            if len({(Path(folder) / engine / name).read_bytes() for engine in seconds}) != 1:
                sys.exit(f"error: {name} differs between the engines")
    flower, local = seconds["flower"], seconds["local"]
    rows = [
        ("until all devices are there", f"{flower['waiting']:.1f}", ""),
        ("a hop of the tour", f"{flower['serial'] / devices:.1f}", f"{local['serial'] / devices:.3f}"),
        (
            f"a parallel round of {devices}",
            f"{flower['parallel'] / rounds:.1f}",
            f"{local['parallel'] / rounds:.3f}",
        ),
        ("phase 3, with the bundles", f"{flower['personalize']:.1f}", f"{local['personalize']:.1f}"),
    ]
    return table((f"{devices} devices, seconds", "over Flower, processes", "in this process"), rows)


def traffic() -> str:
    """Counts what a device is sent and sends in a parallel round, for each way of rounding."""
    from fedmetaalign.engine.device_runner import learner_of
    from fedmetaalign.engine.flower.client_app import app
    from fedmetaalign.engine.flower.engine import FlowerEngine
    from fedmetaalign.engine.flower.node_registry import NodeRegistry
    from fedmetaalign.engine.flower.requests import Header
    from fedmetaalign.federation.messages import Train
    from fedmetaalign.federation.transport import packed_request, sent_bytes
    from fedmetaalign.fleet.sources import raw_tables
    from fedmetaalign.fleet.table_file import save_table
    from fedmetaalign.integrations.flower_grid import InProcessGrid
    from fedmetaalign.recipe import parse

    rows = []
    for receive, send in product(("float32", "float16"), ("float32", "float16", "int8")):
        fleet = {"simulator": "feeder", "count": 1, "samples": 300}
        recipe = parse({"fleet": fleet, "transport": {"receive": receive, "send": send}}, "benchmark")
        learner = learner_of(recipe)
        [device] = raw_tables(recipe)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.safetensors"
            save_table(device, path)
            node = {"name": device.name, "table": str(path), "state": folder}
            with InProcessGrid(app, {device.name: node}) as grid:
                registry = NodeRegistry(
                    grid, Header("", "benchmark", recipe), lambda name=device.name: (name,), 600.0
                )
                while not registry.poll():
                    pass
                before = grid.traffic[device.name]
                request = packed_request(Train(learner.initial(), 1, 1), recipe.transport, learner.layer_sizes)
                replies = FlowerEngine(registry).exchange([device.name], request)
                down, up = (b - a for a, b in zip(before, grid.traffic[device.name], strict=True))
        bare = sent_bytes(request) + sent_bytes(replies.answers[device.name])
        rows.append((receive, send, f"{down:,}", f"{up:,}", f"{down + up:,}", f"{bare:,}"))
    header = ("received as", "sent as", "bytes received", "bytes sent", "together", "of them weights and delta")
    return table(header, rows)


if __name__ == "__main__":
    main()

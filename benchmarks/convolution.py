"""How long does one Adam step of the default convolutional network take, at batch size 1 on one core?

Ours against a plain C loop of the same network (`convolutional/loop.c`), and against PyTorch eager. All start
from the same weights, meet the same samples in the same order, and must end with the same weights. Every one
runs in a process of its own, pinned to one core; they take turns, and ratios are taken within a round.
Run `python benchmarks/convolution.py --help`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from convolutional.contenders import CONTENDERS
from convolutional.problem import STEPS, Problem
from markers import replace_between
from online.tables import ratios, spread, table
from online_step import PINS, call, compiler, cpu_model
from peers import BUILD, python_of

TOLERANCE = 0.01  # of the way that training moves the weights: sums of 1,008 products in several orders
REPEATS = {"ours": 5, "c": 5}  # trainings timed together; of the others one
FLAGS = {"loop.so": ["-O3"], "native.so": ["-O3", "-march=native", "-ffast-math"]}
LABELS = {
    "ours": "ours",
    "c": "plain C loop, `-O3`",
    "c-native": "plain C loop, `-O3 -march=native -ffast-math`",
    "torch": "PyTorch eager, Adam",
    "torch-fused": "PyTorch eager, fused Adam",
}
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken (default 5)")
    parser.add_argument("--steps", type=int, default=1000, help="Adam steps of one training (default 1000)")
    parser.add_argument("--skip", choices=["torch"], help="leave PyTorch out, which is a download")
    parser.add_argument("--cache", type=Path, default=BUILD, help="folder that keeps PyTorch's environment")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    names = [name for name in CONTENDERS if not name.startswith(options.skip or "-")]
    text = render(measure(names, options.rounds, options.steps, options.cache))
    print(text)
    if options.markdown:
        replace_between(options.markdown, "convolution", text)


def measure(names: list[str], rounds: int, steps: int, cache: Path) -> dict[str, Any]:
    """Runs every contender `rounds` times.

    Returns:
        The result as JSON values: by name the microseconds a step, one a round, and how far off the weights of
        the plain C loop its own are, as a share of how far training moved them.
    """
    python = python_of("torch", PINS["torch"], "--skip torch", cache) if "torch" in names else ""
    core = sorted(os.sched_getaffinity(0))[:1]
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        problem = draw(steps)
        np.savez(Path(folder, "problem.npz"), **problem._asdict())
        cc, version = compiler()
        for library, flags in FLAGS.items():
            options = ["-std=c99", *flags, "-shared", "-fPIC", "-o", Path(folder, library)]
            call([cc, *options, HERE / "convolutional" / "loop.c", "-lm"])
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for name in names if number % 2 == 0 else names[::-1]:
                kind = name.partition("-")[0]
                interpreter = python if kind == "torch" else sys.executable
                repeats = str(REPEATS.get(kind, 1))
                printed = call([interpreter, "-m", "convolutional.contenders", folder, name, repeats], core)
                times[name].append(json.loads(printed.splitlines()[-1])["us_per_step"])
        learnt = {name: np.load(Path(folder, f"{name}.npy")) for name in names}
    moved = np.linalg.norm(learnt["c"] - problem.weights)
    off = {name: float(np.linalg.norm(weights - learnt["c"]) / moved) for name, weights in learnt.items()}
    for name, share in off.items():
        if not share <= TOLERANCE:
            sys.exit(f"error: the weights of '{name}' are {share:.2%} off those of the C loop")
    return {"times": times, "off": off, "compiler": version, "steps": steps, "parameters": len(problem.weights)}


def draw(steps: int) -> Problem:
    """Draws tones of two pitches in noise, and weights as the package draws them for its default network."""
    from fedmetaalign.model.mlp import initialize
    from fedmetaalign.phases.layers import network_of
    from fedmetaalign.recipe import Model

    random = np.random.default_rng(0)
    y = random.integers(0, 2, steps).astype(np.float32)
    pitch = np.where(y, 0.11, 0.09)[:, None] * np.arange(STEPS) + random.random((steps, 1))
    x = (np.sin(2 * np.pi * pitch) + random.standard_normal((steps, STEPS))).astype(np.float32)
    network = network_of(Model(kind="cnn", inputs=STEPS, channels=1), 1)
    return Problem(x, y, initialize(network, random))


def render(result: dict[str, Any]) -> str:
    """Writes what was measured where, every contender's times, and the figures that have a target."""
    times, rows = result["times"], []
    for name, values in times.items():
        figures = spread(values, ".1f"), spread(ratios(values, times["ours"]), ".2f")
        rows.append((LABELS[name], *figures, f"{result['off'][name]:.1e}"))
    middle = "median (lowest–highest)"  # noqa: RUF001 - an en dash between numbers
    about = (
        f"{cpu_model()}, {platform.system()}; Python {platform.python_version()}; {result['compiler']}."
        f" {result['parameters']:,} parameters, windows of {STEPS:,}; {len(times['ours'])} rounds of"
        f" {result['steps']} steps; {middle}."
    )
    wanted = [("time of the C loop, times", ratios(times["ours"], times["c"]), "at most 1.3", 0, 1.3)]
    if "torch" in times:
        faster = ratios(times["torch"], times["ours"])
        wanted.append(("faster than PyTorch eager, times", faster, "at least 15", 15, 1e9))
    targets = [
        (what, spread(values, ".2f"), target, "yes" if low <= statistics.median(values) <= high else "no")
        for what, values, target, low, high in wanted
    ]
    header = ("one core", "µs a step", "times ours", "off the C loop by")
    parts = [about, table(header, rows), table(("question", "measured", "target", "met"), targets)]
    if "torch" not in times:
        parts.append("PyTorch was left out.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()

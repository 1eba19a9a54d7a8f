"""How long does one Adam step of the paper's network take, at batch size 1 on one core?

Ours against Keras `fit(batch_size=1)`, PyTorch eager and a plain C loop (`online/contenders.py`). All start
from the same weights, meet the same samples in the same order, and must end with the same weights
(`online/problem.py`). Then: what a second core gives, and whether a fleet of many sizes compiles longer than a
single device.

Every contender runs in a process of its own (`online/worker.py`), pinned to one core before it starts, so that
no library can spread its work. The contenders take turns in rounds, and ratios are taken within a round, so
that a busy machine disturbs both sides alike. Run `python benchmarks/online_step.py --help`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markers import replace_between
from online.contenders import C_LIBRARIES, CONTENDERS
from online.problem import HIDDEN, INPUTS, Problem, reference
from online.tables import render
from online.worker import FLEETS
from peers import python_of

TOLERANCE = 0.001  # of the way that training moves the weights
PINS = {"keras": ("numpy", "tensorflow-cpu==2.21.0"), "torch": ("numpy", "torch==2.13.0")}
SETTINGS = {  # environment variables of every process that is started
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken (default 5)")
    parser.add_argument("--steps", type=int, default=2000, help="Adam steps of one training (default 2000)")
    parser.add_argument("--skip", default="", help="comma-separated: keras, torch, c")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    skipped = set(filter(None, options.skip.split(",")))
    if unknown := skipped - {"keras", "torch", "c"}:
        parser.error(f"--skip takes keras, torch and c, not {', '.join(sorted(unknown))}")
    if options.rounds < 1 or options.steps < max(FLEETS["many"]):
        parser.error(f"--rounds must be at least 1 and --steps at least {max(FLEETS['many'])}")
    names = [name for name in CONTENDERS if name.partition("-")[0] not in skipped]
    result = measure(names, options.rounds, options.steps)
    print(json.dumps(result, indent=2) if options.json else render(result))
    if options.markdown:
        replace_between(options.markdown, "online_step", render(result))


def measure(names: Sequence[str], rounds: int, steps: int) -> dict[str, Any]:
    """Runs the whole benchmark on the contenders `names`, "ours" among them.

    Returns:
        The result as JSON values. Its `rounds` hold what `worker` printed, for each name, for each kind of
        `FLEETS`, and on two cores for `alone` and `together`: one thread on one core, two on two.
    """
    compiler = {"C compiler": compile_c()} if "c" in names else {}
    peers = {name: name.partition("-")[0] for name in names}
    pythons = {n: python_of(p, PINS[p], f"--skip {p}") for n, p in peers.items() if p in PINS}
    cores = sorted(os.sched_getaffinity(0))[:2]
    problem, taken = draw(steps), []
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "problem.npz"), **problem._asdict())

        def worker(kind: str, cores: Sequence[int], threads: int = 1) -> dict[str, Any]:
            python = pythons.get(kind, sys.executable)
            printed = call([python, "-m", "online.worker", folder, kind, str(threads)], cores)
            return json.loads(printed.splitlines()[-1])  # type: ignore[no-any-return]

        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            order = names if number % 2 == 0 else names[::-1]
            one = {kind: worker(kind, cores[:1]) for kind in (*order, *FLEETS)}
            if len(cores) > 1:
                one |= {"alone": worker("ours", cores[:1]), "together": worker("ours", cores, threads=2)}
            taken.append(one)
        learnt = {name: np.load(Path(folder, f"{name}.npy")) for name in names}
    packages = {name: text for each in names for name, text in taken[-1][each]["versions"].items()}
    return {
        "machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"Python": platform.python_version()} | compiler | packages,
        "steps": steps,
        "weights_difference": check(problem, learnt),
        "rounds": taken,
    }


def draw(steps: int) -> Problem:
    """Draws samples of a learnable rule, and weights as the package draws them."""
    from fedmetaalign.model.mlp import Network, initialize

    random = np.random.default_rng(0)
    x = random.standard_normal((steps, INPUTS)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.float32)
    return Problem(x, y, initialize(Network(INPUTS, HIDDEN), random))


def check(problem: Problem, learnt: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns how far off `reference` each contender's final weights are, as a share of how far training moved
    them; ends the program where that exceeds `TOLERANCE`, since a contender that did other work has no time.
    """
    forms = {form: reference(problem, form) for form in {"keras" in name for name in learnt}}
    differences = {}
    for name, weights in learnt.items():
        expected = forms["keras" in name]
        moved = np.linalg.norm(expected - problem.weights)
        differences[name] = float(np.linalg.norm(weights - expected) / moved)
        if not differences[name] <= TOLERANCE:
            sys.exit(f"error: the weights of '{name}' are {differences[name]:.2%} off the reference")
    return differences


def compile_c() -> str:
    """Compiles the C loop, plain and fused, and returns the compiler's version line."""
    path, version = compiler()
    flags = ["-std=c99", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    for name, library in C_LIBRARIES.items():
        library.parent.mkdir(exist_ok=True)
        fused = ["-DFUSED"] if name == "c-fused" else []
        call([path, *flags, *fused, HERE / "online" / "loop.c", "-o", library, "-lm"])
    return version


def compiler() -> tuple[str, str]:
    """Returns the path of the system's C compiler, and its version line; ends where there is none."""
    path = shutil.which("gcc") or shutil.which("cc")
    if path is None:
        sys.exit("error: no C compiler found; install gcc, or leave the C loop out with --skip c.")
    return path, call([path, "--version"]).splitlines()[0]


def call(command: Sequence[str | Path], cores: Sequence[int] | None = None) -> str:
    """Runs a command, confined to `cores` if given, and returns what it prints; ends if it fails."""
    confine = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    settings = {"env": os.environ | SETTINGS, "cwd": HERE, "preexec_fn": confine}
    done = subprocess.run(command, **settings, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        sys.exit(f"{done.stderr}\nerror: status {done.returncode} of {' '.join(map(str, command))}")
    return done.stdout


def cpu_model() -> str:
    """Returns the processor's name from /proc/cpuinfo, else its architecture."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()

"""How long does a round take in one process, against Flower with Ray and pfl-research?

Every device takes 96 Adam steps at batch size 1 on the paper's network, and the server aggregates: our engine
by similarity, which has each device score its update on query samples too, the peers by the mean. All start
from the same weights, meet the same samples, and must have the same weights after a first round by the mean
(`engines_peers/problem.py`), which is not timed with the others: compilers and Ray start in it.

The peers run as they come (Flower gives each device two cores, pfl-research is one process), and set to use
every core as we do, with PyTorch's Adam and with its fused form; and Flower carries our step, which tells the
engine from the step. Every contender runs in processes of its own. They take turns, forwards in one pass and
backwards in the next, and ratios are taken within a pass, so that a busy machine disturbs all sides alike.

    python benchmarks/engines.py                               # all of it
    python benchmarks/engines.py --quick                       # does it work? 4 devices, 2 rounds
    python benchmarks/engines.py --devices 100 --only ours,pfl   # some of it
    python benchmarks/engines.py --out build/engines --markdown docs/benchmarks.md

The peers are installed once into the folder --cache. PyPI's PyTorch for Linux brings several gigabytes of CUDA
with it, of which nothing is used: where pip knows of a CPU wheel of the same version, it takes that.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from engines_peers.contenders import CONTENDERS
from engines_peers.environments import PINS
from engines_peers.problem import Problem, draw, first_round
from engines_peers.tables import render
from markers import replace_between
from online.problem import HIDDEN, INPUTS
from online_step import SETTINGS, cpu_model
from peers import python_of

TOLERANCE = 0.001  # of the way that the first round moves the weights
CHECKED = 10  # devices whose first round is checked at most: the reference takes a millisecond a step
HERE = Path(__file__).resolve().parent
ENVIRONMENT = SETTINGS | {
    "PYTHONPATH": str(HERE.parent / "src"),
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass
class Taken:
    """What one run of a contender gave.

    Attributes:
        first: seconds of the first round, from the start of the contender; None if it did not end.
        rounds: seconds of each of the others that ended.
        over: seconds that a round takes longer than, where none of the others ended; else None.
        versions: of its packages.
    """

    first: float | None = None
    rounds: list[float] = field(default_factory=list)
    over: float | None = None
    versions: dict[str, str] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="10,100,1000", help="sizes of the fleets (default 10,100,1000)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each run (default 3)")
    parser.add_argument("--passes", type=int, default=2, help="runs of each contender (default 2)")
    parser.add_argument(
        "--cap",
        type=float,
        default=300,
        help="seconds of a round, and after which no other starts (default 300)",
    )
    everyone = ",".join(CONTENDERS)
    parser.add_argument("--only", default=everyone, metavar="NAMES", help=f"of {everyone} (default all)")
    parser.add_argument("--quick", action="store_true", help="4 devices, 2 rounds, 1 pass")
    default = Path(tempfile.gettempdir(), "fedmetaalign-benchmarks")
    parser.add_argument("--cache", type=Path, default=default, help=f"the peers' environments ({default})")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write engines.json and engines.md there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(CONTENDERS):
        parser.error(f"--only takes names of {everyone}, not {', '.join(sorted(unknown))}")
    if options.quick:
        options.devices, options.rounds, options.passes = "4", 2, 1
    fleets = [int(size) for size in options.devices.split(",")]
    if min(*fleets, options.rounds, options.passes) < 1:
        parser.error("--devices, --rounds and --passes must be at least 1")
    result = measure(names, fleets, options.rounds, options.passes, options.cap, options.cache)
    print(render(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "engines.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (options.out / "engines.md").write_text(render(result) + "\n", encoding="utf-8")
    if options.markdown:
        replace_between(options.markdown, "engines", render(result))


def measure(
    names: Sequence[str], fleets: Sequence[int], rounds: int, passes: int, cap: float, cache: Path
) -> dict[str, Any]:
    """Runs the whole benchmark.

    Returns:
        The result as JSON values. Its `passes` hold, for each size of `fleets` and each of `names`, the fields
        of `Taken`.
    """
    needed = {name: CONTENDERS[name].environment for name in names}
    peers = sorted(set(filter(None, needed.values())))
    pythons = {peer: python_of(peer, PINS[peer], "--only", cache) for peer in peers}
    done: list[dict[str, dict[str, Any]]] = []
    versions: dict[str, str] = {}
    for number in range(passes):
        order = names if number % 2 == 0 else names[::-1]
        one: dict[str, dict[str, Any]] = {}
        for devices in fleets:
            print(f"pass {number + 1} of {passes}, {devices} devices", file=sys.stderr)
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                problem = fleet(devices)
                problem.save(folder)
                taken = {
                    name: run(name, pythons.get(needed[name], sys.executable), folder, rounds, cap)
                    for name in order
                }
                if devices <= CHECKED:
                    check(problem, folder, [name for name in names if taken[name].first is not None])
            for each in taken.values():
                versions |= each.versions
            one[str(devices)] = {name: asdict(taken[name]) for name in names}
        done.append(one)
    return {
        "machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"Python": platform.python_version()} | dict(sorted(versions.items())),
        "passes": done,
    }


def fleet(devices: int) -> Problem:
    """Draws a fleet's samples, and weights as the package draws them."""
    from fedmetaalign.model.mlp import Network, initialize

    return draw(devices, initialize(Network(INPUTS, HIDDEN), np.random.default_rng(0)))


def run(name: str, python: str | Path, folder: Path, rounds: int, cap: float) -> Taken:
    """Runs a contender; stops it in a round that takes longer than `cap` seconds, and after a timed round that
    ends later than that. Ends the program if it fails.
    """
    from fedmetaalign.system.cores import cores

    workers = str(cores())
    command = [python, "-m", "engines_peers.worker", name, folder, str(rounds), workers]
    if CONTENDERS[name].spread and CONTENDERS[name].environment == "pfl":
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", workers]
    taken, stopped = Taken(), False
    log = folder / f"{name}.log"
    own = {"FLWR_HOME": str(folder / "flwr"), "RAY_TMPDIR": str(folder)}
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=HERE,
            env=os.environ | ENVIRONMENT | own,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

        def stop() -> None:
            nonlocal stopped
            stopped = True
            os.killpg(process.pid, signal.SIGTERM)  # torchrun and Ray then end what they have started
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(cap, stop)
        timer.start()
        start = time.perf_counter()
        for line in process.stdout or ():
            if not read(line, taken):
                continue
            timer.cancel()
            if taken.rounds and time.perf_counter() - start > cap:
                stop()
                break
            timer = Timer(cap, stop)
            timer.start()
        timer.cancel()
        if process.wait() and not stopped:
            sys.exit(f"{log.read_text(encoding='utf-8')}\nerror: status {process.returncode} of '{name}'")
    if stopped and not taken.rounds:
        taken.over = cap
    print(f"  {name}: first {taken.first}, then {taken.rounds}", file=sys.stderr)
    return taken


def read(line: str, taken: Taken) -> bool:
    """Takes in what a worker printed; returns whether a round has ended."""
    if not line.startswith("{"):  # a library's own word
        return False
    said: Mapping[str, Any] = json.loads(line)
    taken.versions |= said.get("versions", {})
    if "seconds" not in said:
        return False
    if taken.first is None:
        taken.first = said["seconds"]
    else:
        taken.rounds.append(said["seconds"])
    return True


def check(problem: Problem, folder: Path, names: Sequence[str]) -> None:
    """Ends the program where a contender's first round did other work than `first_round`: it has no time."""
    expected = first_round(problem)
    moved = np.linalg.norm(expected - problem.weights)
    for name in names:
        difference = float(np.linalg.norm(np.load(folder / f"{name}.npy") - expected) / moved)
        if not difference <= TOLERANCE:
            sys.exit(f"error: the weights of '{name}' are {difference:.2%} off the reference")


if __name__ == "__main__":
    main()

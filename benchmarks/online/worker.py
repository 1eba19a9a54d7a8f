"""Measures one contender in this process: `python -m online.worker FOLDER KIND THREADS` prints JSON.

FOLDER holds problem.npz, and gets the final weights as KIND.npy.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from online.contenders import CONTENDERS, Train
from online.problem import Problem

FLEETS = {"one": (390,), "many": tuple(range(100, 400, 10))}
"""Two more kinds. Samples of each device: of a fleet of one, and of one of 30, no two of them alike."""
_REPEATS = {"c": 20, "c-fused": 20, "ours": 20}
"""Trainings timed together, so that the fast are timed long enough too."""
_PACKAGES = {"c": (), "ours": ("jax", "numpy"), "keras": ("keras", "tensorflow-cpu"), "torch": ("torch",)}


def main(folder: Path, kind: str, threads: int) -> dict[str, Any]:
    problem = Problem(**np.load(folder / "problem.npz"))
    if kind in FLEETS:
        return {"compile": compile_time(CONTENDERS["ours"](problem), FLEETS[kind])}
    figures, weights = step_time(problem, kind, threads)
    np.save(folder / f"{kind}.npy", weights)
    return figures | {"versions": {name: version(name) for name in _PACKAGES[kind.partition("-")[0]]}}


def step_time(problem: Problem, kind: str, threads: int) -> tuple[dict[str, float], np.ndarray]:
    """Times whole trainings, by so many Python threads at the same time, each its own network.

    Returns:
        `warm_up`, seconds that building and the first training, which is not timed, take beyond a later one;
        `us_per_step`, the inverse of the throughput of all threads together; `cores`, how many cores' worth of
        time the process got meanwhile; `loss`. And the final weights.
    """
    steps, repeats = len(problem.y), _REPEATS.get(kind, 1)
    start = time.perf_counter()
    train = CONTENDERS[kind](problem)
    train(steps)
    first = time.perf_counter() - start

    start, start_of_work = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        weights, loss = list(pool.map(train, [steps] * (repeats * threads)))[-1]
    elapsed, worked = time.perf_counter() - start, time.process_time() - start_of_work
    return {
        "warm_up": first - elapsed / repeats,
        "us_per_step": 1e6 * elapsed / (steps * repeats * threads),
        "cores": worked / elapsed,
        "loss": loss,
    }, weights


def compile_time(train: Train, sizes: Sequence[int]) -> float:
    """Returns the seconds that training every device the first time takes beyond the later times."""
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        for size in sizes:
            train(size)
        seconds.append(time.perf_counter() - start)
    return seconds[0] - statistics.median(seconds[1:])


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))

"""Times the rounds of one contender: `python -m engines_peers.worker NAME FOLDER ROUNDS CORES`.

FOLDER holds the problem, and gets the global weights after the first round as NAME.npy. A JSON line is printed
as soon as a round ends, so that whoever stops a long run keeps what it had measured.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from engines_peers.contenders import CONTENDERS


class Clock:
    """Tells the seconds of each round; the first counts from here, with all that must be started for it."""

    def __init__(self, first: Path) -> None:
        self._first: Path | None = first
        self._start = time.perf_counter()

    def __call__(self, weights: np.ndarray) -> None:
        """Ends a round, with these global weights: (parameters,) float32."""
        say(seconds=time.perf_counter() - self._start)
        if self._first:
            np.save(self._first, weights)
            self._first = None
        self._start = time.perf_counter()


def say(**line: object) -> None:
    # Where a contender is several processes, the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(line), flush=True)


def main(name: str, folder: Path, rounds: int, cores: int) -> None:
    contender = CONTENDERS[name]
    say(versions={package: version(package) for package in contender.packages})
    clock = Clock(folder / f"{name}.npy")
    module = importlib.import_module(f"engines_peers.{contender.module}")
    module.run(folder, contender.step, rounds, cores if contender.spread else None, clock)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

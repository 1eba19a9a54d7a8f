"""Recordings of machines that hum, and rattle when they are broken, as an engineer's folder of tables."""

from pathlib import Path

import numpy as np
import polars as pl

RATE = 1000.0
TONES = {"normal": 20.0, "rattle": 90.0, "whine": 200.0}
"""Hz, of each class."""


def signal(kind: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """A tone of a class with noise, (rows,) float64."""
    seconds = np.arange(rows) / RATE
    return np.sin(2 * np.pi * (TONES[kind] * seconds + random.random())) + 0.3 * random.standard_normal(rows)


def machine(kinds: dict[str, int], rows: int, seed: int) -> pl.DataFrame:
    """The recordings of one machine: so many of each class, with the columns run, state, t and accel."""
    random = np.random.default_rng(seed)
    runs = [(f"{kind}-{i}", kind) for kind, count in kinds.items() for i in range(count)]
    parts = [
        pl.DataFrame(
            {
                "run": [run] * rows,
                "state": [kind] * rows,
                "t": np.arange(rows) / RATE,
                "accel": signal(kind, rows, random),
            }
        )
        for run, kind in runs
    ]
    return pl.concat(parts)


def folder(path: Path, machines: int = 3, rows: int = 480, runs: int = 3) -> Path:
    """Writes a table for each machine: `runs` recordings of "normal", "rattle" and "whine"."""
    path.mkdir(parents=True, exist_ok=True)
    for i in range(machines):
        machine(dict.fromkeys(TONES, runs), rows, i).write_csv(path / f"m{i}.csv")
    return path

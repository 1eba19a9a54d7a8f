"""Measures what ten million rows cost: the time and the most memory of reading and of auditing them.

python benchmarks/large_tables.py --rows 10000000 --folder /tmp/large
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

FEATURES = tuple("abcde")


def write(folder: Path, rows: int) -> list[Path]:
    """Writes a table as Parquet, as CSV, and with semicolons and decimal commas."""
    rng = np.random.default_rng(0)
    fault = (rng.random(rows) < 0.2).astype(np.int8)
    values = {name: np.round(rng.normal(100, 10, rows) + 3 * fault, 4) for name in FEATURES}
    frame = pl.DataFrame({**values, "fault": fault})
    paths = [folder / "large.parquet", folder / "large.csv", folder / "commas.csv"]
    frame.write_parquet(paths[0])
    frame.write_csv(paths[1])
    frame.write_csv(paths[2], separator=";", decimal_comma=True)
    return paths


def read(path: Path) -> None:
    """Reads a table as a run does, and prints the cost as JSON."""
    from fedmetaalign.fleet.tables import Columns, read

    table = read(path, Columns("fault", FEATURES), "large")
    _print(rows=len(table), mean=float(table.x.mean()))


def audit(path: Path) -> None:
    """Audits a table, and prints the cost as JSON."""
    from fedmetaalign.fleet.audit.table import audit

    _print(rows=audit(path, "fault").rows)


def _print(**found: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        json.dumps({**found, "peak MiB": round(peak), "CPU s": round(time.process_time(), 1)}) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", choices=["read", "audit"])
    parser.add_argument("--file", type=Path)
    arguments = parser.parse_args()
    if arguments.file:
        {"read": read, "audit": audit}[arguments.only](arguments.file)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in write(arguments.folder, arguments.rows):
        for what in ("read", "audit"):
            command = [sys.executable, __file__, "--folder", str(arguments.folder)]
            done = subprocess.run(  # noqa: S603
                [*command, "--only", what, "--file", str(path)], check=True, capture_output=True, text=True
            )
            sys.stdout.write(f"{what} {path.name}: {done.stdout}")


if __name__ == "__main__":
    main()

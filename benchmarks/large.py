"""What do ten million rows cost: the seconds and the most memory of each command, from each kind of file?

python benchmarks/large.py --folder /tmp/large                          # an hour; 5 GB of disk
python benchmarks/large.py --folder /tmp/large --only audit,predict     # some of it
python benchmarks/large.py --folder /tmp/large --only "run, 1,000 devices"
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from markers import replace_between
from online.tables import table

FEATURES = tuple("abcdefgh")
KINDS = ("normal", "leak", "cavitation", "bearing", "seal")
PIECE = 500_000
COMMAND = [sys.executable, "-c", "from fedmetaalign.cli import main; main()"]

SHORT = (
    *("serial.rounds=1", "evaluation.alone=false", "personalize.epochs=1", "teaching.samples=2000"),
    *('teaching.teachers=["tuned", "fleet"]', "teaching.folds=2", "groups.epochs=1"),
)
"""What training takes is another question: here it is cut short, and all else is as it comes."""

CUTS = {
    "run, 1 device": ("fault", ""),
    "run, 10 devices": ("fault", 'device = "hall"'),
    "run, 1,000 devices": ("fault", 'device = "machine"'),
    "run, Dirichlet": (
        "kind",
        'normal = ["normal"]\npartition = { count = 100, samples = 50000, alpha = 0.5 }',
    ),
}


@dataclass(frozen=True)
class Cost:
    """Of a command: its seconds, and the most MiB that it held, its runtime's own included."""

    seconds: float
    peak: float
    said: str


def pieces(rows: int) -> Iterator[pl.DataFrame]:
    """Yields samples of 1,000 machines in ten halls."""
    rng = np.random.default_rng(0)
    for first in range(0, rows, PIECE):
        n = min(PIECE, rows - first)
        kind = np.where(rng.random(n) < 0.2, rng.integers(1, len(KINDS), n), 0)
        machine = rng.integers(1000, size=n)
        values = {
            name: np.round(rng.normal(100 + i, 10, n) + 6 * (kind == 1 + i % 4), 3)
            for i, name in enumerate(FEATURES)
        }
        yield pl.DataFrame(
            {
                "machine": [f"pump-{i:04d}" for i in machine],
                "hall": [f"hall-{i % 10}" for i in machine],
                **values,
                "kind": np.array(KINDS)[kind],
                "fault": (kind > 0).astype(np.int8),
            }
        )


def write(folder: Path, rows: int) -> None:
    """Writes the table as CSV, as Parquet and as JSON lines."""
    with (folder / "large.csv").open("wb") as file:
        for i, piece in enumerate(pieces(rows)):
            piece.write_csv(file, include_header=i == 0)
    whole = pl.scan_csv(folder / "large.csv")
    whole.sink_parquet(folder / "large.parquet")
    whole.sink_ndjson(folder / "large.jsonl")


def measured(arguments: Sequence[str], log: Path, stdin: Path | None = None) -> Cost:
    """Runs a command line in a process of its own."""
    began = time.perf_counter()
    with log.open("wb") as out, (stdin or Path(os.devnull)).open("rb") as source:
        process = subprocess.Popen([*COMMAND, *arguments], stdin=source, stdout=out, stderr=out)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    said = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""])[-1]
    if process.returncode:
        said = f"exit status {process.returncode}: {said}"
    return Cost(time.perf_counter() - began, usage.ru_maxrss / 1024, said)


def recipe(folder: Path, file: str, what: str) -> Path:
    """Writes the recipe of a run."""
    label, more = CUTS[what]
    path = folder / "recipe.toml"
    features = ", ".join(f'"{name}"' for name in FEATURES)
    path.write_text(
        f'extends = "fleet"\n[fleet]\ntable = "{file}"\nlabel = "{label}"\nfeatures = [{features}]\n{more}\n'
    )
    return path


def run(folder: Path, file: str, what: str) -> Cost:
    """Runs the recipe of one cut."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    settings = [part for key in SHORT for part in ("--set", key)]
    return measured(["run", str(recipe(folder, file, what)), "--out", str(out), *settings], folder / "log")


def bundle(folder: Path) -> Path:
    """Makes a bundle of a few rows."""
    out = folder / "small"
    if not out.exists():
        pl.scan_parquet(folder / "large.parquet").head(2000).sink_csv(folder / "few.csv")
        run(folder, "few.csv", "run, 1 device")
        (folder / "run").rename(out)
    return next(path for path in (out / "devices").iterdir())


def commands(folder: Path) -> dict[str, object]:
    """Names what is measured: by its name what to call with a file."""

    def predict(kind: str, stdin: bool = False) -> object:
        return lambda file: measured(
            [
                "predict",
                str(bundle(folder)),
                "-" if stdin else str(folder / file),
                "--out",
                f"{folder}/out.{kind}",
            ],
            folder / "log",
            folder / file if stdin else None,
        )

    init = ["--label", "fault", "--out", str(folder / "init.toml"), "--yes", "--force"]
    return {
        "audit": lambda file: measured(["audit", str(folder / file), "--label", "fault"], folder / "log"),
        "init": lambda file: measured(["init", str(folder / file), *init], folder / "log"),
        **{what: lambda file, what=what: run(folder, file, what) for what in CUTS},
        "predict to CSV": predict("csv"),
        "predict to JSON lines": predict("jsonl"),
        "predict to Parquet": predict("parquet"),
        "predict from standard input": predict("csv", stdin=True),
    }


def chosen(names: Sequence[str], only: str | None) -> list[str]:
    """Returns the names that begin so; a beginning may itself have commas, as names have."""
    if not only:
        return [*names]
    wanted = (only,) if any(name.startswith(only) for name in names) else tuple(only.split(","))
    return [name for name in names if name.startswith(wanted)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="for the tables, which stay there")
    parser.add_argument("--only", help="the beginning of a name of what is measured, or several with commas")
    parser.add_argument("--formats", default="parquet,csv,jsonl")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    folder, formats = options.folder.resolve(), options.formats.split(",")
    if not (folder / "large.jsonl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, options.rows)
    rows = []
    every = commands(folder)
    for what in chosen(list(every), options.only):
        call = every[what]
        found = {kind: call(f"large.{kind}") for kind in formats}  # type: ignore[operator]
        for kind, cost in found.items():
            print(f"{what}, {kind}: {cost.seconds:.0f} s, {cost.peak:.0f} MiB; {cost.said[:200]}", flush=True)
        rows.append((what, *(f"{cost.seconds:.0f} s, {cost.peak / 1024:.2f} GiB" for cost in found.values())))
    text = table((f"{options.rows:,} rows", *(f"from {kind}" for kind in formats)), rows)
    print(text)
    if options.markdown:
        replace_between(options.markdown, "large", text)


if __name__ == "__main__":
    main()

"""How large is each format, how far are its scores from the float network's, and how long does writing it take?

The time is that of a whole cold process: starting Python, importing, quantising with 1,000 rows of calibration
data, and writing the file; the fastest of several, since a machine that does something else only adds to it.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from cortex.problem import Problem, trained
from markers import replace_between
from online.tables import table

from fedmetaalign.tinyml.runtimes import scores

FORMATS = ("uint8", "uint8, per channel", "int8", "int8-float-io", "int8-float-head", "int4", "float32")
CALIBRATION = 1000
REPEATS = 9
EXPORT = Path(__file__).resolve().parent / "cortex" / "export.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    text = render(trained())
    print(text)
    if options.markdown:
        replace_between(options.markdown, "formats", text)


def render(problem: Problem) -> str:
    x = problem.preparation.apply(problem.raw)
    with TemporaryDirectory() as folder:
        source = Path(folder, "network.npz")
        arrays = {f"w{i}": layer.weights for i, layer in enumerate(problem.layers)}
        arrays |= {f"b{i}": layer.biases for i, layer in enumerate(problem.layers)}
        np.savez(source, inputs=problem.inputs[:CALIBRATION], layers=len(problem.layers), **arrays)
        made = {kind: export(source, kind, Path(folder, "model.tflite")) for kind in FORMATS}
    reference = scores(made["float32"][0], x)
    rows = []
    for kind, (model, seconds) in made.items():
        found = scores(model, x)
        rows.append(
            (
                kind,
                f"{len(model):,}",
                f"{np.abs(found - reference).mean():.4f}",
                f"{100 * np.mean((found > 0.5) == problem.faults):.1f}",
                f"{seconds:.2f}",
            )
        )
    return table(
        ("format", "bytes", "mean difference of scores", "accuracy at 0.5, %", "cold process, s"), rows
    )


def export(source: Path, kind: str, out: Path) -> tuple[bytes, float]:
    """Returns the file, and the seconds that the fastest process took to make it."""
    taken = []
    for _ in range(REPEATS):
        before = time.perf_counter()
        subprocess.run([sys.executable, EXPORT, source, kind, out], check=True)  # noqa: S603
        taken.append(time.perf_counter() - before)
    return out.read_bytes(), min(taken)


if __name__ == "__main__":
    main()

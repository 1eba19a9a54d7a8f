"""Does `fedmetaalign.tinyml.integer` give the scores of every runtime, and how far are the runtimes apart?

    python benchmarks/integer_truth.py                                    # 100,000 inputs, about 3 minutes
    python benchmarks/integer_truth.py --rows 10000 --skip tflm           # without the slowest
    python benchmarks/integer_truth.py --markdown docs/firmware.md        # rewrite the manual's table

The paper's network, trained on random samples, is put into every format with an int8 score and runs in every
runtime. A column says how many per cent of a runtime's scores a rounding gives to the last bit: all of them, in
the runtime's own, or the script ends with status 1.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from cortex.problem import low_rank
from markers import replace_between

from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.integer import scores
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize, quantize_input
from fedmetaalign.tinyml.runtimes import ROUNDINGS, run

HIDDEN = (256, 128, 64, 32, 16, 12, 8)
RUNTIMES = ("tflm", "litert", "litert-reference", "litert-xnnpack")
COLUMNS = tuple(dict.fromkeys(ROUNDINGS[runtime] for runtime in RUNTIMES))
BUDGET = 22_790  # bytes, the paper's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="inputs (default 100,000)")
    parser.add_argument("--skip", default="", help=f"comma-separated: {', '.join(RUNTIMES)}")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    skipped = set(filter(None, options.skip.split(",")))
    if unknown := skipped - set(RUNTIMES):
        parser.error(f"--skip takes {', '.join(RUNTIMES)}, not {', '.join(sorted(unknown))}")
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    lines, exact = measure(options.rows, [runtime for runtime in RUNTIMES if runtime not in skipped])
    print("\n".join(lines))
    if options.markdown:
        replace_between(options.markdown, "integer_truth", "\n".join(lines))
    if not exact:
        sys.exit("error: a runtime differs from the integers of its own rounding")


def measure(rows: int, runtimes: list[str]) -> tuple[list[str], bool]:
    """Returns the lines of the Markdown table, and whether every runtime is equal to its own rounding."""
    random = np.random.default_rng(1)
    # Wider than what calibration saw, so that all layers saturate now and then.
    x = random.normal(0.0, 1.3, (rows, 9)).astype(np.float32)
    lines = [
        "| format | runtime | " + " | ".join(f"`{name}`" for name in COLUMNS) + " |",
        "|---|---|" + "---|" * 4,
    ]
    exact, seconds = True, 0.0
    for name, network in networks().items():
        inputs = quantize_input(network, x)
        began = time.perf_counter()
        integers = {rounding: scores(network, inputs, rounding) for rounding in COLUMNS}
        seconds = max(seconds, (time.perf_counter() - began) / len(COLUMNS))
        for runtime in runtimes:
            print(f"{name}: {runtime}", file=sys.stderr)
            result = run(network, inputs, runtime)
            same = {rounding: np.count_nonzero(result == integers[rounding]) for rounding in COLUMNS}
            exact &= same[ROUNDINGS[runtime]] == rows
            lines.append(
                f"| {name} | `{runtime}` | " + " | ".join(share(same[r], rows) for r in COLUMNS) + " |"
            )
    lines += ["", f"{rows:,} inputs; the integers of one rounding take {seconds:.1f} s at most."]
    return lines, exact


def networks() -> dict[str, QuantizedNetwork]:
    """Returns the trained network in each format with an int8 score."""
    layers, x = train()
    return {
        "uint8": quantize(layers, x),
        "uint8, a scale for each output": quantize(layers, x, per_channel=True),
        "int8": quantize(layers, x, edges="int8"),
        "int8, float32 features and score": quantize(layers, x, edges="float32"),
        "4-bit weights in large layers": quantize(layers, x, bits=bits_of_int4(layers)),
        "4-bit weights": quantize(layers, x, bits=4),
        "low rank, 8 bits": low_rank(layers, x, BUDGET),
    }


def train() -> tuple[list[Dense], np.ndarray]:
    """Returns the layers of a classifier of random samples, and 1,000 of them, (1000, 9) float32."""
    from sklearn.neural_network import MLPClassifier

    x = np.random.default_rng(0).normal(size=(3000, 9)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3] / 2 > 0.3
    classifier = MLPClassifier(HIDDEN, batch_size=64, max_iter=10, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ten epochs are few
        classifier.fit(x, y)
    pairs = zip(classifier.coefs_, classifier.intercepts_, strict=True)
    layers = [Dense(w.astype(np.float32), b.astype(np.float32), relu=len(b) > 1) for w, b in pairs]
    return layers, x[:1000]


def share(count: int, rows: int) -> str:
    """Formats a share in %; only all of them are 100."""
    return "**100**" if count == rows else f"{min(100 * count / rows, 99.999):.3f}"


if __name__ == "__main__":
    main()

"""What does it cost a microcontroller to take windows of a signal to decisions?

A network of random weights on each front end, in int8, is written as a bundle's firmware; Zig compiles it with
`-O2`, and the emulator counts what happens at the last sample of a window: features, inference, decision. Their
bits are held against Python's. Counts do not depend on the machine; the seconds that Python takes do.
"""

import argparse
import itertools
import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from markers import replace_between
from online.tables import table

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators import Layer
from fedmetaalign.operators.convolution import Convolution
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.pool import Pool
from fedmetaalign.proof import replay
from fedmetaalign.signals import Signal, features, names
from fedmetaalign.tinyml import codegen, compiled, memory, windows
from fedmetaalign.tinyml import features as device
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.toolchain import CORES

CLASSES = 4
HIDDEN = (32, 16)
USUAL = {"length": 1024, "stride": 512, "channels": ("accel",), "rate": 12_000.0}
BAND = (2_000.0, 4_000.0)
SIGNALS = {
    "statistics": Signal(**USUAL, front=("statistics",)),
    "bands": Signal(**USUAL, front=("bands",)),
    "envelope": Signal(**USUAL, front=("envelope",), envelope=BAND),
    "statistics, bands": Signal(**USUAL, front=("statistics", "bands")),
    "statistics, bands, envelope": Signal(**USUAL, front=("statistics", "bands", "envelope"), envelope=BAND),
    "bands, envelope, in orders": Signal(**USUAL, front=("bands", "envelope"), envelope=BAND, speed="rpm"),
    "raw, convolutions": Signal(**USUAL, front=("raw",)),
}
ROWS = 10_000
TARGETS = (("ms at 64 MHz", 10.0), ("flash, B", 10 * 1024), ("RAM with stack, B", 6 * 1024))
JUDGED = "statistics, bands, envelope"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    result = {
        "versions": {name: version(name) for name in ("fedmetaalign", "ziglang", "unicorn")},
        "fronts": {name: measured(signal) for name, signal in SIGNALS.items()},
    }
    print(json.dumps(result, indent=2) if options.json else render(result))
    if options.markdown:
        replace_between(options.markdown, "front", render(result))


def measured(signal: Signal) -> dict[str, Any]:
    """Measures one front end with a network on it, on every core and here."""
    count, random = len(names(signal)), np.random.default_rng(0)
    layers = convolutional(random) if signal.front == ("raw",) else dense(random, count)
    network = quantize(layers, random.normal(size=(200, count)).astype(np.float32), edges="int8")
    parts = (names(signal), ("",) * count, {}, (0.0,) * count, (1.0,) * count, tuple(range(count)))
    preparation = Preparation(*parts, signal=signal)
    shown = windows.made(signal)
    shown = shown[np.isfinite(shown).all(axis=(1, 2))]  # of broken windows nothing is computed
    rows = features(signal, shown).astype(np.float64)
    with TemporaryDirectory() as name:
        folder = Path(name)
        texts = codegen.files("benchmark", network, preparation, 0.5, rows, windows=shown)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        cores = {}
        for core in CORES.values():
            if core.unicorn:
                found = replay.stream(folder, preparation, network, shown, core)
                samples = memory.takes_samples(preparation)
                expected = (
                    device.device_inputs(preparation, network, rows) if samples else rows.astype(np.float32)
                )
                if found.features.tobytes() != expected.tobytes() or found.cost is None:
                    sys.exit(f"error: {core.name} makes other features of {signal.front} than Python")
                cores[core.name] = asdict(found.cost)
        sources = [folder / "fma_front.c", folder / "fma_infer.c"]
        image = sizes(compiled.elf(sources, [folder], CORES["cortex-m4"], ["fma_push"])).flash
    many = random.normal(size=(ROWS, signal.length, len(signal.columns))).astype(np.float32)
    many[:, :, -1] = np.abs(many[:, :, -1]) + 1 if signal.speed else many[:, :, -1]
    before = time.perf_counter()
    features(signal, many)
    return {
        "features": count,
        "parameters": sum(
            layer.weights.size + layer.biases.size for layer in layers if not isinstance(layer, Pool)
        ),
        "stated": memory.stream(preparation, network) + memory.buffers(preparation, network),
        "flash": image,
        "cores": cores,
        "seconds": time.perf_counter() - before,
    }


def dense(random: np.random.Generator, inputs: int) -> list[Layer]:
    """Returns a network with two hidden layers."""
    widths = (inputs, *HIDDEN, CLASSES)
    return [
        Dense(drawn(random, a, b), np.zeros(b, np.float32), relu=b != CLASSES)
        for a, b in itertools.pairwise(widths)
    ]


def convolutional(random: np.random.Generator) -> list[Layer]:
    """Returns a small convolutional network on 1,024 samples of one channel."""
    zeros = [np.zeros(n, np.float32) for n in (8, 16)]
    first = Convolution(drawn(random, 9, 1, 8), zeros[0], 1024, 4, relu=True)
    second = Convolution(drawn(random, 5, 8, 16), zeros[1], first.output_steps, 2, relu=True)
    pool = Pool("average", second.output_steps, second.output_steps, second.output_steps, 16)
    return [first, second, pool, *dense(random, 16)]


def drawn(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Returns weights by He's rule, float32."""
    return random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)


def render(result: dict[str, Any]) -> str:
    """Writes what a window takes on a Cortex-M4F and on other cores, and the figures that have a target."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n\n".join(
        [
            f"1,024 samples of one channel every 512, {CLASSES} classes, int8; {versions}; `-O2`.",
            *tables(result),
        ]
    )


def tables(result: dict[str, Any]) -> list[str]:
    fronts = result["fronts"]
    header = (
        "Cortex-M4F",
        "features",
        "parameters",
        "instructions",
        *(name for name, _ in TARGETS),
        "RAM stated, B",
    )
    rows = [
        (
            *(
                name,
                str(one["features"]),
                f"{one['parameters']:,}",
                f"{one['cores']['cortex-m4']['instructions']:,}",
            ),
            *(figure(one, name) for name, _ in TARGETS),
            f"{one['stated']:,}",
        )
        for name, one in fronts.items()
    ]
    cores = [
        (core, *(f"{one['cores'][core]['instructions']:,}" for one in fronts.values()))
        for core in next(iter(fronts.values()))["cores"]
    ]
    python = ("Python, 10,000 windows, s", *(f"{one['seconds']:.2f}" for one in fronts.values()))
    judged = [
        (
            name,
            figure(fronts[JUDGED], name),
            f"at most {most:,g}",
            "yes" if value(fronts[JUDGED], name) <= most else "no",
        )
        for name, most in TARGETS
    ]
    return [
        table(header, rows),
        table(("instructions a window", *fronts), [*cores, python]),
        table((JUDGED, "measured", "target", "met"), judged),
    ]


def value(one: dict[str, Any], name: str) -> float:
    """Returns the figure of a target."""
    cost = one["cores"]["cortex-m4"]
    known = {"ms at 64 MHz": cost["cycles"] / 64e3, "flash, B": one["flash"]}
    return known.get(name, cost["ram"] + cost["stack"])


def figure(one: dict[str, Any], name: str) -> str:
    """Writes the figure of a target."""
    found = value(one, name)
    return f"{found:.2f}" if name.startswith("ms") else f"{found:,}"


if __name__ == "__main__":
    main()

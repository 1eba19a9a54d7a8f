"""What does it cost a microcontroller that its inputs are encoded by quantiles?

Runs the demo with either encoding, compiles a device's bundle for Cortex-M cores, and counts the instructions
from a raw sample to a decision in the emulator. Counts do not depend on the machine.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from markers import replace_between
from online.tables import table

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle, compiled, golden
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.firmware_folder import unpack
from fedmetaalign.tinyml.toolchain import CORES, Core

DEVICE = "feeder-00"
NAMES = ("cortex-m0", "cortex-m3", "cortex-m4")
ROWS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = [measured(encoding, Path(folder)) for encoding in ("linear", "quantiles")]
    print(json.dumps(found, indent=2) if options.json else render(found))
    if options.markdown:
        replace_between(options.markdown, "encoding", render(found))


def measured(encoding: str, folder: Path) -> dict[str, Any]:
    """Makes the demo's bundles with an encoding, and returns what one of them takes on each core."""
    run(recipes.load("mixed", [f"fleet.encoding={encoding}"]), folder / encoding)
    home = folder / encoding / "devices" / DEVICE
    found = bundle.read(home)
    raw = golden.read(home / "golden.csv", found.preparation, found.labels).raw[:ROWS].astype(np.float32)
    firmware = folder / encoding / "firmware"
    unpack(home, firmware)
    return {
        "encoding": encoding,
        "knots": [len(curve.knots) for curve in found.preparation.curves],
        **{name: cost(firmware, raw, CORES[name]) for name in NAMES},
    }


def cost(firmware: Path, raw: np.ndarray, core: Core) -> dict[str, int]:
    """Returns bytes of flash, and mean instructions of encoding a sample and of all till its decision."""
    functions = ["fma_classify", "fma_prepare"]
    sources, include = [firmware / "fma_infer.c"], [firmware]
    emulator = Emulator(compiled.elf(sources, include, core, functions), core)
    sample, out = emulator.allocate(raw.nbytes), emulator.allocate(4 * raw.shape[1] + 64)
    counted: dict[str, list[int]] = {name: [] for name in functions}
    for row in raw:
        emulator.write(sample, row.tobytes())
        for name in functions:
            counted[name].append(emulator.call(name, sample, out).instructions)
    image = sizes(compiled.elf(sources, include, core, functions[:1]))
    means = {name: round(float(np.mean(counts))) for name, counts in counted.items()}
    return {"flash": image.flash, "encode": means["fma_prepare"], "all": means["fma_classify"]}


def render(found: list[dict[str, Any]]) -> str:
    header = ("core", "encoding", "flash, B", "instructions to encode a sample", "from sample to decision")
    rows = [
        (name, one["encoding"], *(f"{one[name][key]:,}" for key in ("flash", "encode", "all")))
        for name in NAMES
        for one in found
    ]
    knots = f"{min(found[1]['knots'])} to {max(found[1]['knots'])} knots a feature"
    return f"`{DEVICE}` of the demo: {len(found[1]['knots'])} features, {knots}.\n\n{table(header, rows)}"


if __name__ == "__main__":
    main()

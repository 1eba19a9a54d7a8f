"""What does inference of the paper's network, and learning on the device, take on a Cortex-M?

Ours in several formats against emlearn on the same weights: both compiled by Zig with the same options, and
counted by the same emulator (`fedmetaalign.tinyml.emulator`). Scores are held against the float network's, so
that nobody is fast by computing something else. Figures of TensorFlow Lite Micro stand beside them; they were
measured before, on a network of the same shape, and not by this script.

Counts do not depend on the machine. Run `python benchmarks/firmware.py --help`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from cortex import over_time
from cortex.problem import HIDDEN, INPUTS, Problem, low_rank, trained
from cortex.tables import render
from markers import replace_between
from peers import python_of

from fedmetaalign.operators import operator_of
from fedmetaalign.proof import replay
from fedmetaalign.tinyml import codegen, compiled, features, integer
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.head import header, split
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.toolchain import CORES

LIMIT = 22_790  # bytes: the size that the paper states
EMLEARN = ("numpy", "emlearn==0.23.2")
STEPS = 200
TOLERANCE = 0.05  # of a score: what 8-bit arithmetic may change on average
HERE = Path(__file__).resolve().parent
M4 = CORES["cortex-m4"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--skip", choices=["emlearn"], help="leave emlearn out")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    result = measure(emlearn=options.skip != "emlearn")
    print(json.dumps(result, indent=2) if options.json else render(result))
    if options.markdown:
        replace_between(options.markdown, "firmware", render(result))


def measure(emlearn: bool) -> dict[str, Any]:
    """Runs the whole benchmark, and returns the result as JSON values."""
    problem = trained()
    layers, inputs = problem.layers, problem.inputs
    whole = quantize(layers, inputs)
    networks: dict[str, DeployedNetwork] = {
        "uint8": whole,
        "low rank": low_rank(layers, inputs, LIMIT),
        "int4": quantize(layers, inputs, bits=bits_of_int4(layers)),
        "float32": layers,
    }
    return {
        "network": "-".join(map(str, (INPUTS, *HIDDEN, 1))),
        "versions": {name: version(name) for name in ("fedmetaalign", "ziglang", "unicorn")},
        "limit": LIMIT,
        "products": sum(operator_of(layer).products(layer) for layer in layers),
        "inference": {name: inference(network, problem) for name, network in networks.items()},
        "ordered": inference(whole, problem, "cortex-m0")["cores"]["cortex-m0"],
        "over time": over_time.measured(),
        "emlearn": emlearn_inference(problem) if emlearn else None,
        "learning": learning(whole, problem),
    }


def inference(network: DeployedNetwork, problem: Problem, target: str = "") -> dict[str, Any]:
    """Measures one of our networks, with the weights in the order for a target.

    Returns:
        Bytes of its file; `accuracy` on test samples; for each core, what `replay.Cost` holds; on the
        Cortex-M4F, `score_code`, the bytes of what `fma_score` alone needs, and `image`, all bytes of flash
        from raw sample to decision.
    """
    raw, preparation = problem.raw[:16], problem.preparation
    rows = features.device_inputs(preparation, network, problem.raw)
    scores = integer.firmware_scores(network, rows)
    check(scores, problem)
    with TemporaryDirectory() as name:
        folder = Path(name)
        texts(folder, network, problem, None, target)
        sources = [folder / "fma_infer.c"]
        cores = {
            core.name: replay.score(folder, network, raw, core).cost for core in CORES.values() if core.unicorn
        }
        alone, image = (sizes(compiled.elf(sources, [folder], M4, [f])) for f in ("fma_score", "fma_classify"))
    return {
        "bytes": len(write(network)),
        "accuracy": float(np.mean((scores > threshold(network, problem)) == problem.faults)),
        "cores": {core: asdict(cost) for core, cost in cores.items() if cost},
        "score_code": alone.code,
        "image": image.flash,
    }


def emlearn_inference(problem: Problem) -> dict[str, Any]:
    """Measures emlearn's C code of the float network on the Cortex-M4F."""
    python = python_of("emlearn", EMLEARN, "--skip emlearn")
    rows = features.device_inputs(problem.preparation, problem.layers, problem.raw)
    with TemporaryDirectory() as name:
        folder = Path(name)
        arrays = {f"{i}.weight": layer.weights for i, layer in enumerate(problem.layers)}
        arrays |= {f"{i}.bias": layer.biases for i, layer in enumerate(problem.layers)}
        np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
        script = HERE / "cortex" / "emlearn_code.py"
        command = [python, script, folder / "weights.npz", folder / "emlearn_net.h"]
        # It compiles in the working directory, too.
        printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout  # noqa: S603
        headers, installed = printed.splitlines()[-2:]
        include = [folder, HERE / "cortex" / "libc", Path(headers)]
        elf = compiled.elf([HERE / "cortex" / "emlearn.c"], include, M4, ["emlearn_score"])
    emulator = Emulator(elf, M4)
    input_, score_ = emulator.allocate(4 * INPUTS), emulator.allocate(4)
    scores, calls = [], []
    for row in rows:
        emulator.write(input_, row.tobytes())
        call = emulator.call("emlearn_score", input_, score_, count=len(calls) < 16)
        scores.append(np.frombuffer(emulator.read(score_, 4), np.float32)[0])
        calls += [call] if call.instructions else []
    check(np.array(scores), problem)
    measured = sizes(elf)
    return {
        "version": installed,
        "accuracy": float(np.mean((np.array(scores) > threshold(problem.layers, problem)) == problem.faults)),
        "instructions": round(float(np.mean([call.instructions for call in calls]))),
        "cycles": round(float(np.mean([call.cycles for call in calls]))),
        "code": measured.code,
        "image": measured.flash,
        "ram": measured.ram,
        "stack": max(call.stack for call in calls),
    }


def learning(network: QuantizedNetwork, problem: Problem) -> dict[str, Any]:
    """Measures learning on the Cortex-M4F; ends the program unless this machine learns the same bits."""
    raw, labels = problem.raw[:STEPS], problem.faults[:STEPS].astype(int)
    rows = features.device_inputs(problem.preparation, network, raw)
    units = len(split(network).trunk[-1].biases)
    with TemporaryDirectory() as name:
        folder = Path(name)
        texts(folder, network, problem, header(network))
        here, there = (replay.learn(folder, units, rows, labels, where) for where in ("zig", M4))
    if here.states != there.states:
        sys.exit("error: what the Cortex-M4F has learned is not what this machine has learned")
    assert there.cost is not None  # noqa: S101
    return {"steps": STEPS} | asdict(there.cost)


def texts(folder: Path, network: DeployedNetwork, problem: Problem, head: str | None, target: str = "") -> None:
    """Writes a network's firmware into a folder."""
    files: Mapping[str, str] = codegen.files(
        "benchmark", network, problem.preparation, 0.5, problem.raw[:16], head, target=target
    )
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def threshold(network: DeployedNetwork, problem: Problem) -> float:
    """Chooses the threshold with which a network is right most often on what it was trained on."""
    raw = problem.preparation.raw(problem.inputs)
    scores = integer.firmware_scores(network, features.device_inputs(problem.preparation, network, raw))
    candidates = np.arange(256) / 256
    right = [float(np.mean((scores > candidate) == problem.labels)) for candidate in candidates]
    return float(candidates[np.argmax(right)])


def check(scores: np.ndarray, problem: Problem) -> None:
    """Ends the program if scores of the test samples are far off the float network's."""
    rows = features.device_inputs(problem.preparation, problem.layers, problem.raw)
    difference = float(np.abs(scores - integer.firmware_scores(problem.layers, rows)).mean())
    if not difference <= TOLERANCE:
        sys.exit(f"error: the scores are {difference:.3f} off the float network's on average")


if __name__ == "__main__":
    main()

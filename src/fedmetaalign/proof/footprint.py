"""What a device's model takes, in float32, in uint8 and as it is deployed: the columns of the paper's Table II.

The paper compares a Keras file with a `.tflite` file on a computer. Here all formats are `.tflite` files in one
interpreter, as it comes (LiteRT with XNNPACK, one thread), and beside that latency stands what the firmware
takes on a microcontroller. Float32 and uint8 have the layers of the deployed network, which under a recipe's
`deploy.max_bytes` is a smaller one than the recipe's, and the weights that its integers stand for.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.proof import replay
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml import codegen, golden, windows
from fedmetaalign.tinyml.bundle_facts import format_of
from fedmetaalign.tinyml.compiled import installed
from fedmetaalign.tinyml.head import floats
from fedmetaalign.tinyml.network import DeployedNetwork, Interface, QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.toolchain import CORES

CLOCK = 64e6
"""Cycles a second of the microcontroller: an nRF52840's, among others."""

_TURNS = 2000  # inferences of each model, taken in turns
_COUNTED = 16  # samples that go through the emulator


@dataclass(frozen=True)
class Footprint:
    """What one format of one device's model takes.

    Attributes:
        device: its name.
        format: float32, uint8, or what else is deployed.
        deployed: whether it is what the device received.
        bytes: of the `.tflite` file.
        microseconds: of one inference in LiteRT on this machine, the median.
        speedup: share of the float32 model's time that it saves; None for float32 itself.
        instructions: of one inference of the firmware on a Cortex-M4F; None where the extra `firmware` is not
            installed.
        milliseconds: the same in time, by an estimate of its cycles, at 64 MHz. Of a model that takes windows
            of a signal both are of a whole window, with its features.
        flash: bytes of its code and constants, from a sample to a decision.
        ram: bytes of RAM of the same, with the window and the stack.
    """

    device: str
    format: str
    deployed: bool
    bytes: int
    microseconds: float
    speedup: float | None
    instructions: int | None
    milliseconds: float | None
    flash: int | None
    ram: int | None


def footprint(folder: Path, watch: Callable[[str], None] = lambda name: None) -> list[Footprint]:
    """Measures the models of a bundle, or of all bundles of a run.

    Args:
        folder: a bundle or a run folder.
        watch: called with the device that is measured.

    Raises:
        BundleError: the folder holds neither, or a bundle is damaged.
        ToolError: the firmware does not compile, or stops.
    """
    found = [folder] if (folder / "bundle.json").exists() else sorted((folder / "devices").glob("*/"))
    if not found:
        raise BundleError(f"{folder} is neither a bundle nor a finished run: give the folder of one of them.")
    measured: list[Footprint] = []
    for path in found:
        watch(path.name)
        measured += _device(path)
    return measured


def latencies(models: Mapping[str, DeployedNetwork], turns: int = _TURNS) -> dict[str, float]:
    """Measures inference in LiteRT, one sample at a time.

    Args:
        models: by name; they take turns, so that a busy machine disturbs all alike.
        turns: how often each runs.

    Returns:
        The median time of each, in microseconds.
    """
    interpreters = {name: _interpreter(network) for name, network in models.items()}
    times: dict[str, list[int]] = {name: [] for name in models}
    for _ in range(turns):
        for name, interpreter in interpreters.items():
            before = time.perf_counter_ns()
            interpreter.invoke()
            times[name].append(time.perf_counter_ns() - before)
    return {name: median(taken) / 1000 for name, taken in times.items()}


def _device(folder: Path) -> list[Footprint]:
    bundle = bundles.read(folder)
    raw = golden.samples(folder, bundle.preparation, bundle.labels)
    raw = raw[~bundle.preparation.broken(raw).any(axis=1)]
    deployed = bundle.network
    layers = floats(deployed)
    uint8 = quantize(layers, bundle.preparation.apply(bundle.preparation.whole(raw)))
    models: dict[str, DeployedNetwork] = {"float32": layers, "uint8": uint8}
    name = format_of(deployed) if isinstance(deployed, QuantizedNetwork) else "float32"
    models[name] = deployed
    times = latencies(models)
    rows = []
    for kind, network in models.items():
        cost = _cost(bundle, network, raw[:_COUNTED])
        rows.append(
            Footprint(
                bundle.device,
                kind,
                kind == name,
                len(write(network)),
                round(times[kind], 3),
                None if kind == "float32" else round(1 - times[kind] / times["float32"], 4),
                None if cost is None else cost.instructions,
                None if cost is None else round(1000 * cost.cycles / CLOCK, 3),
                None if cost is None else cost.code + cost.constants,
                None if cost is None else cost.ram + cost.stack,
            )
        )
    return rows


def _cost(bundle: bundles.Bundle, network: DeployedNetwork, raw: np.ndarray) -> replay.Cost | None:
    """Counts instructions on an emulated Cortex-M4F; None where that is not installed."""
    if not installed("ziglang", "unicorn", "elftools"):
        return None
    texts = codegen.files(
        bundle.device, network, bundle.preparation, bundle.threshold, raw, labels=bundle.labels
    )
    with TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        if bundle.preparation.signal is not None:
            shown = windows.made(bundle.preparation.signal)[:1]
            return replay.stream(Path(folder), bundle.preparation, network, shown, CORES["cortex-m4"]).cost
        return replay.score(Path(folder), network, raw, CORES["cortex-m4"]).cost


def _interpreter(network: DeployedNetwork) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=write(network), num_threads=1)
    interpreter.allocate_tensors()
    interface, (taken,) = Interface.of(network), interpreter.get_input_details()
    interpreter.set_tensor(taken["index"], np.zeros((1, interface.inputs), interface.input))
    return interpreter

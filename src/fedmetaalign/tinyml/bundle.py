"""What one device receives: a folder that is complete, and says so with a sha256 of every file."""

import csv
import hashlib
import io
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors.numpy import save

from fedmetaalign.errors import BundleError
from fedmetaalign.preparation import Preparation
from fedmetaalign.tinyml.network import SCORE, Layers, QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize_input
from fedmetaalign.tinyml.runtimes import Runtime, scores
from fedmetaalign.tinyml.tflite_reader import read as read_model

VERSION = 1
"""Of the layout of bundle.json."""

FILES = ("model.tflite", "golden.csv", "weights.safetensors")
"""What a bundle holds beside bundle.json."""


@dataclass(frozen=True)
class Bundle:
    """A device's model with all that belongs to it.

    Attributes:
        device: its name.
        preparation: from raw features to inputs.
        threshold: a sample is a fault if its deployed score is strictly greater.
        threshold_note: why the threshold is a fallback; None where it was chosen.
        target: the microcontroller that the firmware is meant for.
        runtime: whose rounding the threshold was chosen with.
        model: the .tflite file.
    """

    device: str
    preparation: Preparation
    threshold: float
    threshold_note: str | None
    target: str
    runtime: Runtime
    model: bytes

    def scores(self, x: np.ndarray, runtime: Runtime | None = None) -> np.ndarray:
        """Returns the deployed scores of raw features, (rows, features) float64 -> (rows,) float64."""
        return scores(self.model, self.preparation.apply(x), runtime or self.runtime)

    def outside(self, x: np.ndarray) -> int:
        """Counts the samples with an input beyond the calibrated range, where the model saturates."""
        network = read_model(self.model)
        if not isinstance(network, QuantizedNetwork):
            return 0
        grid, inputs = network.input, self.preparation.apply(x)
        low, high = ((limit - grid.zero_point) * grid.scale for limit in (-128.5, 127.5))
        return int(((inputs < low) | (inputs > high)).any(axis=1).sum())


def write(
    folder: Path, bundle: Bundle, layers: Layers, golden: np.ndarray, versions: Mapping[str, str]
) -> None:
    """Writes a bundle's folder, whole or not at all.

    Args:
        folder: replaced if it exists.
        bundle: what to write.
        layers: float32 weights and biases of each layer, kept for further training.
        golden: (rows, features) float64, raw samples whose scores the bundle promises.
        versions: of the software that made it.
    """
    files = {
        "model.tflite": bundle.model,
        "golden.csv": _golden(bundle, golden).encode(),
        "weights.safetensors": save(
            {f"{i}.{kind}": a for i, (w, b) in enumerate(layers) for kind, a in (("weight", w), ("bias", b))}
        ),
    }
    network = read_model(bundle.model)
    facts = {
        "version": VERSION,
        "device": bundle.device,
        "preparation": asdict(bundle.preparation),
        "threshold": bundle.threshold,
        "threshold_note": bundle.threshold_note,
        "target": bundle.target,
        "runtime": bundle.runtime,
        "quantization": _quantization(network),
        "bytes": {name: len(data) for name, data in files.items()},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "versions": dict(versions),
    }
    files["bundle.json"] = (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read(folder: Path) -> Bundle:
    """Reads a bundle and checks every file against its sha256.

    Raises:
        BundleError: something is missing, damaged or altered; the sentence names the file.
    """
    path = folder / "bundle.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            raise BundleError(
                f"{path} has layout {facts['version']}, this version reads {VERSION}: make it again."
            )
        if set(facts["sha256"]) != set(FILES):
            raise ValueError(f"it describes other files than {', '.join(FILES)}")
        contents = {}
        for name in FILES:
            contents[name] = (folder / name).read_bytes()
            if hashlib.sha256(contents[name]).hexdigest() != facts["sha256"][name]:
                raise BundleError(
                    f"{folder / name} is not the file that bundle.json describes: copy the bundle again."
                )
        p = facts["preparation"]
        preparation = Preparation(
            features=tuple(p["features"]),
            units=tuple(p["units"]),
            categories={name: tuple(values) for name, values in p["categories"].items()},
            mean=tuple(map(float, p["mean"])),
            scale=tuple(map(float, p["scale"])),
            columns=tuple(map(int, p["columns"])),
        )
        bundle = Bundle(
            device=str(facts["device"]),
            preparation=preparation,
            threshold=float(facts["threshold"]),
            threshold_note=facts["threshold_note"],
            target=str(facts["target"]),
            runtime=facts["runtime"],
            model=contents["model.tflite"],
        )
        if not math.isfinite(bundle.threshold) or bundle.runtime not in get_args(Runtime):
            raise ValueError(f"threshold {bundle.threshold} or runtime {bundle.runtime!r} is not one")
        if _inputs(read_model(bundle.model)) != len(preparation.columns):
            raise ValueError("its columns are not the model's inputs")
        return bundle
    except FileNotFoundError as error:
        raise BundleError(f"{error.filename} is missing: {folder} is not a complete bundle.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy the bundle again.") from None


def _inputs(network: QuantizedNetwork | list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Returns how many inputs a network takes."""
    first = network.layers[0].weights if isinstance(network, QuantizedNetwork) else network[0][0]
    return len(first)


def _golden(bundle: Bundle, x: np.ndarray) -> str:
    """Returns golden.csv: raw features, the bytes that the model takes (uint8 files), scores, decisions."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    network = read_model(bundle.model)
    inputs = bundle.preparation.apply(x)
    quantized = (
        quantize_input(network, inputs) if isinstance(network, QuantizedNetwork) else np.empty((len(x), 0), int)
    )
    names = bundle.preparation.features
    table.writerow([*names, *(f"q{i}" for i in range(quantized.shape[1])), "score", "fault"])
    for row, bytes_, score in zip(x, quantized, bundle.scores(x), strict=True):
        raw = [
            _text(value, bundle.preparation.categories.get(name))
            for name, value in zip(names, row, strict=True)
        ]
        table.writerow([*raw, *bytes_.tolist(), repr(float(score)), int(score > bundle.threshold)])
    return out.getvalue()


def _text(value: float, categories: tuple[str, ...] | None) -> str:
    """Returns a raw feature as a table of raw samples holds it."""
    return repr(float(value)) if categories is None else categories[int(value)]


def _quantization(network: QuantizedNetwork | list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    if not isinstance(network, QuantizedNetwork):
        return {"format": "float32"}
    return {
        "format": "uint8",
        "input": asdict(network.input.unsigned),
        "score": asdict(SCORE.unsigned),
    }

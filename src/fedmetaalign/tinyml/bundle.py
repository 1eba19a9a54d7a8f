"""What one device receives: a folder that is complete, and says so with a sha256 of every file."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from fedmetaalign.drift import Followed, Reference, follow
from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.operators import Layer
from fedmetaalign.signals import features
from fedmetaalign.tinyml import codegen, decision, golden, weights_file, windows
from fedmetaalign.tinyml.bundle_facts import preparation_facts, preparation_of, quantization
from fedmetaalign.tinyml.features import device_inputs, outside
from fedmetaalign.tinyml.network import DeployedNetwork, Interface, Layers, arrays
from fedmetaalign.tinyml.runtimes import Runtime, run
from fedmetaalign.tinyml.spread import over_the_range
from fedmetaalign.tinyml.tflite_reader import read as read_model

VERSION = 5
"""Of the layout of bundle.json."""

VERSIONS = (2, 3, 4, VERSION)
"""Those that are read: 2 has no curves, and neither has a rule for missing values; up to 4 they hold C code,
and say of every sample of a raw window how it is prepared."""

_TRIED = 500  # random samples of a bundle that may answer the same to all

_WITHOUT_CODE = 5  # the first layout whose C code is made when it is asked for

FILES = ("model.tflite", "golden.csv", "weights.safetensors")
"""What a bundle holds beside bundle.json."""

FIRMWARE = "firmware"
"""A folder of C code within a bundle: its own up to layout 4, and else where one was unpacked."""


@dataclass(frozen=True)
class Bundle:
    """A device's model with all that belongs to it.

    Attributes:
        device: its name.
        preparation: from raw features to inputs.
        threshold: a sample is a fault if the deployed probability of one is strictly greater.
        threshold_note: why the threshold is a fallback; None where it was chosen.
        target: the microcontroller that the firmware is meant for.
        runtime: whose rounding the threshold was chosen with.
        model: the .tflite file.
        labels: the classes that it tells apart.
        reference: how its training samples were distributed; None where it cannot tell drift.
        table: how the device's own table is written, as far as that is known.
        constant: what it says of every sample that was tried when it was written, "normal" or "fault", whatever
            the values; None where it tells samples apart.
        parsed: what `model` holds, where whoever wrote it knows; else it is read.
    """

    device: str
    preparation: Preparation
    threshold: float
    threshold_note: str | None
    target: str
    runtime: Runtime
    model: bytes
    labels: Target = BINARY
    reference: Reference | None = None
    table: TableFormat = field(default_factory=TableFormat)
    constant: str | None = field(default=None, compare=False)
    parsed: DeployedNetwork | None = field(default=None, compare=False, repr=False)

    @cached_property
    def network(self) -> DeployedNetwork:
        """What the .tflite file holds.

        Raises:
            BundleError: it is damaged.
        """
        return read_model(self.model) if self.parsed is None else self.parsed

    def scores(self, x: np.ndarray, runtime: Runtime | None = None) -> np.ndarray:
        """Returns the deployed scores of raw features, (rows, measured) float64, as `runtimes.scores` does.

        A broken value is filled by the bundle's rule for missing values, or by the mean where that fills none.
        """
        inputs = device_inputs(self.preparation, self.network, x)
        return run(self.network, inputs, runtime or self.runtime)

    def faults(self, scores: np.ndarray) -> np.ndarray:
        """Returns which samples are faults, (rows,) bool, from their scores."""
        return decision.predict(scores, self.labels, self.threshold)

    def decisions(self, x: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Returns what the device says of raw features with these scores, (rows,) uint8 of `Decision`."""
        return decision.decide(scores, self.labels, self.threshold, self.preparation, x)

    def kinds(self, scores: np.ndarray) -> np.ndarray | None:
        """Returns the likeliest fault of each sample, (rows,) int64, from their scores; None of two classes."""
        return decision.kinds(scores, self.labels) if self.labels.outputs > 1 else None

    def drift(self, x: np.ndarray, scores: np.ndarray, before: Followed | None = None) -> Followed | None:
        """Follows samples as they drift away from those of training; None where the bundle cannot tell.

        Args:
            x: (rows, measured) float64, in order of time; those of a broken sensor are left out.
            scores: of them, as `scores` returns them.
            before: what this returned of earlier samples.
        """
        if self.reference is None:
            return None
        said = self.decisions(x, scores)
        rows = np.flatnonzero(said != decision.Decision.SENSOR_FAULT)
        found = follow(self.reference, x[rows], said[rows] == decision.Decision.FAULT, before)
        return replace(found, since=np.append(rows, -1)[found.since])

    def outside(self, x: np.ndarray) -> int:
        """Counts the whole samples with an input beyond the calibrated range, where the model saturates."""
        return int(np.count_nonzero(outside(self.preparation, self.network, x) > 0))


def write(
    folder: Path,
    bundle: Bundle,
    layers: Layers,
    raw: np.ndarray,
    versions: Mapping[str, str],
    first: int = 0,
) -> str:
    """Writes a bundle's folder, whole or not at all.

    Args:
        folder: replaced if it exists.
        bundle: what to write.
        layers: the float network, kept for further training; what they are beside their arrays stands in the
            metadata of weights.safetensors.
        first: number of the first of them that is kept; those before it are the fleet's.
        raw: (rows, measured) float64, samples whose scores the bundle promises; some with broken values, which
            are made of them, take the place of those that have such values.
        versions: of the software that made it.

    Returns:
        The digest that bundle.json gives of itself, and so of every file that it names.
    """
    network, preparation = bundle.network, bundle.preparation
    good = raw[~preparation.broken(raw).any(axis=1)]
    good = golden.some(preparation, good)
    raw = np.concatenate([good, golden.on_broken(preparation, good)]) if len(good) else raw
    signals = None
    if preparation.signal is not None:
        signals = windows.made(preparation.signal)
        raw = np.concatenate([raw, features(preparation.signal, signals)])
    inputs = device_inputs(preparation, network, raw)
    scores = run(network, inputs, bundle.runtime)
    constant = _constant(bundle, raw)
    vectors = golden.Golden(raw, inputs, scores, bundle.decisions(raw, scores), bundle.kinds(scores))
    files = {
        "model.tflite": bundle.model,
        "golden.csv": golden.text(vectors, preparation, bundle.labels).encode(),
        "weights.safetensors": save(
            {f"{i}.{k}": v for i, layer in enumerate(layers[first:], first) for k, v in arrays(layer).items()},
            weights_file.metadata(layers[first:]),
        ),
    }
    if preparation.signal is not None and signals is not None:
        files[windows.NAME] = windows.text(preparation.signal, signals).encode()
    codegen.check(network)
    facts = {
        "version": VERSION,
        "device": bundle.device,
        "preparation": preparation_facts(preparation),
        **({} if preparation.signal is None else {"signal": asdict(preparation.signal)}),
        "threshold": bundle.threshold,
        "threshold_note": bundle.threshold_note,
        **({"constant": constant} if constant else {}),
        "target": bundle.target,
        "runtime": bundle.runtime,
        **({} if bundle.labels == BINARY else asdict(bundle.labels)),
        **({"table": told} if (told := bundle.table.to_dict()) else {}),
        **({} if bundle.reference is None else {"drift": bundle.reference.to_dict()}),
        "quantization": quantization(network),
        "firmware": codegen.sources_digest(),
        "bytes": {name: len(data) for name, data in files.items()},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "versions": dict(versions),
    }
    facts["digest"] = digest(facts)
    files["bundle.json"] = (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode()
    partial, old = (folder.with_name(f".{folder.name}.{what}") for what in ("partial", "old"))
    _put_back(old, folder)  # after a power cut
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        # A folder cannot take the place of one that is not empty: the old one is first moved out of the way.
        if folder.exists():
            folder.replace(old)
        partial.replace(folder)
    finally:
        _put_back(old, folder)
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
    return str(facts["digest"])


def _constant(bundle: Bundle, raw: np.ndarray) -> str | None:
    """Returns what a bundle says of samples, and of others all over their range, if it is the same of all."""
    network, preparation = bundle.network, bundle.preparation
    tried = np.concatenate([raw, over_the_range(preparation, network, _TRIED)])
    tried = tried[~preparation.broken(tried).any(axis=1)]
    if not len(tried):
        return None
    faults = bundle.faults(run(network, device_inputs(preparation, network, tried), bundle.runtime))
    return "fault" if faults.all() else None if faults.any() else "normal"


def _put_back(old: Path, folder: Path) -> None:
    """Puts a bundle back in its place that was moved away, where none has come there."""
    if old.exists() and not folder.exists():
        old.replace(folder)


def digest(facts: Mapping[str, Any]) -> str:
    """Returns the sha256 of what bundle.json says, but for "digest" itself."""
    said = {key: value for key, value in facts.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read(folder: Path | str) -> Bundle:
    """Reads a bundle and checks every file against its sha256.

    Raises:
        BundleError: something is missing, damaged or altered; the sentence names the file.
    """
    folder = Path(folder)
    path = folder / "bundle.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] not in VERSIONS:
            raise BundleError(
                f"{path} has layout {facts['version']}, this version reads 2 to {VERSION}: make it again."
            )
        if not _complete(set(facts["sha256"]), "signal" in facts, facts["version"] < _WITHOUT_CODE):
            raise ValueError(f"it has to describe {', '.join(FILES)}, and no other file")
        contents = {}
        for name in facts["sha256"]:
            contents[name] = (folder / name).read_bytes()
            if hashlib.sha256(contents[name]).hexdigest() != facts["sha256"][name]:
                raise BundleError(
                    f"{folder / name} is not the file that bundle.json describes: copy the bundle again."
                )
        preparation = preparation_of(facts)
        labels = BINARY
        if "classes" in facts:
            labels = Target(tuple(map(str, facts["classes"])), tuple(map(int, facts["normal"])))
        bundle = Bundle(
            device=facts["device"],
            preparation=preparation,
            threshold=float(facts["threshold"]),
            threshold_note=facts["threshold_note"],
            target=str(facts["target"]),
            runtime=facts["runtime"],
            model=contents["model.tflite"],
            labels=labels,
            constant=facts.get("constant"),
            table=TableFormat.read(facts.get("table", {})),
            reference=Reference.read(facts["drift"]) if "drift" in facts else None,
        )
        if bundle.constant not in (None, "normal", "fault"):
            raise ValueError(f"constant is {bundle.constant!r}, and not normal or fault")
        if bundle.reference and bundle.reference.edges.shape[1] != len(preparation.measured):
            raise ValueError("its drift is not that of its features")
        if not math.isfinite(bundle.threshold) or bundle.runtime not in get_args(Runtime):
            raise ValueError(f"threshold {bundle.threshold} or runtime {bundle.runtime!r} is not one")
        if Interface.of(bundle.network).inputs != len(preparation.columns):
            raise ValueError("its columns are not the model's inputs")
        if (outputs := Interface.of(bundle.network).outputs) != labels.outputs:
            raise ValueError(f"its {len(labels.classes)} classes are not those of a model of {outputs} outputs")
        if facts["digest"] != digest(facts):
            raise BundleError(f"{path} has been altered: copy the bundle again, or make it again.")
        return bundle
    except FileNotFoundError as error:
        raise BundleError(f"{error.filename} is missing: {folder} is not a complete bundle.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy the bundle again.") from None


def read_weights(folder: Path) -> list[Layer]:
    """Reads the float layers of a bundle that `read` has checked: all, or the last ones."""
    with safe_open(folder / "weights.safetensors", "numpy") as file:
        first = min(int(name.partition(".")[0]) for name in file.keys())  # noqa: SIM118 - no dict
        return weights_file.layers(file.metadata(), file.get_tensor, first)


def _complete(names: set[str], signal: bool, code: bool) -> bool:
    """Tells whether these are the files of a bundle, with C code perhaps, and none outside its folder."""
    firmware = {name for name in names if re.fullmatch(rf"{FIRMWARE}/\w+\.(c|h|md)", name)}
    known = {*FILES, windows.NAME} if signal else {*FILES}
    return known == names - firmware and (f"{FIRMWARE}/fma_model.h" in firmware if code else not firmware)

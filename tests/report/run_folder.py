"""A run folder as a run writes it, with made-up numbers, for a fleet of any size."""

import json
import math
from pathlib import Path
from typing import Any

STAGES = ("foundation", "serial", "parallel", "personalized", "deployed")

RECIPE = """name = "{name}"
seed = 7

[fleet]
simulator = "feeder"
count = {count}
samples = 400

[parallel]
rounds = 10
aggregation = "similarity"
floor = 0.1
"""


CANDIDATES = [
    {"way": way, "bits": 8, "bytes": size, "difference": difference, "accuracy": accuracy, "shipped": shipped}
    for way, size, difference, accuracy, shipped in (
        ("whole", 50_992, 0.0069, 0.95, False),
        ("low rank", 9_776, 0.1848, 0.9, False),
        ("pruned to 64 units, low rank", 9_740, 0.0136, None, True),
    )
]
"""The models that a device's was chosen from; the first is larger than the 10 000 bytes asked for."""

BUNDLE = {
    "version": 1,
    "preparation": {
        "features": ["Type", "Ia"],
        "units": ["", "A"],
        "categories": {"Type": ["L", "M", "H"]},
        "mean": [0.5, -7.25],
        "scale": [1.0, 1089.8508],
        "columns": [0, 1, 0, -1],
    },
    "threshold_note": None,
    "quantization": {"format": "uint8", "input": {"scale": 0.03125, "zero_point": 125}},
    "bytes": {"model.tflite": 51392, "golden.csv": 1839},
    "sha256": {"model.tflite": "ab" * 32, "golden.csv": "cd" * 32},
    "versions": {"fedmetaalign": "0.1.0", "jax": "0.10.2"},
}


def metrics(accuracy: float, threshold: float = 0.5) -> dict[str, float | None]:
    return {
        "accuracy": accuracy,
        "f1": accuracy - 0.02,
        "precision": accuracy - 0.01,
        "recall": accuracy - 0.03,
        "balanced_accuracy": accuracy - 0.015,
        "mcc": 2 * accuracy - 1.05,
        "pr_auc": min(1.0, accuracy + 0.01),
        "brier": (1 - accuracy) * 0.8,
        "threshold": threshold,
    }


def device(index: int) -> dict[str, Any]:
    """A device's part of results.json.

    Number 2 of every twelve is worse than its own one-rule baseline, number 5 is worse than alone.
    """
    level = 0.905 + 0.06 * math.sin(1.7 * index)
    threshold = 0.5 + 0.2 * math.sin(index)
    accuracies = {
        "foundation": level - 0.34 + 0.05 * math.cos(index),
        "serial": level - 0.12 + 0.03 * math.sin(3 * index),
        "parallel": level - 0.05 + 0.02 * math.cos(2 * index),
        "personalized": level + 0.015,
        "deployed": level + 0.012,
    }
    return {
        "stages": {stage: metrics(accuracies[stage], threshold) for stage in STAGES},
        "threshold": threshold,
        "threshold_note": None,
        "majority": 0.68 + 0.05 * math.cos(index),
        "one_rule": {
            "accuracy": level + 0.02 if index % 12 == 2 else level - 0.07,
            "rule": "Ia > 3.2",
        },
        "alone": metrics(level + 0.037 if index % 12 == 5 else level - 0.028, 0.4),
        "samples": {"test": 80, "serial": 64, "parallel": 160, "personalize": 320, "train": 320},
        "model_bytes": 52_480 + 16 * index,
    }


def rounds(names: list[str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"phase": 0, "round": r, "device": "public", "support_loss": 0.68 * 0.8**r, "query_loss": None}
        for r in range(1, 6)
    ]
    for r in range(1, 11):
        for i, name in enumerate(names):
            loss = 0.25 + 0.45 * math.exp(-r / (3 + i % 4)) + 0.02 * math.sin(2 * r + i)
            entries.append({"phase": 1, "round": r, "device": name, "query_loss": loss + 0.1})
        alignments = [0.75 + 0.2 * math.sin(r / 3 + 1.3 * i) for i in range(len(names))]
        weights = [max(0.1, a) / (1.3 + 0.05 * (i % 5)) for i, a in enumerate(alignments)]
        for i, name in enumerate(names):
            loss = 0.1 + 0.28 * math.exp(-r / (2 + i % 5)) + 0.015 * math.cos(3 * r + i)
            entries.append(
                {
                    "phase": 2,
                    "round": r,
                    "device": name,
                    "support_loss": loss * 0.9,
                    "query_loss": loss,
                    "score": 1 / (1 + loss),
                    "alignment": alignments[i],
                    "weight": weights[i] / sum(weights),
                    "delta_norm": 0.2 / r,
                }
            )
    return entries


def results(names: list[str]) -> dict[str, Any]:
    return {"devices": {name: device(i) for i, name in enumerate(names)}, "fleet": {}}


def write_run(
    folder: Path,
    names: list[str],
    result: dict[str, Any] | None = None,
    entries: list[dict[str, Any]] | None = None,
    recipe: str | None = None,
    bundle: dict[str, Any] | None = None,
) -> Path:
    """Writes a run folder; the bundle is that of the first device."""
    folder.mkdir(parents=True, exist_ok=True)
    text = RECIPE.format(name="demo", count=len(names)) if recipe is None else recipe
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    manifest = {
        "versions": {"fedmetaalign": "0.1.0", "python": "3.11.7", "jax": "0.10.0"},
        "seed": 7,
        "data": {"feeder.csv": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        "seconds": {"foundation": 1.25, "serial": 3.5, "parallel": 11.0, "personalize": 2.0},
        "started": "2026-01-02T03:04:05+00:00",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    lines = (json.dumps(entry) + "\n" for entry in (rounds(names) if entries is None else entries))
    (folder / "rounds.jsonl").write_text("".join(lines), encoding="utf-8")
    content = results(names) if result is None else result
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    if bundle is not None:
        path = folder / "devices" / names[0].replace("/", "") / "bundle.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(bundle), encoding="utf-8")
    return folder


def fleet_names(count: int) -> list[str]:
    return [f"feeder-{i + 1:02d}" for i in range(count)]

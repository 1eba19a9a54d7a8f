"""The method fleet where each device has met some kinds only and is to know them all."""

import json

import numpy as np
import pytest
from over_flower import over_flower
from safetensors.numpy import load_file

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run

MEANS = {"ok": (0, 0), "hot": (4, 0), "worn": (0, 4), "loose": (-4, 0), "wet": (0, -4)}
HAVE = {"fan-1": ("ok", "hot", "worn"), "fan-2": ("ok", "loose", "wet"), "fan-3": tuple(MEANS)}


@pytest.fixture
def recipe(tmp_path):
    """Three fans whose test recordings hold every kind."""
    random, sources = np.random.default_rng(0), []
    for name, have in HAVE.items():
        rows = ["heat,noise,state,part"]
        for part, states in (("old", have), ("new", MEANS)):
            for state in states:
                for x, y in random.normal(MEANS[state], 0.6, size=(30, 2)):
                    rows.append(f"{x},{y},{state},{part}")
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        features = ["heat", "noise"]
        source = {"name": name, "table": str(path), "label": "state", "normal": ["ok"], "features": features}
        sources.append(source)
    return recipes.parse(
        {
            "method": "fleet",
            "fleet": {"devices": sources, "scaling": "fleet"},
            "splits": {"kind": "units", "unit": "part", "test_units": ["new"], "reuse": True},
            "model": {"hidden": [8], "inputs": "features"},
            "optimizer": {"learning_rate": 1e-2},
            "serial": {"rounds": 4, "decay": "cosine"},
            "groups": {"alignment": -1.0},
            "teaching": {"folds": 2, "samples": 100},
            "personalize": {"epochs": 2, "freeze": 0.0, "threshold": 0.5},
            "deploy": {"calibration": "error", "threshold": "personalized"},
        },
        "here",
    )


@pytest.mark.usefixtures("no_report", "few_trees")
def test_who_never_met_a_kind_tells_it_all_the_same_and_over_flower_with_the_same_bits(recipe, tmp_path):
    run(recipe, tmp_path / "local")
    over_flower(recipe, tmp_path / "nodes", tmp_path / "flower")
    for name in ("checkpoint.safetensors", "results.json", "rounds.jsonl"):
        assert (tmp_path / "flower" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    kept = load_file(tmp_path / "local/checkpoint.safetensors")
    assert kept["memory.kinds.fan-1"].tolist() == [True, False, True, False, True]  # hot loose ok wet worn
    devices = json.loads((tmp_path / "local/results.json").read_text())["devices"]
    assert [devices[name]["blend"]["name"] == "kinds" for name in HAVE] == [True, True, False]
    for name in ("fan-1", "fan-2"):
        assert devices[name]["alone"]["class_accuracy"] < 0.7  # two of five kinds are strange to it
        assert devices[name]["stages"]["deployed"]["class_accuracy"] > 0.9

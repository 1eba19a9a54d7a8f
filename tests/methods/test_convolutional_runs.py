"""A run with a convolutional network: resumed, and over Flower, it ends in the same bytes."""

import numpy as np
import pytest
from over_flower import over_flower
from recordings import folder

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run
from fedmetaalign.run_folder import RunFolder
from fedmetaalign.tinyml.bundle import read

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The recipe of three machines, the folder of a run that nobody stopped, and its results."""
    home = tmp_path_factory.mktemp("machines")
    folder(home, machines=3, rows=480, runs=3)
    given = recipes.parse(
        {
            "fleet": {
                "table": str(home / "m*.csv"),
                "label": "state",
                "normal": ["normal"],
                "time": "t",
                "window": {"length": 48, "by": "run", "channels": ["accel"], "front": ["raw"]},
            },
            "model": {
                "kind": "cnn",
                "convolutions": [{"filters": 4, "kernel": 8, "stride": 4}, {"kind": "max", "size": 0}],
                "hidden": [4],
            },
            "optimizer": {"learning_rate": 1e-2},
            "serial": {"rounds": 1},
            "parallel": {"rounds": 3, "cohort": 0.7},
            "transport": {"receive": "float16", "send": "int8"},
            "personalize": {"epochs": 1},
            "evaluation": {"alone": False},
        },
        "here",
    )
    out = home / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
        return given, out, run(given, out)


def test_it_resumes_to_the_same_bytes(undisturbed, deterministic, tmp_path, monkeypatch):
    given, expected, _ = undisturbed
    whole = RunFolder.checkpoint

    def stopping(folder, state, records):
        whole(folder, state, records)
        if state.done == 2:
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "checkpoint", stopping)
        with pytest.raises(InterruptedError):
            run(given, tmp_path / "run")
    run(given, tmp_path / "run", resume=True)
    assert deterministic(tmp_path / "run") == deterministic(expected)


def test_over_flower_it_gives_the_same_bytes(undisturbed, deterministic, tmp_path):
    given, expected, results = undisturbed
    over_flower(given, tmp_path, out := tmp_path / "flower", patience=1.0)
    here, there = deterministic(expected), deterministic(out)
    for name in ("recipe.toml", "checkpoint.safetensors", "results.json", "rounds.jsonl"):
        assert there.get(name) == here.get(name), name
    for device in results["devices"]:
        assert deterministic(tmp_path / device / "state/bundle") == deterministic(expected / "devices" / device)


def test_it_ends_in_bundles_of_convolutions(undisturbed):
    _, out, results = undisturbed
    for device in results["devices"]:
        bundle = read(out / "devices" / device)
        names = [type(layer).__name__ for layer in bundle.network.layers]
        assert names == ["QuantizedConvolution", "QuantizedPool", "QuantizedDense", "QuantizedDense"]
        scores = bundle.scores(np.zeros((2, 48)))
        assert scores.shape == (2, 3)

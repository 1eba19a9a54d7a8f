"""What programs outside read from a run folder, and that it survives being stopped at any point."""

import hashlib
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import version

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.phases.server import State
from fedmetaalign.recipe import parse
from fedmetaalign.run_folder import RunFolder, check_free, free_folder
from fedmetaalign.system.locking import Lock
from fedmetaalign.system.writing import replace, writing_to

STAGES = ["foundation", "serial", "parallel", "personalized", "deployed"]
METRICS = {
    "accuracy",
    "f1",
    "precision",
    "recall",
    "balanced_accuracy",
    "mcc",
    "pr_auc",
    "brier",
    "threshold",
}


@pytest.fixture
def recipe():
    return parse({"fleet": {"simulator": "feeder"}}, "here")


@pytest.fixture
def folder(recipe, tmp_path):
    return RunFolder.create(tmp_path / "run", recipe)


def values(tree):
    """The keys and the leaves of a JSON value."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from values(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from values(value)
    else:
        yield tree


# The contract


def test_a_finished_run_holds_these_files_and_no_other(finished):
    files = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*") if path.is_file()}
    of_a_bundle = {"model.tflite", "bundle.json", "golden.csv", "weights.safetensors"}
    of_the_run = {
        "recipe.toml",
        "fleet.json",
        "manifest.json",
        "rounds.jsonl",
        "results.json",
        "checkpoint.safetensors",
        "checkpoint.json",
        "report.html",
        "status.json",
    }
    assert {name for name in files if "/" not in name} == of_the_run
    for i in range(3):
        bundle = {name.removeprefix(f"devices/feeder-0{i}/") for name in files if f"feeder-0{i}/" in name}
        assert of_a_bundle <= bundle
    assert not [name for name in files if "partial" in name]


def test_the_results_tell_of_every_device_at_every_stage(finished):
    results = finished.json("results.json")
    assert list(results["devices"]) == ["feeder-00", "feeder-01", "feeder-02"]
    for device in results["devices"].values():
        assert list(device["stages"]) == STAGES
        for metrics in device["stages"].values():
            assert set(metrics) == METRICS
        assert {"threshold", "majority", "samples", "one_rule", "model_bytes", "threshold_note"} <= set(device)
        assert device["samples"] == {"serial": 40, "parallel": 100, "personalize": 60, "train": 200, "test": 50}
        assert device["threshold"] == device["stages"]["deployed"]["threshold"]
        # The global models are judged at 0.5: their threshold is nobody's yet.
        assert [device["stages"][stage]["threshold"] for stage in STAGES[:3]] == [0.5, 0.5, 0.5]
    assert list(results["fleet"]["stages"]) == STAGES
    assert results == finished.results


def test_the_results_hold_no_place_and_no_time(finished, csv_fleet):
    text = (finished.folder / "results.json").read_text(encoding="utf-8")
    assert str(finished.folder.parent) not in text
    assert str(csv_fleet) not in text
    found = [value for value in values(json.loads(text)) if isinstance(value, str)]
    assert not [value for value in found if "/" in value or ":" in value or value in ("seconds", "started")]


@pytest.mark.parametrize("name", ["results.json", "manifest.json", "checkpoint.json"])
def test_the_numbers_in_json_are_finite(finished, name):
    numbers = [value for value in values(finished.json(name)) if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))


def test_the_records_are_one_a_phase_round_and_device(finished):
    lines = (finished.folder / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    devices = ["feeder-00", "feeder-01", "feeder-02"]
    seen = sorted((record["phase"], record["round"], record["device"]) for record in records)
    assert seen == [
        (0, 1, "public"),
        *((phase, number, device) for phase in (1, 2, 3) for number in (1, 2) for device in devices),
    ]
    assert [record["phase"] for record in records] == sorted(record["phase"] for record in records)
    for record in records:
        if record["phase"] in (1, 2):
            assert {"support_loss", "query_loss", "accuracy"} <= set(record)
            assert 0 <= record["accuracy"] <= 1
        if record["phase"] == 2:
            assert {"score", "alignment", "weight", "delta_norm"} <= set(record)
            assert record["score"] == pytest.approx(1 / (1 + record["query_loss"]))
            assert -1 <= record["alignment"] <= 1
            assert record["delta_norm"] > 0
    for number in (1, 2):
        weights = [r["weight"] for r in records if (r["phase"], r["round"]) == (2, number)]
        assert sum(weights) == pytest.approx(1)


def test_the_manifest_tells_where_the_numbers_come_from(finished, csv_fleet):
    manifest = finished.json("manifest.json")
    assert manifest["seed"] == 5
    assert manifest["versions"]["fedmetaalign"] == version("fedmetaalign")
    assert {"jax", "jaxlib", "numpy", "ai-edge-litert", "python"} <= set(manifest["versions"])
    assert manifest["data"] == {
        str(path.resolve()): hashlib.sha256(path.read_bytes()).hexdigest() for path in csv_fleet.glob("*.csv")
    }
    assert manifest["seconds"]["parallel"] >= 0
    assert manifest["resumed_after_rounds"] == 0
    assert manifest["started"].endswith("Z")


def test_a_resumed_run_says_after_how_many_rounds(finished, cli, tmp_path):
    out = tmp_path / "run"
    for name in ("recipe.toml", "rounds.jsonl", "checkpoint.safetensors", "checkpoint.json"):
        out.mkdir(exist_ok=True)
        (out / name).write_bytes((finished.folder / name).read_bytes())
    assert cli("run", "--resume", "--out", out).status == 0
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["resumed_after_rounds"] == 5


def test_the_recipe_is_filled_with_every_default(finished):
    raw = tomllib.loads((finished.folder / "recipe.toml").read_text(encoding="utf-8"))
    network = {"kind": "mlp", "inputs": 9, "convolutions": [], "hidden": [8, 4], "padding": "zeros"}
    assert raw["model"] == network
    assert raw["splits"]["parallel"] == 0.5
    assert raw["parallel"]["floor"] == 0.1
    assert raw["optimizer"] == {"name": "adam", "learning_rate": 0.01, "batch_size": 1}
    assert recipes.load(str(finished.folder / "recipe.toml")) == finished.recipe


def test_the_checkpoint_holds_the_global_weights_of_every_phase(finished):
    arrays = load_file(finished.folder / "checkpoint.safetensors")
    assert set(arrays) == {"weights", "stage.foundation", "stage.serial", "stage.parallel"}
    parameters = 10 * 8 + 9 * 4 + 5
    assert {array.shape for array in arrays.values()} == {(parameters,)}
    assert np.array_equal(arrays["weights"], arrays["stage.parallel"])
    assert finished.json("checkpoint.json")["done"] == 5


def test_the_report_needs_no_network(finished):
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "feeder-02" in page
    for reaching_out in ('src="http', "src='http", "<link", "@import", "<script src"):
        assert reaching_out not in page


def test_the_report_can_be_made_again_from_the_folder_alone(finished, cli, here):
    shutil.copytree(finished.folder, here / "run", ignore=shutil.ignore_patterns("report.html"))
    outcome = cli("report", "run")
    assert (outcome.status, outcome.out, outcome.err) == (0, "run/report.html\n", "")
    assert (here / "run/report.html").read_bytes() == (finished.folder / "report.html").read_bytes()


# Making and opening


@pytest.mark.parametrize("made", ["", "run", "a/b"])
def test_a_new_folder_holds_the_recipe_and_no_records_and_the_folders_above_are_made(recipe, tmp_path, made):
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    folder = RunFolder.create(tmp_path / (made or "a/b/c"), recipe)
    assert tomllib.loads((folder.path / "recipe.toml").read_text(encoding="utf-8"))["name"] == "recipe"
    assert (folder.path / "rounds.jsonl").read_bytes() == b""
    assert folder.restore(2) is None


@pytest.mark.parametrize("name", [".notes", "rounds.jsonl"])
def test_a_folder_with_a_hidden_file_or_with_records_without_a_recipe_is_not_empty(recipe, tmp_path, name):
    (tmp_path / name).write_bytes(b"{}\n")
    with pytest.raises(RunError, match="is not empty: choose another --out"):
        RunFolder.create(tmp_path, recipe)


@pytest.mark.parametrize("left", [(".recipe.toml.partial",), ("rounds.jsonl", ".recipe.toml.partial")])
def test_what_a_call_left_that_was_killed_in_the_middle_does_not_count(recipe, tmp_path, left):
    for name in left:
        (tmp_path / name).touch()
    RunFolder.create(tmp_path, recipe)
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml", "rounds.jsonl"}


def test_to_ask_whether_a_folder_is_free_makes_nothing(tmp_path):
    check_free(tmp_path / "a/b")
    check_free(tmp_path)
    assert list(tmp_path.iterdir()) == []


BUSY = r"Another run writes to .*run: wait until it ends, or choose another --out\."

HOLDER = """
import sys
from pathlib import Path
from fedmetaalign.system.locking import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_who_writes_to_a_folder_keeps_others_out_for_as_long_as_he_does(folder, recipe, tmp_path):
    log = folder.path / "rounds.jsonl"  # another process has another descriptor of it, as here
    with pytest.raises(BlockingIOError):
        Lock(log)
    folder.log([{"phase": 0}])  # writing lets nobody in, nor does going back
    folder.restore(2)
    with pytest.raises(RunError, match=BUSY):
        RunFolder.reopen(folder.path, recipe)
    with folder:
        pass
    RunFolder.reopen(folder.path, recipe)
    RunFolder.create(tmp_path / "other", recipe)  # and nobody refers to it any more
    RunFolder.reopen(tmp_path / "other", recipe)


def test_a_process_that_is_killed_lets_go(recipe, tmp_path):
    log = RunFolder.create(tmp_path / "run", recipe).path / "rounds.jsonl"
    command = [sys.executable, "-c", HOLDER, str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:  # noqa: S603
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=BUSY):
            RunFolder.reopen(log.parent, recipe)
        other.kill()
    RunFolder.reopen(log.parent, recipe)


def test_what_was_checkpointed_is_restored_and_the_stages_in_the_order_of_the_phases(folder):
    stages = {name: np.full(3, i, np.float32) for i, name in enumerate(("foundation", "serial", "parallel"))}
    memory = {"feeder 1/weights": np.array([np.pi, 3.0]), "\u00e4": np.zeros((2, 2), np.float32)}
    state = State(np.array([0.1, -2, 3], np.float32), 7, stages, memory)
    folder.checkpoint(state, [{"phase": 1, "round": 2, "device": "a", "support_loss": 0.5}])
    restored = folder.restore(3)
    assert (restored.done, list(restored.stages)) == (7, ["foundation", "serial", "parallel"])
    assert restored.weights.tobytes() == state.weights.tobytes()
    for found, kept in ((restored.stages, stages), (restored.memory, memory)):
        assert {n: (a.dtype, a.tolist()) for n, a in found.items()} == {
            n: (a.dtype, a.tolist()) for n, a in kept.items()
        }


def test_records_after_the_last_checkpoint_are_cut_off(folder):
    log, line = folder.path / "rounds.jsonl", b'{"phase": 1, "round": 1, "device": "a"}\n'
    log.write_bytes(line)
    assert folder.restore(2) is None and log.read_bytes() == b""  # there was none yet
    folder.checkpoint(State(np.ones(2, np.float32), 1), [json.loads(line)])
    assert log.read_bytes() == line
    with log.open("ab") as file:
        file.write(b'{"phase": 1, "round": 2, "device": "a"}\n{"phase": 1, "ro')
    folder.restore(2)
    assert log.read_bytes() == line


def test_records_that_are_lost_are_reported(folder):
    folder.checkpoint(State(np.ones(2, np.float32), 1), [{"phase": 1, "round": 1, "device": "a"}])
    (folder.path / "rounds.jsonl").unlink()
    with pytest.raises(RunError, match=r"rounds\.jsonl is shorter than it says"):
        folder.restore(2)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 40, -1])
def test_a_truncated_checkpoint_is_reported(folder, keep):
    folder.checkpoint(State(np.ones(20, np.float32), 1), [])
    path = folder.path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged"):
        folder.restore(2)


@pytest.mark.parametrize("change", [{}, {"memory.optimizer.0": np.ones(1, np.float32)}])
def test_a_checkpoint_without_what_the_server_remembers_is_reported(folder, change):
    memory = {"optimizer.0": np.ones(2, np.float32)}
    folder.checkpoint(State(np.ones(2, np.float32), 1, memory=memory), [])
    path = folder.path / "checkpoint.safetensors"
    arrays = {name: array for name, array in load_file(path).items() if not name.startswith("memory.")}
    with safe_open(path, "numpy") as file:
        save_file(arrays | change, path, file.metadata())
    with pytest.raises(RunError, match=r"is damaged \(it does not hold what its sha256 says\)"):
        folder.restore(2)


def test_a_weight_that_is_no_number_is_never_recorded(folder):
    with pytest.raises(ValueError, match="JSON"):
        folder.checkpoint(State(np.ones(2, np.float32), 1), [{"phase": 1, "support_loss": math.nan}])


# Writing a file


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", full)
        replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
    replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_a_folder_is_written_out_after_what_was_renamed_in_it(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        names = {path.name for path in tmp_path.iterdir()}
        synced.append(names if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    replace(tmp_path / "file.json", b"new")
    assert synced == ["file", {"file.json"}]


def test_a_disk_that_is_full_is_one_sentence(cli, csv_fleet, here, monkeypatch):
    calls = []

    def full(_):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = cli("run", csv_fleet / "recipe.toml", "--out", "full")
    assert outcome.status == 1
    assert outcome.err.startswith("fedmetaalign: ")
    assert outcome.err.count("\n") == 1


def test_the_first_free_name_is_taken(tmp_path):
    assert free_folder("demo", tmp_path) == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    assert free_folder("demo", tmp_path) == tmp_path / "demo-2"
    (tmp_path / "demo-2").touch()
    (tmp_path / "demo-4").mkdir()
    assert free_folder("demo", tmp_path) == tmp_path / "demo-3"


@pytest.mark.parametrize(
    ("more", "how"), [((), "use --resume"), (("run the same command again",), "run the same command again")]
)
def test_a_failed_write_says_how_to_go_on(tmp_path, more, how):
    with pytest.raises(RunError) as told, writing_to(tmp_path / "out", *more):
        (tmp_path / "missing/file").touch()
    assert str(told.value) == (
        f"Cannot write to {tmp_path / 'out'}: No such file or directory; fix that and {how},"
        " or choose another --out."
    )

"""Comparisons of real cell runs: what they may know, and that processes make what this one would."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
from comparing import SMALL, in_process

from fedmetaalign import recipe as recipes
from fedmetaalign.comparison import pool
from fedmetaalign.comparison.compare import Watcher, compare
from fedmetaalign.errors import RunError
from fedmetaalign.model.online import Samples


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    monkeypatch.setattr("fedmetaalign.report.comparison.figures.write", lambda comparison, folder: [])


@pytest.fixture
def recipe(tmp_path):
    def make(methods, **settings):
        path = tmp_path / "small.toml"
        path.write_text(SMALL, encoding="utf-8")
        given = {"compare.methods": methods, "compare.learning_rates": [1e-3, 1e-2], "compare.tune_seeds": 1}
        return recipes.with_settings(recipes.load(str(path)), given | settings)

    return make


def without_seconds(comparison):
    text = json.dumps(comparison)
    return json.loads(text, object_hook=lambda entry: {k: v for k, v in entry.items() if k != "seconds"})


def test_the_test_sets_decide_nothing(recipe, tmp_path, monkeypatch):
    in_process(monkeypatch)
    asked = recipe(["one_rule", "fed_meta_align_guarded"])
    clean = compare(asked, tmp_path / "clean", 2)
    fleet_of = pool._fleet

    def poisoned(given):
        fleet = fleet_of(given)
        return replace(fleet, test={name: Samples(-9 * s.x, 1 - s.y) for name, s in fleet.test.items()})

    monkeypatch.setattr(pool, "_fleet", poisoned)
    spoilt = compare(asked, tmp_path / "spoilt", 2)
    for name, row in clean["methods"].items():
        other = spoilt["methods"][name]
        for key in ("learning_rate", "tuning", "edge", "diverged", "steps", "bytes"):
            assert other[key] == row[key]
        assert other["fleet"]["brier"] != row["fleet"]["brier"]
    thresholds = [
        [
            line.split(",")[-4]
            for line in (tmp_path / name / "compare.csv").read_text(encoding="utf-8").splitlines()
        ]
        for name in ("clean", "spoilt")
    ]
    assert thresholds[0] == thresholds[1]


def test_validation_samples_decide_the_learning_rate(recipe, tmp_path, monkeypatch):
    in_process(monkeypatch)
    asked = recipe(["local_only"])
    clean = compare(asked, tmp_path / "clean", 1)["methods"]["local_only"]
    fleet_of = pool._fleet

    def poisoned(given):
        fleet = fleet_of(given)

        def spoil(device):
            query = Samples(device.own.query.x, 1 - device.own.query.y)
            return replace(device, own=replace(device.own, query=query))

        return replace(fleet, devices=tuple(map(spoil, fleet.devices)))

    monkeypatch.setattr(pool, "_fleet", poisoned)
    spoilt = compare(asked, tmp_path / "spoilt", 1)["methods"]["local_only"]
    assert spoilt["tuning"] != clean["tuning"]
    # What fits the labels better, fits their opposites worse.
    assert spoilt["learning_rate"] != clean["learning_rate"]


def test_a_rate_at_which_training_runs_away_is_not_chosen(recipe, tmp_path, monkeypatch):
    in_process(monkeypatch)
    settings = {"compare.learning_rates": [1e-2, 1.0], "parallel.server_learning_rate": 1e5}
    asked = recipe(["local_only", "fed_meta_align"], **settings)
    found = compare(asked, tmp_path / "out", 1)["methods"]
    assert found["fed_meta_align"]["diverged"] == [0]
    assert found["fed_meta_align"]["tuning"] == {"0.01": None, "1.0": None}
    assert found["fed_meta_align"]["fleet"]["accuracy"]["mean"] is None
    assert found["local_only"]["diverged"] == []


def test_unseen_devices_are_measured_with_the_models_that_they_receive(recipe, tmp_path, monkeypatch):
    in_process(monkeypatch)
    unseen = {"fleet.unseen.count": 1, "fleet.unseen.samples": 12}
    found = compare(recipe(["majority", "fedavg"], **unseen), tmp_path / "out", 1)
    assert (len(found["devices"]), found["unseen"]) == (2, ["milling-02"])
    for name in ("majority", "fedavg", "fedavg.global"):
        row = found["methods"][name]
        assert row["unseen"]["accuracy"]["values"] == row["devices"]["milling-02"]["accuracy"]["values"]
        assert row["unseen"]["accuracy"]["mean"] is not None
    assert set(found["stages"]["fedavg"]["final"]) == {"milling-00", "milling-01", "milling-02"}


def test_phase_0_is_common_and_counts_where_anything_is_trained(recipe, tmp_path, monkeypatch):
    made = in_process(monkeypatch)
    public = {"foundation.simulator": "feeder", "foundation.count": 1, "foundation.samples": 50}
    settings = public | {"foundation.enabled": True, "foundation.epochs": 3}
    methods = ["majority", "local_only", "fedavg"]
    plain = compare(recipe(methods), tmp_path / "plain", 1)["methods"]
    begun = compare(recipe(methods, **settings), tmp_path / "begun", 1)["methods"]
    assert begun["majority"]["steps"] == plain["majority"]["steps"] == 0
    for name in ("local_only", "fedavg", "fedavg.global"):
        assert begun[name]["steps"] - plain[name]["steps"] == 3 * 40  # four fifths of 50 samples
    assert made.starts == [0, 0]


class Killing(Watcher):
    """Kills the comparison's processes when it comes to the second stage."""

    def stage(self, name):
        if name == "running":
            for process in multiprocessing.active_children():
                process.kill()
                process.join()


@pytest.mark.slow
def test_processes_make_what_this_one_makes_even_if_they_were_killed(recipe, tmp_path, monkeypatch):
    asked = recipe(["majority", "local_only"])
    with pytest.raises(RunError, match="A process of the comparison was killed"):
        compare(asked, tmp_path / "out", 2, Killing(), workers=1)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").iterdir()}
    assert len(kept) == 3  # a start, and two learning rates of local_only
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cells", "recipe.toml"}
    found = compare(asked, tmp_path / "out", 2, workers=1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert multiprocessing.active_children() == []
    in_process(monkeypatch)
    assert without_seconds(compare(asked, tmp_path / "here", 2)) == without_seconds(found)


def test_an_error_does_not_wait_for_what_runs_beside_it(tmp_path):
    with pytest.raises(RunError, match="enough"), pool.processes(tmp_path, workers=1) as running:
        running.executor.submit(os.getpid).result()  # its process is there
        job = running.executor.submit(time.sleep, 600)
        while not job.running():
            time.sleep(0.01)
        raise RunError("enough")
    with pytest.raises(BrokenProcessPool):  # it was not let come to its end
        job.result(0)
    assert multiprocessing.active_children() == []


@pytest.fixture
def one_core():
    """What is started meanwhile may use one core, and so starts one process for its cells."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    yield
    if cores:
        os.sched_setaffinity(0, cores)


@pytest.mark.slow
@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (signal.SIGINT, 130, "fedmetaalign: stopped; the same command goes on where it was.\n"),
        (signal.SIGKILL, -signal.SIGKILL, None),
    ],
)
def test_a_command_that_is_stopped_leaves_no_process_and_no_part_of_a_cell(tmp_path, sent, status, told):
    compared = '[compare]\nmethods = ["majority", "fedavg"]\nlearning_rates = [0.01]\n'
    endless = SMALL.replace("epochs = 1", "epochs = 1000000") + compared
    (tmp_path / "endless.toml").write_text(endless, encoding="utf-8")
    call = [sys.executable, "-m", "fedmetaalign", "compare", "endless.toml", "--seeds=1", "--out=out"]
    with subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as command:  # noqa: S603
        while not any((tmp_path / "out").glob("cells/*.json")):  # majority is done, fedavg is under way
            assert command.poll() is None
            time.sleep(0.1)
        command.send_signal(sent)
        _, err = command.communicate(timeout=600)  # ends when all processes have let go of standard error
    assert command.returncode == status
    assert err == told or told is None  # the resource tracker has its say about who was killed
    assert len([path for path in (tmp_path / "out/cells").iterdir() if path.suffix == ".json"]) == 1


def test_the_hostile_are_not_judged_and_change_what_the_others_learn(recipe, tmp_path, monkeypatch):
    in_process(monkeypatch)
    methods = ["local_only", "fedavg"]
    rates = {"compare.learning_rates": [1e-3]}
    honest = compare(recipe(methods, **rates), tmp_path / "honest", 1)
    attacked = {"compare.attack": "flip", "compare.hostile": 0.34}
    found = compare(recipe(methods, **rates, **attacked), tmp_path / "attacked", 1)
    judged = set(found["devices"])
    assert len(judged) == len(honest["devices"]) - 1 and judged < set(honest["devices"])
    for name in judged:
        alone = [each["methods"]["local_only"]["devices"][name] for each in (honest, found)]
        assert alone[0] == alone[1]
    assert any(
        honest["methods"]["fedavg"]["devices"][name] != found["methods"]["fedavg"]["devices"][name]
        for name in judged
    )

"""One recipe, one result: whatever the order of the answers, and however often the run was stopped."""

import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.errors import RunError
from fedmetaalign.federation.engine import Replies
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.fed_meta_align import METHOD
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.schedule import pretraining
from fedmetaalign.phases.server import Server
from fedmetaalign.recipe import Source
from fedmetaalign.run import Watcher, run, training_steps

pytestmark = pytest.mark.usefixtures("no_report")


class Stopped(Exception):  # noqa: N818 - stands for Ctrl-C or a crash
    """Raised by a watcher in the middle of a run."""


class StopBefore(Watcher):
    """Stops a run when it comes to the nth round of a phase."""

    def __init__(self, phase, nth=1):
        self._phase, self._left = phase, nth

    def phase(self, name):
        self._left -= name == self._phase
        if self._left == 0:
            raise Stopped


class StopAfterSteps(Watcher):
    """Stops a run in the middle of a device's training."""

    def __init__(self, steps):
        self._left = steps

    def advance(self, steps):
        self._left -= steps
        if self._left <= 0:
            raise Stopped


class Counting(Watcher):
    """Adds up what a run tells of itself."""

    def __init__(self):
        self.announced, self.taken, self.phases = 0, 0, []

    def begin(self, steps):
        self.announced = steps

    def phase(self, name):
        self.phases.append(name)

    def advance(self, steps):
        self.taken += steps


# The same seed


def test_the_files_that_have_to_be_the_same_are_compared(finished, deterministic):
    assert {
        "results.json",
        "rounds.jsonl",
        "recipe.toml",
        "checkpoint.safetensors",
        "devices/feeder-01/model.tflite",
        "devices/feeder-01/bundle.json",
        "devices/feeder-01/golden.csv",
        "devices/feeder-01/weights.safetensors",
    } <= set(deterministic(finished.folder))


class Backwards(LocalEngine):
    """Asks the devices in another order, and hands their answers on in it."""

    def exchange_each(self, requests, patience=0.0):
        replies = super().exchange_each(dict(reversed(requests.items())), patience)
        return Replies(dict(reversed(replies.answers.items())), replies.failed)


@pytest.mark.parametrize(
    "engine", [partial(LocalEngine, workers=1), partial(LocalEngine, workers=7), Backwards]
)
def test_neither_threads_nor_the_order_of_answers_change_a_byte(
    finished, deterministic, tmp_path, monkeypatch, engine
):
    monkeypatch.setattr("fedmetaalign.run.LocalEngine", engine)
    run(finished.recipe, tmp_path / "run")
    assert deterministic(tmp_path / "run") == deterministic(finished.folder)


def test_the_order_in_which_the_recipe_lists_the_devices_changes_nothing(csv_fleet, contents, tmp_path):
    listed = recipes.load(str(csv_fleet / "recipe.toml"))
    sources = [
        listed.fleet.model_copy(update={"table": str(csv_fleet / f"feeder-0{i}.csv")}).model_dump(
            include=set(Source.model_fields), exclude_none=True
        )
        for i in range(3)
    ]
    for folder, order in (("forwards", sources), ("backwards", sources[::-1])):
        raw = listed.model_dump(exclude={"fleet"}, exclude_none=True) | {"fleet": {"devices": order}}
        run(recipes.parse(raw, folder), tmp_path / folder)
    for name in ("results.json", "rounds.jsonl", "devices/feeder-02/bundle.json"):
        assert (tmp_path / "forwards" / name).read_bytes() == (tmp_path / "backwards" / name).read_bytes()


def test_another_seed_gives_other_models(finished, deterministic, tmp_path):
    run(finished.recipe.model_copy(update={"seed": 6}), tmp_path / "run")
    ours, theirs = deterministic(tmp_path / "run"), deterministic(finished.folder)
    assert set(ours) == set(theirs)
    for name in ("rounds.jsonl", "devices/feeder-00/model.tflite", "devices/feeder-00/golden.csv"):
        assert ours[name] != theirs[name]


def test_the_recipe_in_a_run_folder_gives_the_same_numbers_again(finished, deterministic, cli, here):
    assert cli("run", finished.folder / "recipe.toml", "--out", "again").status == 0
    assert deterministic(here / "again") == deterministic(finished.folder)


# Stopped and resumed


@pytest.mark.parametrize(
    "watcher",
    [
        StopBefore("foundation"),
        StopBefore("serial", 1),
        StopBefore("serial", 2),
        StopBefore("parallel", 1),
        StopBefore("parallel", 2),
        StopBefore("personalize"),
        *map(StopAfterSteps, (1, 250, 400, 700, 1000)),
    ],
    ids=lambda watcher: "-".join(["stop", *map(str, vars(watcher).values())]),
)
def test_a_run_that_was_stopped_is_resumed_to_the_same_bytes(finished, deterministic, tmp_path, watcher):
    with pytest.raises(Stopped):
        run(finished.recipe, tmp_path / "run", watcher=watcher)
    run(finished.recipe, tmp_path / "run", resume=True)
    assert deterministic(tmp_path / "run") == deterministic(finished.folder)


def test_a_run_that_is_stopped_again_and_again_comes_to_the_same_end(finished, deterministic, tmp_path):
    out = tmp_path / "run"
    for i, phase in enumerate(("serial", "parallel", "parallel", "personalize")):
        with pytest.raises(Stopped):
            run(finished.recipe, out, resume=i > 0, watcher=StopBefore(phase, 2 if i == 2 else 1))
    run(finished.recipe, out, resume=True)
    assert deterministic(out) == deterministic(finished.folder)


def test_a_process_that_was_killed_is_resumed_to_the_same_bytes(finished, deterministic, cli, tmp_path):
    out = tmp_path / "run"
    script = f"""
import os, pathlib, signal
from fedmetaalign import recipe, run

class Killer(run.Watcher):
    rounds = 0
    def phase(self, name):
        self.rounds += name == "parallel"
    def advance(self, steps):
        if self.rounds == 2:
            os.kill(os.getpid(), signal.SIGKILL)

run.run(recipe.load({str(finished.folder / "recipe.toml")!r}), pathlib.Path({str(out)!r}), watcher=Killer())
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)  # noqa: S603
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / "results.json").exists()
    assert cli("run", "--resume", "--out", out).status == 0
    assert deterministic(out) == deterministic(finished.folder)


def test_resuming_does_not_train_again_what_is_done_and_gets_to_the_end_of_what_it_announces(
    finished, tmp_path
):
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        run(finished.recipe, out, watcher=StopBefore("parallel", 2))
    watcher = Counting()
    run(finished.recipe, out, resume=True, watcher=watcher)
    assert watcher.phases.count("parallel") == 1
    assert not {"foundation", "serial"} & set(watcher.phases)
    assert watcher.taken == watcher.announced


def test_a_finished_run_is_resumed_to_the_same_bytes(finished, deterministic, tmp_path):
    run(finished.recipe, tmp_path / "run")
    run(finished.recipe, tmp_path / "run", resume=True)
    assert deterministic(tmp_path / "run") == deterministic(finished.folder)


@pytest.mark.parametrize("change", [{"seed": 6}, {"name": "other"}])
def test_another_recipe_cannot_go_on_with_a_run(finished, contents, tmp_path, change):
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        run(finished.recipe, out, watcher=StopBefore("parallel"))
    before = contents(out)
    with pytest.raises(RunError, match="was made by another recipe"):
        run(finished.recipe.model_copy(update=change), out, resume=True)
    assert contents(out) == before


@pytest.mark.parametrize("damaged", [True, False])
def test_a_checkpoint_that_is_damaged_or_of_another_network_is_one_sentence(finished, cli, tmp_path, damaged):
    out, other = tmp_path / "run", tmp_path / "other"
    with pytest.raises(Stopped):
        run(finished.recipe, out, watcher=StopBefore("parallel"))
    checkpoint, wrong = out / "checkpoint.safetensors", "fedmetaalign: "
    if damaged:
        checkpoint.write_bytes(b"not a checkpoint")
        wrong += f"{checkpoint} is damaged ("
    else:
        wider = finished.recipe.model_copy(update={"model": recipes.Model(hidden=(9, 4))})
        with pytest.raises(Stopped):
            run(wider, other, watcher=StopBefore("parallel"))
        (other / "checkpoint.safetensors").replace(checkpoint)
    outcome = cli("run", "--resume", "--out", out)
    assert outcome.status == 1
    assert outcome.err.startswith(wrong) and outcome.err.count("\n") == 1


def test_a_run_whose_devices_have_lost_their_memory_is_not_gone_on_with(finished, tmp_path):
    out = tmp_path / "run"
    recipe = recipes.with_settings(finished.recipe, {"method": "scaffold"})
    with pytest.raises(Stopped):
        run(recipe, out, watcher=StopBefore("parallel", 2))
    shutil.rmtree(out / "memory")
    with pytest.raises(RunError, match="memory is gone, where this run's devices keep what they need"):
        run(recipe, out, resume=True)


# Progress


@pytest.mark.parametrize("cohort", [1.0, 0.5])
def test_a_run_takes_the_steps_that_it_announces(finished, tmp_path, cohort):
    parallel = finished.recipe.parallel.model_copy(update={"cohort": cohort})
    watcher = Counting()
    run(finished.recipe.model_copy(update={"parallel": parallel}), tmp_path / "run", watcher=watcher)
    assert watcher.taken == watcher.announced > 0


def test_the_steps_are_counted_by_hand(finished):
    # 250 samples a device: 50 to test on, 40, 100 and 60 for the phases, of which a fifth is the query set.
    recipe = finished.recipe.model_copy(update={"evaluation": recipes.Evaluation(alone=False)})
    public = 240  # 300 samples without their query set, one epoch
    serial, parallel, personal = (3 * 2 * support for support in (32, 80, 48))
    fleet = build(recipe)
    learner = learner_of(recipe)
    clients = [Client(recipe, device, learner) for device in fleet.devices]
    engine = LocalEngine(DeviceRunner(client, METHOD) for client in clients)
    server = Server(recipe, engine, learner, fleet.public)
    plan = pretraining(server) + METHOD.rounds(server)
    assert training_steps(recipe, fleet, plan) == public + serial + parallel + personal
    assert training_steps(recipe, fleet, plan[1:]) == serial + parallel + personal

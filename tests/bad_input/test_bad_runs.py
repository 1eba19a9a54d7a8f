"""Runs that cannot be made small enough, or diverge, or are called wrongly."""

import json
import re
from pathlib import Path

import pytest


@pytest.fixture
def good(recipe, device_table):
    """A recipe that would run."""
    device_table().write(Path("pump.csv"))
    return recipe()


@pytest.mark.parametrize("name", ["uint8", "int8-float-head", "int4", "float32"])
def test_a_size_that_cannot_be_met_is_refused_before_training(good, refused, monkeypatch, name):
    monkeypatch.setattr("fedmetaalign.run._train", lambda *_: pytest.fail("it trained"))
    sentence = refused("run", good, "--set", "deploy.max_bytes=500", "--set", f"deploy.format='{name}'")
    told = re.fullmatch(
        rf"deploy.max_bytes = 500 cannot be met: the smallest {name} model that can be made of this network has"
        r" (\d+) bytes; raise it, or give model.hidden fewer layers\.",
        sentence,
    )
    assert told
    assert 1_000 < int(told[1]) < 1_800


@pytest.mark.usefixtures("no_report")
def test_a_size_that_only_a_smaller_network_meets_is_not_refused(good, cli):
    assert cli("run", good, "--set", "deploy.max_bytes=1600", "--out", "out").status == 0
    (model,) = Path("out/devices").glob("*/model.tflite")
    assert model.stat().st_size <= 1600


@pytest.mark.parametrize("name", ["../escape", "a/b", "{here}/absolute", "..", "."])
@pytest.mark.usefixtures("no_report")
def test_a_recipe_whose_name_is_a_path_writes_nowhere_but_in_runs(good, cli, here, name):
    outcome = cli("run", good, "--set", f"name='{name.format(here=here)}'")
    assert outcome.status in (0, 1)
    assert {path.name for path in here.iterdir()} <= {"recipe.toml", "pump.csv", "runs"}
    if outcome.status == 0:
        assert len(list(Path("runs").glob("*/results.json"))) == 1


# Resuming


def test_resuming_without_saying_which_run_is_a_wrong_call(good, cli, here):
    outcome = cli("run", good, "--resume")
    assert outcome.status == 2
    assert "--out" in outcome.err
    assert not (here / "runs").exists()


# Training that fails


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.learning_rate=1"],
        ["optimizer.learning_rate=1", "personalize.epochs=40"],
        ["parallel.server_learning_rate=1e5"],
        ["parallel.server_learning_rate=1e30"],
        ["parallel.server_learning_rate=1e30", "parallel.rounds=1"],
        ["parallel.server_learning_rate=1e38", "deploy.format=float32"],
        ["parallel.server_learning_rate=1e13", "parallel.rounds=1"],
    ],
)
def test_training_that_diverges_ends_in_one_sentence(good, cli, settings):
    outcome = cli("run", good, "--out", "out", *(word for s in settings for word in ("--set", s)))
    if outcome.status == 0:
        assert outcome.err == ""
        assert json.loads(Path("out/results.json").read_text(encoding="utf-8"))["devices"]
    else:
        assert outcome.status == 1
        assert outcome.err.startswith("fedmetaalign: ")
        assert outcome.err.count("\n") == 1
        assert "learning_rate" in outcome.err
        assert not Path("out/results.json").exists()


def test_weights_that_are_not_finite_end_the_run(good, cli):
    outcome = cli("run", good, "--out", "out", "--set", "parallel.server_learning_rate=1e300")
    assert outcome.status == 1
    assert outcome.err.startswith("fedmetaalign: Training has diverged: after parallel round ")

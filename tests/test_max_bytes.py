"""A run under a limit of size, from the recipe to the page."""

from dataclasses import replace

import numpy as np
import pytest
from pages import data_of

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import learner_of, network_of
from fedmetaalign.errors import RunError
from fedmetaalign.fleet.build import build
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.deploy import deploy
from fedmetaalign.phases.personalize import fine_tune
from fedmetaalign.report import write_report
from fedmetaalign.run import run
from fedmetaalign.tinyml.runtimes import scores


@pytest.fixture(scope="module")
def limited(finished, tmp_path_factory):
    """A run of the small recipe whose models may have 1,600 bytes: they have 1,648 otherwise."""
    recipe = recipes.with_settings(finished.recipe, {"deploy.max_bytes": 1600, "evaluation.alone": False})
    folder = tmp_path_factory.mktemp("limited") / "run"
    return folder, recipe, run(recipe, folder)


def test_every_model_fits_and_has_a_ladder(finished, limited):
    folder, _, results = limited
    for name, device in results["devices"].items():
        size = (folder / "devices" / name / "model.tflite").stat().st_size
        assert size == device["model_bytes"] <= 1600 < finished.results["devices"][name]["model_bytes"]
        (shipped,) = (candidate for candidate in device["ladder"] if candidate["shipped"])
        assert shipped["bytes"] == size
        assert shipped["way"] == "pruned to 4 units"
        assert device["ladder"][0]["way"] == "whole"
        assert device["ladder"][0]["bytes"] > 1600


def test_without_a_limit_there_is_no_ladder(finished):
    assert all("ladder" not in device for device in finished.results["devices"].values())


def test_training_is_the_same(finished, limited):
    folder, _, _ = limited
    assert (folder / "rounds.jsonl").read_bytes() == (finished.folder / "rounds.jsonl").read_bytes()


def test_the_page_shows_it(limited):
    folder, _, _ = limited
    page = write_report(folder).read_text(encoding="utf-8")
    assert len(data_of(page)["ladder"]) > 1
    assert "Pruned to 4 units" in page


def test_a_recipe_gives_the_same_bytes_again(limited, deterministic, tmp_path):
    folder, recipe, _ = limited
    run(recipe, tmp_path / "again")
    assert deterministic(tmp_path / "again") == deterministic(folder)


def test_a_size_missed_by_a_few_bytes_is_reported_after_training_at_the_latest(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("fedmetaalign.run.smallest_bytes", lambda *_: 0)
    recipe = recipes.with_settings(finished.recipe, {"deploy.max_bytes": 1000, "evaluation.alone": False})
    with pytest.raises(RunError, match=r"deploy\.max_bytes = 1000 cannot be met: .* has 15\d\d bytes; "):
        run(recipe, tmp_path / "run")


@pytest.mark.slow
def test_the_papers_size_costs_the_real_feeder_next_to_nothing(real_data):
    recipe = recipes.load("paper", ("foundation.enabled=false", "optimizer.learning_rate=3e-4"), data=real_data)
    fleet = build(recipe)
    feeder, network, learner = fleet.devices[0], network_of(recipe), learner_of(recipe)
    client = Client(recipe, feeder, learner)
    personal = fine_tune(client, learner.train(learner.initial(), feeder.train, "here").weights)
    test = fleet.test["feeder"]
    right = {}
    for most in (None, 22_790, 10_000):
        section = recipe.deploy.model_copy(update={"max_bytes": most, "threshold": "deployed"})
        given = replace(client, recipe=recipe.model_copy(update={"deploy": section}))
        found = deploy(given, network, personal)
        alarms = scores(found.model, test.x) > found.threshold.threshold
        right[most] = np.mean(alarms == (test.y > 0))
        assert len(found.model) <= (most or 51_200)
    assert right[None] > 0.98
    assert right[22_790] > right[None] - 0.005
    assert right[10_000] > right[None] - 0.01

"""Rounds over Flower that a device which answers nothing in time does not hold up."""

import json
from threading import Event

import pytest
from test_server_app import nodes_of, settings

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.client_app import app
from fedmetaalign.errors import RunError
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.serving.server_app import serve

pytestmark = pytest.mark.usefixtures("no_report")

RECIPE = {
    "fleet": {"simulator": "feeder", "count": 3, "samples": 100},
    "model": {"hidden": [4]},
    "serial": {"rounds": 0},
    "parallel": {"rounds": 3, "asynchronous": 2},
    "personalize": {"epochs": 1},
    "evaluation": {"alone": False},
}


def test_nobody_waits_for_a_device_that_sends_its_delta_when_the_rounds_are_over(tmp_path):
    recipe = recipes.parse(RECIPE, "here")
    (tmp_path / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    over = Event()

    def faults(name, reply):
        if reply.metadata.message_type == "train.finish":
            over.set()
        elif name == "feeder-01" and reply.metadata.message_type == "train.train":
            over.wait()
        return reply

    with InProcessGrid(app, nodes_of(recipe, tmp_path / "fleet"), workers=3, faults=faults) as grid:
        results = serve(grid, settings(tmp_path / "recipe.toml", tmp_path / "out"))
    assert sorted(results["devices"]) == ["feeder-00", "feeder-01", "feeder-02"]
    records = [json.loads(line) for line in (tmp_path / "out" / "rounds.jsonl").read_text().splitlines()]
    answered = [(r["round"], r["device"], r["staleness"]) for r in records if r["phase"] == 2]
    assert answered == [(n, device, 0) for n in (1, 2, 3) for device in ("feeder-00", "feeder-02")]


def test_more_deltas_than_devices_are_refused_before_the_first_round(tmp_path):
    recipe = recipes.parse({**RECIPE, "parallel": {"asynchronous": 4}}, "here")
    (tmp_path / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    with (
        InProcessGrid(app, nodes_of(recipe, tmp_path / "fleet")) as grid,
        pytest.raises(RunError, match="waits for 4 deltas, and 3 devices train: set it to 3 or less"),
    ):
        serve(grid, settings(tmp_path / "recipe.toml", tmp_path / "out"))

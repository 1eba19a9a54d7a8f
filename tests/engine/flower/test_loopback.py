"""One command, real processes: a run over Flower leaves the folder that a local run leaves, bit for bit."""

import json

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower import loopback
from fedmetaalign.errors import RunError
from fedmetaalign.run import run

RECIPE = {
    "name": "two",
    "fleet": {"simulator": "feeder", "count": 2, "samples": 200, "scaling": "fleet"},
    "model": {"hidden": [8, 4]},
    "optimizer": {"learning_rate": 0.01},
    "serial": {"rounds": 1},
    "parallel": {"rounds": 1},
    "transport": {"send": "int8"},
    "personalize": {"epochs": 2},
}


@pytest.mark.processes
@pytest.mark.slow
def test_a_run_over_flower_equals_a_local_one(cli, here, deterministic):
    recipe = recipes.parse(RECIPE, "here")
    (here / "two.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    done = cli("run", "two.toml", "--engine", "flower", "--out", "flower")
    assert done.status == 0, done.err
    run(recipe, here / "local")
    flower, local = deterministic(here / "flower"), deterministic(here / "local")
    own = {"run_id", "moments.safetensors"}
    assert own <= set(flower)
    assert {name: digest for name, digest in flower.items() if name not in own} == {
        name: digest for name, digest in local.items() if not name.startswith("residuals/")
    }
    assert "2 devices" in done.out
    assert not (here / ".flower.flower").exists()
    status = json.loads((here / "flower/status.json").read_text(encoding="utf-8"))
    assert status["state"] == "done"
    assert [device["present"] for device in status["devices"].values()] == [True, True]


def test_a_fleet_too_large_for_one_machine_is_refused_before_anything_is_started(here):
    recipe = recipes.parse(
        RECIPE | {"fleet": {"simulator": "feeder", "count": loopback.MOST + 1, "samples": 100}}, "here"
    )
    with pytest.raises(RunError, match=r"has 65 devices, and each would take 270 MB: use --engine local"):
        loopback.run_on_loopback(recipe, here / "run", resume=False)
    assert list(here.iterdir()) == []

"""The same recipe over Flower's messages, in this process: the same bits, phase by phase."""

import json
from functools import partial

import numpy as np
import pytest
from over_flower import nodes_of

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.run import run
from fedmetaalign.serving import server_app
from fedmetaalign.serving.server_app import Settings, serve

pytestmark = pytest.mark.usefixtures("no_report")

VARIANTS = {
    "paper": [],
    "fleet scaling": ["fleet.scaling=fleet"],
    "rounded": ["transport.send=int8", "transport.receive=float16", "parallel.rounds=3"],
    "half": ["transport.send=float16", "parallel.cohort=0.5"],
    "root": ["parallel.aggregation=fltrust", "evaluation.alone=false", "serial.rounds=0"],
}
KINDS = {
    "fleet": {"simulator": "feeder", "kinds": True, "count": 3, "samples": 250},
    "model": {"hidden": [8]},
    "optimizer": {"learning_rate": 0.01},
    "serial": {"rounds": 1},
    "parallel": {"rounds": 2},
    "personalize": {"epochs": 2},
}
"""Twelve classes, some of which each device has never seen."""


@pytest.fixture(scope="module", autouse=True)
def quick_polls():
    """Looks for answers as often as devices that take milliseconds deserve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_app, "FlowerEngine", partial(server_app.FlowerEngine, poll_interval=0.01))
        yield


def settings(recipe_file, out, **more):
    return Settings(
        recipe=str(recipe_file),
        out=str(out),
        **{"devices": 3, "wait": 600.0, "deadline": 600.0, "patience": 1.0, **more},
    )


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A recipe whose devices list the same features in another order; one lacks one, and one adds one."""
    folder = tmp_path_factory.mktemp("turned")
    random = np.random.default_rng(0)
    features = {"fan": ["vib", "temp"], "mill": ["temp", "vib"], "pump": ["flow", "vib"]}
    sources = []
    for name, columns in features.items():
        rows = [
            [*map(repr, row), int(sum(row) > 0)] for row in random.normal(size=(150, len(columns))).tolist()
        ]
        lines = [",".join(map(str, row)) for row in [[*columns, "fault"], *rows]]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        table = str(folder / f"{name}.csv")
        sources.append({"name": name, "table": table, "label": "fault", "features": columns})
    plan = {"foundation": {**sources[1], "epochs": 1}, "serial": {"rounds": 1}, "parallel": {"rounds": 2}}
    plan |= {"personalize": {"epochs": 2}, "model": {"hidden": [8, 4]}}
    return recipes.parse({"fleet": {"devices": sources, "scaling": "fleet"}, **plan}, "here")


def test_devices_that_list_their_features_in_another_order_have_the_same_bits_too(
    turned, deterministic, tmp_path
):
    (tmp_path / "recipe.toml").write_text(recipes.dump(turned), encoding="utf-8")
    run(turned, tmp_path / "local")
    with InProcessGrid(client_app, nodes_of(turned, tmp_path / "fleet")) as grid:
        serve(grid, settings(tmp_path / "recipe.toml", tmp_path / "flower"))
    local, flower = deterministic(tmp_path / "local"), deterministic(tmp_path / "flower")
    for name in ("checkpoint.safetensors", "results.json", "rounds.jsonl"):
        assert flower[name] == local[name], name
    columns = {"fan": [0, 1], "mill": [1, 0], "pump": [1, -1, 0]}
    for device, placed in columns.items():
        bundle = tmp_path / "local/devices" / device
        assert deterministic(tmp_path / "fleet" / device / "state/bundle") == deterministic(bundle)
        told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        assert told["preparation"]["columns"] == placed + [-1] * (9 - len(placed))
    notices = [
        "Some devices lack features of others, and have zeros in their place: 'temp' on pump.",
        "Some devices add features, whose inputs are zero on the others: 'flow' on pump.",
    ]
    for folder in ("local", "flower"):
        for file in ("manifest.json", "status.json"):
            assert json.loads((tmp_path / folder / file).read_text(encoding="utf-8"))["notices"] == notices


@pytest.mark.parametrize("variant", [*VARIANTS, "kinds"])
def test_both_engines_give_the_same_bits(finished, deterministic, tmp_path, variant):
    recipe = recipes.load(str(finished.folder / "recipe.toml"), VARIANTS.get(variant, []))
    if variant == "kinds":
        recipe = recipes.parse(KINDS, "here")
    (tmp_path / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    run(recipe, tmp_path / "local")
    with InProcessGrid(client_app, nodes_of(recipe, tmp_path / "fleet")) as grid:
        serve(grid, settings(tmp_path / "recipe.toml", tmp_path / "flower"))
    local, flower = deterministic(tmp_path / "local"), deterministic(tmp_path / "flower")
    for name in ("checkpoint.safetensors", "results.json", "rounds.jsonl", "recipe.toml"):
        assert flower[name] == local[name], name
    for device in json.loads((tmp_path / "local/results.json").read_text(encoding="utf-8"))["devices"]:
        at_home = deterministic(tmp_path / "fleet" / device / "state/bundle")
        assert at_home == deterministic(tmp_path / "local/devices" / device)
        assert not list((tmp_path / "fleet" / device / "state").glob("runs/*"))  # what no round needs any more
    assert not (tmp_path / "flower/devices").exists()  # bundles and personal weights stay on the devices

"""Runs recipes over Flower's messages in this process, each device with its table in a file of its own."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flwr.app import UserConfig

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.client_app import app
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.table_file import save_table
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.recipe import Recipe
from fedmetaalign.serving import server_app


def nodes_of(recipe: Recipe, folder: Path) -> dict[str, UserConfig]:
    """The configuration of each device's node, whose table and state lie in a folder of its name."""
    nodes: dict[str, UserConfig] = {}
    for table in raw_tables(recipe):
        home = folder / table.name
        save_table(table, home / "table.safetensors")
        nodes[table.name] = {
            "name": table.name,
            "table": str(home / "table.safetensors"),
            "state": str(home / "state"),
        }
    return nodes


def over_flower(recipe: Recipe, folder: Path, out: Path, **settings: Any) -> None:
    """Runs a recipe into a run folder `out`; the nodes' folders are put into `folder`.

    Answers are looked for as often as devices that take milliseconds deserve.
    """
    nodes = nodes_of(recipe, folder)
    (folder / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    given = {"recipe": str(folder / "recipe.toml"), "out": str(out), "devices": len(nodes), **settings}
    with pytest.MonkeyPatch.context() as patch, InProcessGrid(app, nodes) as grid:
        patch.setattr(server_app, "FlowerEngine", partial(server_app.FlowerEngine, poll_interval=0.005))
        server_app.serve(grid, server_app.Settings(**given))

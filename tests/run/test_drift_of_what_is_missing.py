"""A bundle's distribution of training is of what was measured, as its device follows what it measures."""

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle

RECIPE = """
name = "holes"
[fleet]
table = "*.csv"
label = "fault"
features = ["load", "heat"]
scaling = "fleet"
missing_values = "{}"
[model]
hidden = [4]
[serial]
rounds = 1
[parallel]
rounds = 1
[personalize]
epochs = 1
[evaluation]
alone = false
[deploy]
drift = true
"""


def write(folder, rule: str) -> None:
    random = np.random.default_rng(0)
    for name in ("fan", "pump"):
        heat, load = random.normal([70, 40], [5, 10], (300, 2)).T
        cells = ["" if i % 2 else f"{value:.3f}" for i, value in enumerate(heat)]
        rows = [f"{a:.3f},{b},{int(a > 45)}" for a, b in zip(load, cells, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["load,heat,fault", *rows]))
    (folder / "recipe.toml").write_text(RECIPE.format(rule))


@pytest.mark.parametrize("rule", ["median", "last", "flag"])
def test_no_value_that_was_put_in_is_counted(rule, tmp_path):
    write(tmp_path, rule)
    run(recipes.load(str(tmp_path / "recipe.toml")), tmp_path / "run")
    reference = bundle.read(tmp_path / "run" / "devices" / "pump").reference
    load, heat = reference.counts.sum(axis=(0, 2))
    assert 90 < heat < 150  # of 240 training rows about half have none
    assert load >= heat and load < 240  # samples of a broken sensor that are no fault are left out
    share = reference.counts[0, 1] / reference.counts[0, 1].sum()
    assert share.max() < 0.25  # a median in the place of half of the values would be in one bin


def test_a_table_file_keeps_what_was_carried_on(tmp_path):
    write(tmp_path, "last")
    table = raw_tables(recipes.load(str(tmp_path / "recipe.toml")))[0]
    save_table(table, tmp_path / "fan.safetensors")
    again = load_table(tmp_path / "fan.safetensors", "fan")
    assert again.holes.tolist() == table.holes.tolist() and again.holes[:, 1].sum() == 150

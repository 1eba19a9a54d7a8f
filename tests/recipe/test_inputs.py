"""`model.inputs = "features"`: the recipe counts, and from then on it is a number."""

import tomllib

import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet import simulators
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import builtin, dump, load, parse, variants, with_settings
from fedmetaalign.recipe.simulated import FEATURES, SIMULATORS

WIDE = [f"s{number}" for number in range(590)]


def table(features, name="a", **more):
    return {"name": name, "table": f"{name}.csv", "label": "fault", "features": features, **more}


def inputs(*devices, **more):
    return parse({"fleet": {"devices": devices}, "model": {"inputs": "features"}, **more}, "here").model.inputs


def test_the_numbers_of_the_simulators_features_are_theirs():
    assert tuple(FEATURES) == SIMULATORS
    for name, count in FEATURES.items():
        assert len(simulators.find(name)(1, 30, 0)[0].features) == count


@pytest.mark.parametrize(
    ("devices", "count"),
    [
        ([table(WIDE)], 590),
        ([table(["x", "y"])], 9),
        ([table(WIDE[:20], "a"), table(WIDE[10:25], "b")], 25),  # 10 in common
        ([table(WIDE[:12], "a"), table(WIDE[20:31], "b")], 12),  # nothing in common: one over the other
        ([table(WIDE[:12], "a"), table(WIDE[20:31], "b"), table(["s0", "s20"], "c")], 23),  # by way of c
        ([table(WIDE[:8], "a"), table(WIDE[:8], "b", units={"s0": "K"})], 9),  # 7 in common, 9 in all
        ([table(WIDE[:8], "a"), table(WIDE[:8], "b", units={"s0": "K", "s1": "K"})], 10),
        ([{"simulator": "feeder"}, {"simulator": "milling"}, {"simulator": "feeder", "name": "b"}], 9),
    ],
)
def test_related_devices_have_inputs_of_their_own(devices, count):
    assert inputs(*devices) == inputs(*reversed(devices)) == count


def test_the_public_table_has_room_too():
    assert inputs(table(["x"]), foundation=table(WIDE[:11], "public")) == 11


def test_a_recipe_that_is_dumped_changed_or_swept_has_the_number():
    recipe = parse({"fleet": table(WIDE), "model": {"inputs": "features"}}, "here")
    assert tomllib.loads(dump(recipe))["model"]["inputs"] == 590
    assert with_settings(recipe, {"seed": 3}).model.inputs == 590
    assert with_settings(recipe, {"model.inputs": 600}).model.inputs == 600
    assert parse({"fleet": table(WIDE)}, "here").model.inputs == 590
    narrow = parse({"fleet": table(WIDE), "model": {"inputs": 9}}, "here")
    assert narrow.model.inputs == 9
    assert with_settings(narrow, {"model.inputs": "features"}).model.inputs == 590


def test_a_wide_table_needs_no_word_about_inputs_in_a_recipe_that_extends_fleet(tmp_path):
    (tmp_path / "wide.toml").write_text(
        f'extends = "fleet"\n[fleet]\ntable = "wide.csv"\nlabel = "fault"\nfeatures = {WIDE}\n',
        encoding="utf-8",
    )
    rows = [[str((row * 7 + i) % 11) for i in range(590)] + [str(row % 2)] for row in range(40)]
    lines = [",".join(row) for row in [[*WIDE, "fault"], *rows]]
    (tmp_path / "wide.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = load(str(tmp_path / "wide.toml"))
    assert recipe.model.inputs == 590
    assert build(recipe).devices[0].train.x.shape[1] == 590


SIGNALS = {"bearings": 40, "mfpt": 25, "process": 416, "vibration": 25, "wafer": 152}
"""Recipes of signals, and how many features a window has."""


@pytest.mark.parametrize("name", [name for name in builtin() if name != "fleet"])
def test_the_recipes_of_this_package_keep_their_nine_but_for_windows(name):
    recipe = load(name)
    assert recipe.model.inputs == SIGNALS.get(name, 9)
    assert {variant.model.inputs for variant in variants(recipe).values()} <= {9}


def test_no_other_word_will_do():
    with pytest.raises(RecipeError, match=r"^here: model.inputs = 'columns' must be a valid integer\.$"):
        parse({"fleet": {"simulator": "feeder"}, "model": {"inputs": "columns"}}, "here")

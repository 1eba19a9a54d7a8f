"""A device that is made from its own table is the one that the whole fleet has under its name, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.local_device import build_device, hello, read_table
from fedmetaalign.fleet.shared import Shared, load_shared, save_shared, share
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.target import Target

SOURCES = {
    "simulated": {"simulator": "feeder", "count": 3, "samples": 120},
    "partitioned": {
        "table": "fleet/pump.csv",
        "label": "fault",
        "features": ["a", "b"],
        "partition": {"count": 3, "samples": 60, "test": "all", "gain": 0.2, "minimum": 5, "alpha": 10.0},
    },
    "units": {"simulator": "rotating", "count": 2, "samples": 900},
    "kinds": {"simulator": "milling", "count": 3, "samples": 200, "kinds": True},
    "states": {"table": "fleet/p*.csv", "label": "state", "features": ["b", "a"], "normal": ["ok"]},
    "csv": {"table": "fleet/p*.csv", "label": "fault", "features": ["b", "a"]},
}


def bits(device, test):
    arrays = [
        array
        for part in (*device.parts.values(), device.own)
        for pair in (part.support, part.query)
        for array in pair
    ]
    return [device.name, device.preparation, *(a.tobytes() for a in (*arrays, device.examples, *test))]


@pytest.fixture
def recipe_of(here):
    (here / "fleet").mkdir()
    random = np.random.default_rng(0)
    for name in ("pump", "pipe"):
        values = random.normal(size=(400, 2)).tolist()
        states = ["ok" if a + b < 0 else "jam" if a < b else f"worn {name}" for a, b in values]
        rows = [f"{a!r},{b!r},{int(a + b > 0)},{s}" for (a, b), s in zip(values, states, strict=True)]
        (here / "fleet" / f"{name}.csv").write_text(
            "a,b,fault,state\n" + "\n".join(rows) + "\n", encoding="utf-8"
        )

    def recipe(kind, scaling, encoding="linear"):
        splits = {"kind": "units", "unit": "event"} if kind == "units" else {}
        fleet = {**SOURCES[kind], "scaling": scaling, "encoding": encoding}
        return recipes.parse({"fleet": fleet, "splits": splits}, kind)

    return recipe


@pytest.mark.parametrize("encoding", ["linear", "quantiles"])
@pytest.mark.parametrize("scaling", ["device", "fleet"])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_device_is_made_alike_on_its_own_and_in_the_fleet(recipe_of, here, kind, scaling, encoding):
    recipe = recipe_of(kind, scaling, encoding)
    fleet = build(recipe)
    own = {}
    for table in raw_tables(recipe):
        save_table(table, here / f"{table.name}.safetensors")
        own[table.name] = read_table(recipe, table.name, here / f"{table.name}.safetensors")
    told = {name: hello(recipe, table) for name, table in own.items()}
    save_shared(share(told, recipe), here / "fleet.json")
    shared = load_shared(here / "fleet.json")
    for device in fleet.devices:
        found = build_device(recipe, own[device.name], shared.place(told[device.name], recipe.model))
        assert bits(*found) == bits(device, fleet.test[device.name])


def test_a_device_knows_the_kinds_that_only_others_have(recipe_of, here):
    recipe = recipe_of("states", "device")
    fleet = build(recipe)
    assert fleet.target == Target(("jam", "ok", "worn pipe", "worn pump"), (1,))
    told = {
        name: hello(recipe, read_table(recipe, name, here / f"fleet/{name}.csv")) for name in ("pipe", "pump")
    }
    assert told["pump"].classes == ("jam", "ok", "worn pump")
    place = share(told, recipe).place(told["pump"], recipe.model)
    table = read_table(recipe, "pump", here / "fleet/pump.csv")
    assert bits(*build_device(recipe, table, place)) == bits(fleet.devices[1], fleet.test["pump"])
    assert set(fleet.devices[1].train.y) == {0, 1, 3}


def test_a_csv_file_is_read_as_the_recipe_says(recipe_of, here):
    recipe = recipe_of("csv", "device")
    table = read_table(recipe, "pump", here / "fleet/pump.csv")
    assert (table.name, table.features, len(table)) == ("pump", ("b", "a"), 400)
    place = Shared().place(hello(recipe, table), recipe.model)
    assert bits(*build_device(recipe, table, place)) == bits(
        build(recipe).devices[1], build(recipe).test["pump"]
    )


def test_a_device_takes_the_columns_of_the_source_that_bears_its_name(here):
    (here / "t.csv").write_text("x,fault\n" + "1,0\n2,1\n" * 30, encoding="utf-8")
    sources = [
        {"name": "one", "table": "1.csv", "label": "fault", "features": ["x"]},
        {"name": "two", "table": "2.csv", "label": "bad", "features": ["y"]},
    ]
    recipe = recipes.parse({"fleet": {"devices": sources}}, "here")
    assert read_table(recipe, "one", here / "t.csv").features == ("x",)
    with pytest.raises(RecipeError, match="does not say which columns device three has: name it in one of"):
        read_table(recipe, "three", here / "t.csv")


def test_a_file_that_is_no_table_is_refused(here):
    (here / "t.safetensors").write_bytes(b"nonsense")
    with pytest.raises(
        DataError, match=r"t.safetensors is not a table that this program wrote .*: give a CSV file\."
    ):
        load_table(here / "t.safetensors", "pump")


def test_samples_that_are_no_numbers_are_refused(recipe_of, here):
    [table, *_] = raw_tables(recipe_of("csv", "device"))
    table.x[3, 1] = np.nan
    save_table(table, here / "t.safetensors")
    assert np.isnan(load_table(here / "t.safetensors", "pump").x[3, 1])  # the median will stand for it
    table = replace(table, missing=Missing("reject"))
    save_table(table, here / "t.safetensors")
    with pytest.raises(DataError, match="its samples do not fit its features, or are no numbers"):
        load_table(here / "t.safetensors", "pump")

import math
import tomllib

import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe import Recipe, builtin, dump, load, parse

SIMULATED = {"fleet": {"simulator": "feeder"}}


@pytest.fixture
def written(tmp_path):
    """Writes a recipe's text to a file."""

    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


FEEDERS = '[fleet]\nsimulator = "feeder"\n'


def test_the_defaults_are_those_of_the_paper():
    recipe = parse(SIMULATED, "here")
    assert recipe.model.hidden == (256, 128, 64, 32, 16, 12, 8)
    assert recipe.model.inputs == 9
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate, recipe.optimizer.batch_size) == (
        "adam",
        1e-5,
        1,
    )
    s = recipe.splits
    assert (s.test, s.serial, s.parallel, s.personalize, s.query) == (0.2, 0.2, 0.5, 0.3, 0.2)
    assert (s.kind, s.reuse) == ("rows", False)
    assert (recipe.serial.rounds, recipe.serial.epochs, recipe.serial.tours) == (10, 1, 1)
    p = recipe.parallel
    assert (p.rounds, p.epochs, p.aggregation, p.floor, p.reference) == (10, 1, "similarity", 0.1, "mean")
    assert (p.server_learning_rate, p.cohort, p.unit_norm) == (1.0, 1.0, False)
    assert (recipe.personalize.epochs, recipe.personalize.freeze, recipe.personalize.threshold) == (
        10,
        0.5,
        "f1",
    )
    assert (recipe.deploy.format, recipe.deploy.target, recipe.deploy.max_bytes) == ("uint8", "cortex-m4", None)


def test_the_built_in_recipes_are_demo_and_paper_and_both_load():
    assert {"demo", "paper"} <= set(builtin())
    for name in builtin():
        assert load(name).name == name


def test_the_built_in_paper_has_the_papers_devices_and_network():
    paper = load("paper")
    assert [device.name for device in paper.fleet.devices] == ["feeder", "machine"]
    assert [len(device.features) for device in paper.fleet.devices] == [6, 9]
    assert paper.model.hidden == (256, 128, 64, 32, 16, 12, 8)
    assert (paper.serial.rounds, paper.parallel.rounds, paper.personalize.epochs) == (10, 10, 10)
    assert paper.deploy.threshold == "personalized"


def test_a_phase_of_no_rounds_is_allowed():
    recipe = parse(SIMULATED | {"serial": {"rounds": 0}, "parallel": {"rounds": 0}}, "here")
    assert (recipe.serial.rounds, recipe.parallel.rounds) == (0, 0)


def test_phase_0_is_left_out_unless_it_is_given():
    assert not parse(SIMULATED, "here").foundation.enabled
    assert parse(SIMULATED | {"foundation": {"simulator": "milling"}}, "here").foundation.enabled


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_a_dumped_recipe_is_the_same_recipe(name):
    recipe = load(name)
    assert parse(tomllib.loads(dump(recipe)), "dump") == recipe


def test_a_recipe_with_every_kind_of_source_survives_being_dumped(written):
    path = written("""
        [[fleet.devices]]
        table = "a.csv"
        label = ["A", "B"]
        features = ["x", "y"]
        positive = ["yes", 2, 0.5]
        device = ["site", "unit"]
        [fleet.devices.categories]
        x = ["L", "M"]
        [fleet.devices.units]
        y = "A"
        [[fleet.devices]]
        table = "b.csv"
        label = "z"
        features = ["x"]
        partition = { by = ["A"], count = 3, alpha = 0.5 }
        [[fleet.devices]]
        simulator = "rotating"
        [splits]
        kind = "units"
        unit = "wave"
        [personalize]
        threshold = 0.25
        [deploy]
        max_bytes = 40000
    """)
    recipe = load(str(path))
    assert parse(tomllib.loads(dump(recipe)), "dump") == recipe
    assert recipe.fleet.devices[0].positive == ("yes", 2, 0.5)
    assert recipe.fleet.devices[1].partition.count == 3


def test_a_dump_holds_every_key_that_has_a_value():
    dumped = tomllib.loads(dump(parse(SIMULATED, "here")))
    assert dumped["parallel"] == {
        "rounds": 10,
        "epochs": 1,
        "aggregation": "similarity",
        "floor": 0.1,
        "reference": "mean",
        "unit_norm": False,
        "server_learning_rate": 1.0,
        "cohort": 1.0,
    }
    assert set(dumped) == set(Recipe.model_fields)


def test_the_name_is_that_of_the_file_unless_it_is_given(written):
    assert load(str(written(FEEDERS, "pumps.toml"))).name == "pumps"
    assert load(str(written('name = "valves"\n' + FEEDERS, "pumps.toml"))).name == "valves"


def test_tables_are_relative_to_the_recipe_or_to_the_data_folder(written, tmp_path):
    path = written('[fleet]\ntable = "a/b.csv"\nlabel = "y"\nfeatures = ["x"]\n')
    assert load(str(path)).fleet.table == str(tmp_path.resolve() / "a/b.csv")
    assert load(str(path), data=tmp_path / "elsewhere").fleet.table == str(
        tmp_path.resolve() / "elsewhere/a/b.csv"
    )


def test_a_table_with_its_whole_path_stays_where_it_is(written, tmp_path):
    path = written('[fleet]\ntable = "/srv/b.csv"\nlabel = "y"\nfeatures = ["x"]\n')
    assert load(str(path), data=tmp_path).fleet.table == "/srv/b.csv"


def test_settings_replace_keys_and_make_sections(written):
    recipe = load(
        str(written(FEEDERS)),
        [
            "parallel.rounds=3",
            "model.hidden=[8, 4]",
            "personalize.threshold=0.25",
            "name=with spaces",
            "fleet.simulator=rotating",
            "splits.reuse=true",
            "parallel.rounds = 4",
        ],
    )
    assert recipe.parallel.rounds == 4  # the last one counts
    assert recipe.model.hidden == (8, 4)
    assert recipe.personalize.threshold == 0.25
    assert recipe.name == "with spaces"
    assert recipe.fleet.simulator == "rotating"
    assert recipe.splits.reuse is True


def test_a_value_may_hold_an_equals_sign(written):
    assert load(str(written(FEEDERS)), ["name=a=b"]).name == "a=b"


def test_the_seed_of_the_call_replaces_the_recipes(written):
    path = str(written("seed = 3\n" + FEEDERS))
    assert load(path).seed == 3
    assert load(path, seed=9).seed == 9
    assert load(path, seed=0).seed == 0


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        parse(SIMULATED, "here").seed = 3


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("paralel", "parallel"),
        ("parallel.round", "rounds"),
        ("parallel.agregation", "aggregation"),
        ("fleet.simulater", "simulator"),
        ("splits.querry", "query"),
        ("deploy.maxbytes", "max_bytes"),
        ("foundation.epoch", "epochs"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(written, key, near):
    with pytest.raises(RecipeError) as error:
        load(str(written(FEEDERS)), [f"{key}=1"])
    assert f"unknown key {key}; the nearest known one is {near}." in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_has_to_be_finite(value):
    with pytest.raises(RecipeError, match=r"parallel\.server_learning_rate"):
        parse(SIMULATED | {"parallel": {"server_learning_rate": value}}, "here")


def test_the_phases_shares_may_be_off_by_rounding_alone():
    thirds = {"serial": 1 / 3, "parallel": 1 / 3, "personalize": 1 - 2 / 3}
    assert parse(SIMULATED | {"splits": thirds}, "here").splits.serial == 1 / 3
    with pytest.raises(RecipeError, match=r"sum to 0\.99"):
        parse(SIMULATED | {"splits": thirds | {"serial": 1 / 3 - 0.01}}, "here")

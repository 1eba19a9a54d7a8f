import tomllib

import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe import Parallel, Recipe, builtin, dump, load, parse

SIMULATED = {"fleet": {"simulator": "feeder"}}


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


BUILT_IN = (
    "ablation",
    "alignment",
    "bearings",
    "beyond",
    "demo",
    "dirichlet",
    "equipment",
    "feeders",
    "feeders-30",
    "feeders-kinds",
    "feeders-samples",
    "floor",
    "joining",
    "joining-parts",
    "kinds",
    "machines",
    "mfpt",
    "mixed",
    "paper",
    "process",
    "ratios",
    "rules",
    "transport",
    "unseen",
    "vibration",
    "wafer",
)


def test_the_built_in_recipes():
    assert tuple(builtin()) == tuple(sorted((*BUILT_IN, "fleet")))


def test_fleet_is_there_to_be_extended():
    with pytest.raises(RecipeError, match=r"fleet\.toml: fleet needs a table or a simulator"):
        load("fleet")
    mine = load("demo")
    assert (mine.method, mine.fleet.encoding, mine.serial.decay) == ("fleet", "quantiles", "cosine")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_recipe_is_called_as_its_file_is_and_tells_its_command(name):
    assert load(name).name == name
    verb = "run" if name in ("demo", "vibration") else "compare"
    assert f"fedmetaalign {verb} {name}" in builtin()[name].read_text(encoding="utf-8")


def test_the_built_in_paper_has_the_papers_devices_and_network():
    paper = load("paper")
    assert [device.name for device in paper.fleet.devices] == ["feeder", "machine"]
    assert [len(device.features) for device in paper.fleet.devices] == [6, 9]
    assert paper.model.hidden == (256, 128, 64, 32, 16, 12, 8)
    assert (paper.serial.rounds, paper.parallel.rounds, paper.personalize.epochs) == (10, 10, 10)
    assert paper.deploy.threshold == "personalized"


def test_a_phase_of_no_rounds_is_allowed_and_phase_1_then_without_samples():
    shares = {"serial": 0, "parallel": 0.7, "personalize": 0.3}
    none = {"serial": {"rounds": 0}, "parallel": {"rounds": 0}, "splits": shares}
    recipe = parse(SIMULATED | none, "here")
    assert (recipe.serial.rounds, recipe.parallel.rounds, recipe.splits.serial) == (0, 0, 0)


def test_phase_0_is_left_out_unless_it_is_given():
    assert not parse(SIMULATED, "here").foundation.enabled
    assert parse(SIMULATED | {"foundation": {"simulator": "milling"}}, "here").foundation.enabled


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_dumped_recipe_is_the_same_recipe(name):
    recipe = load(name)
    assert parse(tomllib.loads(dump(recipe)), "dump") == recipe


def test_a_recipe_with_every_kind_of_source_survives_being_dumped(written):
    path = written("""
        [[fleet.devices]]
        table = "a.csv"
        label = ["A", "B"]
        features = ["x", "y"]
        positive = { A = ["yes", 2, 0.5], B = [1] }
        device = ["site", "unit"]
        [fleet.devices.categories]
        x = ["L", "M"]
        [fleet.devices.units]
        y = "A"
        [[fleet.devices]]
        table = "b.csv"
        label = "z"
        features = ["x"]
        normal = ["ok", 0]
        classes = [0, "ok", "worn", 7]
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
    assert recipe.fleet.devices[0].positive == {"A": ("yes", 2, 0.5), "B": (1,)}
    assert recipe.fleet.devices[1].classes == (0, "ok", "worn", 7)
    assert recipe.fleet.devices[1].partition.count == 3


def test_a_dump_holds_every_key_that_has_a_value():
    dumped = tomllib.loads(dump(parse(SIMULATED, "here")))
    assert dumped["serial"] == {
        "rounds": 10,
        "epochs": 1,
        "tours": 1,
        "decay": "none",
        "shift": 0,
        "parallel_tours": 1,
    }
    assert dumped["compare"] == {
        "methods": [
            *("majority", "one_rule", "forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled"),
            *("local_only", "fedavg", "fedprox", "fed_meta_align"),
        ],
        "learning_rates": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
        "tune_seeds": 3,
        "rank": "accuracy",
        "hostile": 0.2,
        "deployed": False,
        "variants": {},
    }
    assert dumped["fleet"]["unseen"] == {"count": 0, "samples": 30}
    assert set(dumped["parallel"]) == set(Parallel.model_fields) - {"asynchronous"}
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


def test_costs_say_where_the_threshold_lies(written):
    settings = ["personalize.threshold=cost", "personalize.costs={ miss = 20, false_alarm = 1.0 }"]
    recipe = load(str(written(FEEDERS)), settings)
    # An alarm is worth it where 20 p > 1 - p.
    assert recipe.personalize.fixed_threshold == 1 / 21
    assert tomllib.loads(dump(recipe))["personalize"]["costs"] == {"miss": 20.0, "false_alarm": 1.0}
    assert load(str(written(FEEDERS))).personalize.fixed_threshold is None
    assert load(str(written(FEEDERS)), ["personalize.threshold=0.25"]).personalize.fixed_threshold == 0.25


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


def test_the_phases_shares_may_be_off_by_rounding_alone():
    thirds = {"serial": 1 / 3, "parallel": 1 / 3, "personalize": 1 - 2 / 3}
    assert parse(SIMULATED | {"splits": thirds}, "here").splits.serial == 1 / 3
    with pytest.raises(RecipeError, match=r"sum to 0\.99"):
        parse(SIMULATED | {"splits": thirds | {"serial": 1 / 3 - 0.01}}, "here")

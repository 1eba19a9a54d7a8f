import tomllib

import pytest

from fedmetaalign import methods
from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import Parallel, Recipe, builtin, dump, load, parse, sweep, variants, with_settings

SIMULATED = {"fleet": {"simulator": "feeder"}}


@pytest.fixture
def written(tmp_path):
    """Writes a recipe's text to a file."""

    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
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


BUILT_IN = (
    "ablation",
    "alignment",
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
    "mixed",
    "paper",
    "ratios",
    "rules",
    "transport",
    "unseen",
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
    verb = "run" if name == "demo" else "compare"
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
    assert dumped["serial"] == {"rounds": 10, "epochs": 1, "tours": 1, "decay": "none"}
    assert dumped["compare"] == {
        "methods": [
            *("majority", "one_rule", "forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled"),
            *("local_only", "fedavg", "fedprox", "fed_meta_align"),
        ],
        "learning_rates": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
        "tune_seeds": 3,
        "rank": "accuracy",
        "variants": {},
    }
    assert dumped["fleet"]["unseen"] == {"count": 0, "samples": 30}
    assert set(dumped["parallel"]) == set(Parallel.model_fields)
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


class TestExtends:
    def test_tables_are_merged_key_by_key_and_lists_are_replaced(self, written):
        written(
            "seed = 5\n[model]\ninputs = 12\nhidden = [8, 4]\n[serial]\nrounds = 3\n" + FEEDERS + "count = 4\n",
            "base.toml",
        )
        path = written('extends = "base.toml"\n[model]\nhidden = [16]\n[fleet]\nsamples = 90\n')
        recipe = load(str(path))
        assert (recipe.model.inputs, recipe.model.hidden) == (12, (16,))
        assert (recipe.fleet.simulator, recipe.fleet.count, recipe.fleet.samples) == ("feeder", 4, 90)
        assert (recipe.seed, recipe.serial.rounds) == (5, 3)

    def test_a_list_of_devices_is_replaced_as_a_whole(self, written):
        written(
            '[[fleet.devices]]\nsimulator = "feeder"\n[[fleet.devices]]\nsimulator = "milling"\n', "base.toml"
        )
        path = written('extends = "base.toml"\n[[fleet.devices]]\nsimulator = "rotating"\n')
        assert [device.simulator for device in load(str(path)).fleet.devices] == ["rotating"]

    def test_a_chain_ends_with_the_recipe_that_extends_nothing(self, written):
        written("seed = 1\n[parallel]\nrounds = 1\nfloor = 0.5\n" + FEEDERS, "a.toml")
        written('extends = "a.toml"\nseed = 2\n[parallel]\nrounds = 2\n', "b.toml")
        recipe = load(str(written('extends = "b.toml"\nseed = 3\n', "c.toml")))
        assert (recipe.seed, recipe.parallel.rounds, recipe.parallel.floor) == (3, 2, 0.5)

    def test_a_path_is_relative_to_the_file_that_names_it(self, written):
        written("seed = 7\n" + FEEDERS, "common.toml")
        written('extends = "../common.toml"\n', "sites/base.toml")
        assert load(str(written('extends = "base.toml"\n', "sites/here.toml"))).seed == 7

    def test_a_built_in_recipe_may_be_extended_by_name(self, written):
        recipe = load(str(written('extends = "paper"\n[parallel]\nrounds = 2\n')))
        assert [device.name for device in recipe.fleet.devices] == ["feeder", "machine"]
        assert recipe.parallel.rounds == 2
        assert recipe.deploy.threshold == "personalized"

    def test_the_name_is_not_handed_on(self, written):
        written('name = "valves"\n' + FEEDERS, "base.toml")
        assert load(str(written('extends = "base.toml"\n', "pumps.toml"))).name == "pumps"

    def test_tables_are_relative_to_the_recipe_that_was_named(self, written, tmp_path):
        written('[fleet]\ntable = "b.csv"\nlabel = "y"\nfeatures = ["x"]\n', "base.toml")
        path = written('extends = "../base.toml"\n', "site/mine.toml")
        assert load(str(path)).fleet.table == str(tmp_path.resolve() / "site/b.csv")

    def test_a_dump_holds_all_and_extends_nothing(self, written):
        written("[model]\nhidden = [8]\n" + FEEDERS, "base.toml")
        recipe = load(str(written('extends = "base.toml"\n')))
        assert "extends" not in dump(recipe)
        assert parse(tomllib.loads(dump(recipe)), "dump") == recipe

    def test_a_setting_may_say_what_is_extended(self, written, monkeypatch, tmp_path):
        written("seed = 1\n" + FEEDERS, "a.toml")
        written("seed = 2\n" + FEEDERS, "b.toml")
        path = written('extends = "../a.toml"\n', "recipes/mine.toml")
        assert load(str(path)).seed == 1
        monkeypatch.chdir(tmp_path)
        assert load("recipes/mine.toml", ["extends=b.toml"]).seed == 2
        assert load("recipes/mine.toml", ["extends=demo", "serial.rounds=4"]).serial.rounds == 4


class TestSettings:
    def test_they_replace_keys_and_leave_the_recipe_as_it_is(self):
        recipe = parse(SIMULATED, "here")
        changed = with_settings(
            recipe, {"parallel.floor": 0.3, "model.hidden": [8, 4], "fleet.partition.alpha": 1}
        )
        assert (changed.parallel.floor, changed.model.hidden) == (0.3, (8, 4))
        assert changed.fleet.partition.alpha == 1
        assert (recipe.parallel.floor, recipe.fleet.partition) == (0.1, None)
        assert with_settings(recipe, {}) == recipe

    def test_they_are_checked_together(self):
        recipe = parse(SIMULATED, "here")
        shares = {"splits.serial": 0.1, "splits.parallel": 0.6}
        assert with_settings(recipe, shares).splits.parallel == 0.6
        with pytest.raises(RecipeError, match=r"^here: splits .* sum to 1\.1, not 1\.$"):
            with_settings(recipe, {"splits.parallel": 0.6}, "here")

    def test_variants_are_the_recipe_with_their_settings(self):
        given = {
            "plain": {"method": "fedavg"},
            "c = 0.3": {"method": "fed_meta_align", "settings": {"parallel.floor": 0.3}},
            "encoded": {"method": "fedavg", "settings": {"fleet.encoding": "quantiles"}},
        }
        recipe = parse(SIMULATED | {"compare": {"variants": given}}, "here")
        found = variants(recipe)
        assert list(found) == ["plain", "c = 0.3", "encoded"]
        assert found["encoded"].fleet.encoding == "quantiles"
        assert found["plain"] == recipe
        assert found["c = 0.3"] == with_settings(recipe, {"parallel.floor": 0.3})

    def test_a_sweep_is_the_recipe_once_for_each_value(self):
        given = {"sweep": {"key": "model.hidden", "values": [[8], [8, 4]]}}
        recipe = parse(SIMULATED | {"compare": given}, "here")
        points = sweep(recipe)
        assert [value for value, _ in points] == [[8], [8, 4]]
        assert [point.model.hidden for _, point in points] == [(8,), (8, 4)]
        assert all(point.compare.sweep is None for _, point in points)

    def test_without_a_sweep_there_is_one_point(self):
        recipe = parse(SIMULATED, "here")
        assert sweep(recipe) == ((None, recipe),)

    def test_variants_are_made_of_the_swept_recipe(self):
        given = {
            "sweep": {"key": "parallel.rounds", "values": [1, 2]},
            "variants": {"v": {"method": "fedavg", "settings": {"serial.rounds": 7}}},
        }
        points = sweep(parse(SIMULATED | {"compare": given}, "here"))
        made = [variants(point)["v"] for _, point in points]
        assert [(r.parallel.rounds, r.serial.rounds) for r in made] == [(1, 7), (2, 7)]


class TestComparisons:
    def test_the_ablation_is_every_combination_with_equal_data_and_steps(self):
        recipe = load("ablation")
        assert recipe.compare.methods == ("local_only",)
        found = variants(recipe)
        parts = {
            (bool(r.serial.rounds), "score" in r.parallel.criteria, "alignment" in r.parallel.criteria)
            for r in found.values()
        }
        assert len(found) == len(parts) == 8
        for r in found.values():
            per_sample = (
                r.serial.rounds * r.splits.serial
                + r.parallel.rounds * r.splits.parallel
                + r.personalize.epochs * r.splits.personalize
            )
            assert per_sample == pytest.approx(10)

    def test_the_ablations_rows_are_called_after_what_is_on(self):
        for name, r in variants(load("ablation")).items():
            on = ["phase 1"] * bool(r.serial.rounds) + list(r.parallel.criteria)
            assert name == (", ".join(on) or "none")

    def test_the_ablation_runs_on_another_fleet(self):
        recipe = load("ablation", ["extends=feeders"])
        assert recipe.fleet.partition.count == 10
        assert recipe.compare.sweep is None
        assert len(variants(recipe)) == 8

    def test_the_floors_are_called_after_their_values(self):
        found = {name: r.parallel.floor for name, r in variants(load("floor")).items()}
        assert found == {"c = 0": 0, "c = 0.1": 0.1, "c = 0.3": 0.3, "c = 0.5": 0.5, "c = 1": 1}

    def test_the_ratios_are_called_after_their_values(self):
        for name, r in variants(load("ratios")).items():
            shares = (r.splits.serial, r.splits.parallel, r.splits.personalize)
            assert name == "/".join(f"{100 * share:.0f}" for share in shares)
        assert "20/50/30" in variants(load("ratios"))

    def test_alignment_is_tried_against_either_reference_with_and_without_unit_norm(self):
        found = {
            name: (r.parallel.reference, r.parallel.unit_norm)
            for name, r in variants(load("alignment")).items()
        }
        assert found == {
            "mean": ("mean", False),
            "mean, unit norm": ("mean", True),
            "others": ("others", False),
            "others, unit norm": ("others", True),
        }

    def test_the_rules_differ_in_the_rule_alone(self):
        recipe = load("rules")
        assert recipe.foundation.enabled  # FLTrust and the root need public data
        found = variants(recipe)
        parallel = [r.parallel for r in found.values()]
        assert {p.aggregation for p in parallel} >= {"similarity", "mean", "fedadp", "fltrust", "fedfv", "krum"}
        assert len(set(map(str, parallel))) == len(found)
        for r in found.values():
            assert r.model_copy(update={"parallel": recipe.parallel}) == recipe

    @pytest.mark.parametrize("name", BUILT_IN)
    def test_every_method_of_a_built_in_recipe_is_there_and_can_run(self, name):
        recipe = load(name)
        compared = recipe.compare
        named = [*compared.methods, *(variant.method for variant in compared.variants.values())]
        assert set(named) <= set(methods.names())
        assert "feddf" not in named or recipe.foundation.enabled
        assert "fedrep" not in named or recipe.personalize.freeze > 0

    @pytest.mark.parametrize(
        ("name", "count", "train"),
        [
            ("equipment", 15, None),
            ("machines", 8, None),
            ("feeders", 10, (100,)),
            ("feeders-samples", 10, (50, 100, 300)),
            ("feeders-30", 30, (50, 100)),
            ("dirichlet", 10, (100,) * 5),
            ("unseen", 8, (100,) * 3),
            ("rules", 10, (100,)),
        ],
    )
    @pytest.mark.parametrize("seed", [0, 9])
    def test_their_fleets_can_be_built(self, real_data, name, count, train, seed):
        points = sweep(load(name, seed=seed, data=real_data))
        fleets = [build(point, unseen_devices=True) for _, point in points]
        assert [len(fleet.devices) for fleet in fleets] == [count] * len(points)
        if train is not None:
            assert [len(fleet.devices[0].train) for fleet in fleets] == list(train)
        if name == "unseen":
            assert [[len(d.train) for d in fleet.unseen_devices] for fleet in fleets] == [
                [n, n] for n in (10, 30, 100)
            ]

    def test_the_variants_of_the_paper_can_be_built_and_share_their_test_sets(self, real_data):
        recipe = load("ablation", data=real_data)
        names = ("phase 1, score, alignment", "none")
        whole, without = (build(variants(recipe)[name]) for name in names)
        for name, test in whole.test.items():
            assert (test.x == without.test[name].x).all()
        assert [len(d.parts["serial"].support) for d in without.devices] == [0, 0]

"""Recipes that extend others, settings that change them, and the comparisons that come with the package."""

import tomllib

import pytest
from test_recipe import BUILT_IN

from fedmetaalign import methods
from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import dump, load, parse, sweep, variants, with_settings

SIMULATED = {"fleet": {"simulator": "feeder"}}
FEEDERS = '[fleet]\nsimulator = "feeder"\n'


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

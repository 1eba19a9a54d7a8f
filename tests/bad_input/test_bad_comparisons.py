"""Comparisons that cannot be made: one sentence, before anything is trained or written."""

from pathlib import Path

import pytest
from comparing import in_process

from fedmetaalign.comparison import pool
from fedmetaalign.methods import names, runnable
from fedmetaalign.recipe import load

SIMULATED = '[fleet]\nsimulator = "milling"\ncount = 2\nsamples = 60\n'


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """No process is started, and none of these calls gets as far as training."""
    in_process(monkeypatch)
    monkeypatch.setattr(pool, "race", lambda *_: pytest.fail("it trained"))


@pytest.fixture
def simulated(recipe):
    """Writes a recipe on simulated devices."""
    return lambda more="": recipe(fleet=SIMULATED, more=more)


@pytest.mark.parametrize(
    "name", ["fedavrg", "all,fedavg", "_task", "Fedavg", "fedavg.global", "../fedavg", "fedavg fedprox"]
)
def test_an_unknown_method_is_answered_with_those_that_there_are(simulated, refused, name):
    sentence = refused("compare", simulated(), "--methods", name)
    assert sentence.startswith(f"There is no method {name.split(',')[0]!r}: choose among apfl, cyclicfl, ")
    assert "fed_meta_align, " in sentence


@pytest.mark.parametrize("listed", ["", "fedavg,", ","])
def test_a_list_of_methods_with_one_missing(simulated, refused, listed):
    sentence = refused("compare", simulated(), "--methods", listed)
    assert "There is no method ''" in sentence or "twice" in sentence


def test_a_method_that_is_named_twice(simulated, refused):
    sentence = refused("compare", simulated(), "--methods", "fedavg,fedprox,fedavg")
    assert sentence == "--methods: compare names the method fedavg twice: take one of them out."


def test_a_method_that_a_variant_is_called_after(simulated, refused):
    variant = "[compare]\nmethods = ['fedprox']\n[compare.variants.fedavg]\nmethod = 'fedavg'\n"
    sentence = refused("compare", simulated(variant), "--methods", "fedavg")
    assert sentence.startswith("--methods: compare calls a variant fedavg, as one of its methods is")


def test_an_unknown_method_of_the_recipe_or_of_a_variant(simulated, refused):
    assert refused("compare", simulated("[compare]\nmethods = ['fedavrg']\n")).startswith(
        "There is no method 'fedavrg': choose among "
    )
    variant = "[compare.variants.v]\nmethod = 'fedavrg'\n"
    assert refused("compare", simulated(variant)).startswith("There is no method 'fedavrg': choose among ")


def test_an_unknown_key_of_a_variant(simulated, refused):
    variant = "[compare.variants.v]\nmethod = 'fedavg'\nsettings = { 'paralel.floor' = 0 }\n"
    path = simulated(variant)
    assert refused("compare", path) == (
        f'{path}: compare.variants."v": unknown key paralel; the nearest known one is parallel.'
    )


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("parallel.floor", 3, "parallel.floor = 3 must be less than or equal to 1."),
        ("model.hidden", "'wide'", "model.hidden = 'wide'"),
        ("parallel.flor", 0, "unknown key parallel.flor; the nearest known one is floor."),
    ],
)
def test_a_sweep_over_a_value_that_does_not_fit(simulated, refused, key, value, reason):
    path = simulated(f"[compare.sweep]\nkey = '{key}'\nvalues = [{value}]\n")
    assert refused("compare", path).startswith(f"{path}: compare.sweep, {key} = {value}: {reason}")


def test_a_sweep_that_comes_to_devices_that_cannot_be(simulated, refused):
    # Two devices: one of them may be held out, but not both.
    sweep = "[compare.sweep]\nkey = 'fleet.unseen.count'\nvalues = [1, 2]\n"
    sentence = refused("compare", simulated(sweep))
    assert sentence.startswith("fleet.unseen.count = 2 leaves none of the 2 devices for the federation")


@pytest.mark.parametrize("seeds", ["0", "-3", "2.5", "few"])
def test_seeds_that_are_no_number_of_runs_are_a_wrong_call(simulated, cli, here, seeds):
    outcome = cli("compare", simulated(), "--seeds", seeds)
    assert (outcome.status, outcome.out) == (2, "")
    assert "--seeds" in outcome.err
    assert [path.name for path in here.iterdir()] == ["recipe.toml"]


def test_an_out_that_holds_something_else(simulated, refused):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine", encoding="utf-8")
    assert refused("compare", simulated(), "--out", "out") == (
        "out holds something other than a comparison: choose another --out."
    )


def test_an_out_that_holds_a_run(simulated, refused):
    Path("out").mkdir()
    Path("out/recipe.toml").touch()
    Path("out/rounds.jsonl").touch()
    assert refused("compare", simulated(), "--out", "out").startswith("out holds something other than")


def test_an_out_that_holds_cells_of_nobody_knows_what(simulated, refused):
    Path("out/cells").mkdir(parents=True)
    assert refused("compare", simulated(), "--out", "out").startswith("out holds something other than")


def test_an_out_that_is_a_file_or_lies_below_one(simulated, refused):
    Path("file").touch()
    assert refused("compare", simulated(), "--out", "file").startswith("file holds something other than")
    assert refused("compare", simulated(), "--methods", "majority", "--out", "file/out") == (
        "Cannot write to file/out: Not a directory; mend that and run the same command again,"
        " or choose another --out."
    )


def test_a_table_that_is_missing(recipe, refused):
    sentence = refused("compare", recipe())
    assert "pump.csv" in sentence


def test_a_table_that_is_missing_in_the_folder_of_the_call(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    Path("empty").mkdir()
    assert "empty/pump.csv" in refused("compare", recipe(), "--data", "empty")


def test_a_recipe_that_is_not_there(refused):
    assert refused("compare", "missing.toml").startswith("There is no recipe 'missing.toml'")


@pytest.mark.parametrize(
    ("key", "values", "value", "folder"),
    [
        ("model.hidden", "[[4, 2], [4, 2]]", "[4, 2]", "_4_2_"),
        ("fleet.features", "[['a b'], ['a.b'], ['a_b']]", "['a_b']", "_a_b_"),
        ("fleet.label", "['fault', 'cells']", "cells", "cells"),
    ],
)
def test_a_sweep_whose_values_have_the_same_folder(simulated, refused, key, values, value, folder):
    sentence = refused("compare", simulated(f"[compare.sweep]\nkey = '{key}'\nvalues = {values}\n"))
    assert (
        sentence == f"compare.sweep cannot have the value {value!r}: its folder, {folder}, is taken; change it."
    )


class TestMethodsThatCannotRun:
    @pytest.mark.parametrize("more", ["", "[compare.variants.v]\nmethod = 'feddf'\n"])
    def test_feddf_without_public_data(self, simulated, refused, more):
        sentence = refused(
            "compare", simulated(more), "--methods", "local_only" if more else "local_only,feddf"
        )
        who = 'compare.variants."v": ' if more else ""
        assert sentence.startswith(
            f"{who}feddf distils on public samples, and the recipe has none: give [foundation]"
        )

    def test_fedrep_with_nothing_frozen(self, simulated, refused):
        sentence = refused(
            "compare", simulated(), "--set=personalize.freeze=0.0", "--methods", "local_only,fedrep"
        )
        assert sentence.startswith("fedrep shares the layers that phase 3 freezes, and personalize.freeze = 0")

    def test_all_methods_are_those_that_can(self, simulated):
        frozen = load(str(simulated()))
        free = load(str(simulated()), ["personalize.freeze=0.0"])
        public = load(str(simulated('[foundation]\nsimulator = "milling"\n')))
        assert {name for name in names() if name not in runnable(frozen)} == {"feddf"}
        assert {name for name in names() if name not in runnable(free)} == {"feddf", "fedrep"}
        assert sorted(runnable(public)) == list(names())

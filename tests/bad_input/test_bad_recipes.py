"""Recipes and settings that cannot be understood."""

import types
import typing
from pathlib import Path

import annotated_types
import pytest
from pydantic import BaseModel

from fedmetaalign.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("sed = 1\n[fleet]\nsimulator = 'feeder'\n", "sed", "seed"),
        ("[paralel]\nrounds = 1\n[fleet]\nsimulator = 'feeder'\n", "paralel", "parallel"),
        ("[parallel]\nround = 1\n[fleet]\nsimulator = 'feeder'\n", "parallel.round", "rounds"),
        ("[fleet.partition]\nalfa = 1\n", "fleet.partition.alfa", "alpha"),
        ("[[fleet.devices]]\ntabel = 'a.csv'\n", "fleet.devices.0.tabel", "table"),
        ("[fleet]\nfeature = []\n", "fleet.feature", "features"),
        ("extend = 'paper'\n[fleet]\nsimulator = 'feeder'\n", "extend", "extends"),
        ("[fleet.unseen]\nsample = 3\n", "fleet.unseen.sample", "samples"),
        ("[compare]\nmethod = ['fedavg']\n[fleet]\nsimulator = 'feeder'\n", "compare.method", "methods"),
        (
            "[compare.variants.quick]\nmethod = 'fedavg'\nsetting = {}\n[fleet]\nsimulator = 'feeder'\n",
            "compare.variants.quick.setting",
            "settings",
        ),
        # A key that begins as a type is called.
        ("[parallel]\nintegration = 1\n[fleet]\nsimulator = 'feeder'\n", "parallel.integration", "aggregation"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_one(refused, text, key, near):
    Path("recipe.toml").write_text(text, encoding="utf-8")
    assert refused("run", "recipe.toml") == f"recipe.toml: unknown key {key}; the nearest known one is {near}."


OUT_OF_RANGE = {
    "seed": [-1, 0.5],
    "fleet.count": [0],
    "fleet.samples": [0],
    "fleet.devices.count": [0],
    "fleet.devices.samples": [0],
    "fleet.devices.partition.count": [0],
    "fleet.devices.partition.samples": [0],
    "fleet.devices.partition.alpha": [0],
    "fleet.devices.partition.minimum": [0],
    "fleet.devices.partition.gain": [-0.1, 1],
    "fleet.partition.count": [0],
    "fleet.partition.samples": [0],
    "fleet.partition.alpha": [0, -1, "nan", "inf"],
    "fleet.partition.minimum": [0],
    "fleet.partition.gain": [-0.1, 1, "nan"],
    "fleet.unseen.count": [-1, 1.5],
    "fleet.unseen.samples": [0, 1],
    "splits.test": [0, 1, -0.1],
    "splits.serial": [-0.1, 1],
    "splits.parallel": [0, 1],
    "splits.personalize": [0, 1],
    "splits.query": [0, 1],
    "splits.block": [0],
    "model.inputs": [0, 1.5],
    "model.hidden": ["[]", "[0]", "[8, -4]"],
    "optimizer.learning_rate": [0, -1e-5, 1.1, "nan"],
    "optimizer.batch_size": [0, 32],
    "foundation.count": [0],
    "foundation.samples": [0],
    "foundation.epochs": [0],
    "foundation.learning_rate": [0, 1.1],
    "foundation.partition.count": [0],
    "foundation.partition.samples": [0],
    "foundation.partition.alpha": [0],
    "foundation.partition.minimum": [0],
    "foundation.partition.gain": [-0.1, 1],
    "serial.rounds": [-1],
    "serial.epochs": [0],
    "serial.tours": [0],
    "parallel.rounds": [-1],
    "parallel.epochs": [0],
    "parallel.floor": [-0.1, 1.1],
    "parallel.server_learning_rate": [0, -1, "inf"],
    "parallel.cohort": [0, 1.1],
    "parallel.byzantine": [-0.1, 0.5],
    "parallel.keep": [0],
    "parallel.minimum_devices": [0],
    "personalize.epochs": [0],
    "personalize.freeze": [-0.1, 1],
    "personalize.learning_rate": [0, 1.1],
    "personalize.threshold": [0, 1],
    "deploy.max_bytes": [0],
    "compare.learning_rates": ["[]", "[0.1, 0]", "[2]"],
    "compare.tune_seeds": [0],
}


def test_every_numeric_key_is_among_those_that_are_tried():
    def kinds(annotation):
        """The types that an annotation is made of."""
        if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, tuple):
            return [kind for inner in typing.get_args(annotation) for kind in kinds(inner)]
        if typing.get_origin(annotation) is typing.Literal:
            return [type(value) for value in typing.get_args(annotation)]
        return [annotation]

    def numeric(section, path=""):
        for name, field in section.model_fields.items():
            limited = any(
                isinstance(m, annotated_types.GroupedMetadata | annotated_types.Ge) for m in field.metadata
            )
            for kind in kinds(field.annotation):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from numeric(kind, f"{path}{name}.")
                elif kind in (int, float) or limited:
                    yield f"{path}{name}"

    values = ("positive", "normal", "classes")
    without_limits = {f"{path}{key}" for path in ("fleet.", "fleet.devices.", "foundation.") for key in values}
    assert set(numeric(Recipe)) - without_limits == set(OUT_OF_RANGE)


TABLE = '[fleet]\ntable = "t.csv"\nfeatures = ["x"]\n'


@pytest.mark.parametrize(
    ("fleet", "wrong"),
    [
        (
            f'{TABLE}label = "z"\nkinds = true',
            "fleet has kinds = true, which needs several label columns, or a simulator.",
        ),
        (
            f'{TABLE}label = ["z"]\nkinds = true',
            "fleet has kinds = true, which needs several label columns, or a simulator.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\npositive = [1, "on"]',
            "fleet has several label columns and one list of positive values: give each column its own, such as"
            " positive = { y = [1, 'on'] }.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\npositive = {{ y = [1], w = [2] }}',
            "fleet has positive for ['y', 'w'], and the label is ['y', 'z'].",
        ),
        (
            f'{TABLE}label = "z"\npositive = [1]\nnormal = [0]',
            "fleet has positive, which knows fault and no fault alone: drop it, or normal, classes and kinds.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\nnormal = ["0-0"]',
            "fleet has normal and several label columns, whose combinations it names: set kinds = true, too.",
        ),
        (
            f'{TABLE}label = "z"\nclasses = ["ok", "bad"]',
            "fleet has classes and no normal, which says which of them mean no fault.",
        ),
        (
            '[fleet]\nsimulator = "feeder"\nkinds = true\nnormal = ["normal"]',
            "fleet has a simulator, whose classes are known: drop normal and classes, and set kinds = true.",
        ),
    ],
)
def test_keys_about_the_label_that_do_not_go_together(refused, fleet, wrong):
    Path("recipe.toml").write_text(fleet + "\n", encoding="utf-8")
    assert refused("run", "recipe.toml") == f"recipe.toml: {wrong}"


@pytest.mark.parametrize(("key", "value"), [(key, v) for key, values in OUT_OF_RANGE.items() for v in values])
def test_a_value_out_of_range_is_named_with_its_key(refused, key, value):
    in_devices = key.startswith("fleet.devices.")
    base = '[[fleet.devices]]\nsimulator = "feeder"\n' if in_devices else '[fleet]\nsimulator = "feeder"\n'
    if in_devices:
        base += f"{key.removeprefix('fleet.devices.')} = {value}\n"
    Path("recipe.toml").write_text(base, encoding="utf-8")
    sentence = refused("run", "recipe.toml", *([] if in_devices else ["--set", f"{key}={value}"]))
    shown = key.replace("fleet.devices.", "fleet.devices.0.")
    where = "recipe.toml" if in_devices else f"--set {f'{key}={value}'!r}"
    assert sentence.startswith(f"{where}: {shown}")
    # What follows the key says what is allowed, not how the recipe is read.
    assert sentence.removeprefix(f"{where}: {shown}").startswith((" = ", ".0 = ", ".1 = "))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "'many'"),
        ("seed", "true"),
        ("name", "3"),
        ("name", "''"),
        ("fleet", "3"),
        ("fleet.label", "3"),
        ("fleet.features", "'Ia'"),
        ("fleet.simulator", "'pump'"),
        ("fleet.scaling", "'both'"),
        ("fleet.devices", "2"),
        ("splits.kind", "'columns'"),
        ("splits.reuse", "3"),
        ("model", "'deep'"),
        ("model.hidden", "8"),
        ("model.hidden", "['wide']"),
        ("optimizer.name", "'sgd'"),
        ("optimizer.learning_rate", "'fast'"),
        ("optimizer.learning_rate", "true"),
        ("parallel.rounds", "2.5"),
        ("parallel.rounds", "true"),
        ("parallel.aggregation", "'mode'"),
        ("parallel.unit_norm", "'perhaps'"),
        ("personalize.threshold", "'f2'"),
        ("deploy.format", "'int3'"),
        ("deploy.target", "'z80'"),
        ("deploy.max_bytes", "'64k'"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_key(refused, key, value):
    fleet = '[fleet]\nsimulator = "feeder"\ncount = 1\nsamples = 100\n[model]\nhidden = [4]\n'
    Path("recipe.toml").write_text(fleet, encoding="utf-8")
    setting = f"{key}={value}"
    sentence = refused("run", "recipe.toml", "--set", setting)
    assert sentence.startswith(f"--set {setting!r}: {key}")
    assert sentence.removeprefix(f"--set {setting!r}: {key}").startswith((" = ", ".0 = "))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "fleet is missing"),
        ("[fleet]\n", "fleet needs a table or a simulator"),
        ("[[fleet.devices]]\nname = 'pump'\n", "devices[0] needs a table or a simulator"),
        (
            "[fleet]\ntable = 'a.csv'\nlabel = 'y'\nfeatures = ['x']\nsimulator = 'feeder'\n",
            "names both a table and a simulator: keep one of them",
        ),
        ("[fleet]\ntable = 'a.csv'\nfeatures = ['x']\n", "table 'a.csv' needs the keys label and features"),
        ("[fleet]\ntable = 'a.csv'\nlabel = 'y'\n", "table 'a.csv' needs the keys label and features"),
        (
            "[fleet]\ntable = 'a.csv'\nlabel = 'y'\nfeatures = ['x']\ndevice = 'site'\npartition = {}\n",
            "has both device and partition: a table is cut in one way",
        ),
        (
            "[fleet]\nsimulator = 'feeder'\n[[fleet.devices]]\nsimulator = 'feeder'\n",
            "has devices and a table or simulator of its own",
        ),
        (
            "[fleet]\nsimulator = 'feeder'\n[foundation]\nepochs = 1\n",
            "foundation needs a table or a simulator",
        ),
        ("[fleet]\nsimulator = 'feeder'\n[splits]\nserial = 0.3\n", "they sum to 1.1, not 1"),
        (
            "[fleet]\nsimulator = 'feeder'\n[splits]\nserial = 0\nparallel = 0.7\n",
            "serial.rounds = 10 needs samples, and splits.serial is 0: give it a share, or set",
        ),
    ],
)
def test_keys_that_do_not_go_together(refused, text, reason):
    Path("recipe.toml").write_text(text, encoding="utf-8")
    sentence = refused("run", "recipe.toml")
    assert sentence.startswith("recipe.toml: ")
    assert reason in sentence


def test_a_run_does_not_ignore_the_devices_that_are_held_out(refused):
    Path("recipe.toml").write_text("[fleet]\nsimulator = 'feeder'\nunseen = { count = 2 }\n", encoding="utf-8")
    assert refused("run", "recipe.toml") == (
        "fleet.unseen.count = 2 holds devices out of the federation, which only `fedmetaalign compare` can do:"
        " compare this recipe, or set fleet.unseen.count = 0."
    )


def test_a_recipe_that_is_not_there(refused):
    assert refused("run", "missing.toml").startswith("There is no recipe 'missing.toml'")
    assert "demo, dirichlet, equipment" in refused("run", "papr")


def test_a_recipe_that_is_not_toml(refused):
    Path("recipe.toml").write_text("fleet = [\n", encoding="utf-8")
    sentence = refused("run", "recipe.toml")
    assert sentence.startswith("recipe.toml is not valid TOML: ")
    assert "line 2" in sentence or "end of document" in sentence


def test_a_recipe_that_is_not_utf_8(refused):
    Path("recipe.toml").write_bytes('name = "Pümpe"\n'.encode("latin-1"))
    assert refused("run", "recipe.toml").startswith("Cannot read the recipe recipe.toml")


def test_a_recipe_that_is_a_directory(refused):
    Path("recipe.toml").mkdir()
    assert refused("run", "recipe.toml").startswith("Cannot read the recipe recipe.toml")


@pytest.mark.parametrize("setting", ["parallel", "=3", "", " = 3"])
def test_a_setting_that_is_no_key_and_value(refused, setting):
    sentence = refused("run", "demo", "--set", setting)
    assert sentence == f"--set {setting!r} is not of the form key=value, such as parallel.rounds=3."


@pytest.mark.parametrize("setting", ["parallel.=3", ".rounds=3", "parallel..rounds=3", ".=3"])
def test_a_setting_with_a_part_of_its_key_missing(refused, setting):
    sentence = refused("run", "demo", "--set", setting)
    assert "--set" in sentence or "unknown key" in sentence


def test_a_setting_of_an_unknown_key(refused):
    assert "unknown key paralel; the nearest known one is parallel" in refused(
        "run", "--set", "paralel.rounds=3"
    )
    assert "unknown key parallel.round; the nearest known one is rounds" in refused(
        "run", "--set", "parallel.round=3"
    )


def test_a_setting_below_a_key_that_is_no_section(refused):
    assert refused("run", "--set", "seed.value=3").startswith("--set 'seed.value=3': seed is not a section")


def test_the_setting_that_is_wrong_is_blamed_and_no_other(refused):
    sentence = refused("run", "demo", "--set", "parallel.rounds=3", "--set", "parallel={floor = 3}")
    assert sentence.startswith("--set 'parallel={floor = 3}': parallel.floor = 3 must be")
    Path("mine.toml").write_text("extends = 'demo'\n[parallel]\nfloor = 4\n", encoding="utf-8")
    sentence = refused("run", "mine.toml", "--set", "parallel.floors=0", "--set", "parallel.rounds=3")
    assert sentence.startswith("mine.toml: parallel.floor = 4")


def test_a_negative_seed(refused):
    assert "seed = -1" in refused("run", "--seed", "-1")


SIMULATED = '[fleet]\nsimulator = "feeder"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("learning_rates = [1e-3, 1e-4]", "compare.learning_rates must rise, and 0.001, 0.0001 do not."),
        ("learning_rates = [0.1, 0.1]", "compare.learning_rates must rise, and 0.1, 0.1 do not."),
        ("methods = []", "compare has neither methods nor variants: name at least one."),
        (
            "methods = ['fedavg', 'fedavg']",
            "compare names the method fedavg twice: take one of them out.",
        ),
        (
            "[compare.variants.fedavg]\nmethod = 'fedavg'",
            "compare calls a variant fedavg, as one of its methods is: give it another name.",
        ),
        ("[compare.variants.v]\nsettings = {}", "the key compare.variants.v.method is missing."),
        (
            "[compare.variants.'c = 2']\nmethod = 'fedavg'\nsettings = {'parallel.floor' = 2}",
            'compare.variants."c = 2": parallel.floor = 2 must be less than or equal to 1.',
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'parallel.flor' = 2}",
            'compare.variants."v": unknown key parallel.flor; the nearest known one is floor.',
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'seed.value' = 2}",
            "compare.variants.v.settings cannot replace seed.value: a comparison takes its seeds from --seeds.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'name.x' = 2}",
            "compare.variants.v.settings cannot replace name.x: a row is called as its variant is.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'optimizer' = {learning_rate = 0.1}}",
            "compare.variants.v.settings cannot replace optimizer:"
            " a comparison chooses the learning rate from compare.learning_rates.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'deploy.format' = 'float32'}",
            "compare.variants.v.settings cannot replace deploy.format: a comparison deploys nothing.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'evaluation' = {alone = false}}",
            "compare.variants.v.settings cannot replace evaluation: compare.methods says what is compared.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'foundation.table' = 'a.csv'}",
            "compare.variants.v.settings cannot replace foundation.table:"
            " give another table a recipe of its own, with extends.",
        ),
        (
            "[compare.variants.'short.global']\nmethod = 'fedavg'",
            "compare calls a variant short.global, as a method's global model is: give it another name.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'fleet.count' = 2}",
            'compare.variants."v" changes the devices or their test sets, which all rows of a table share:'
            " vary that with compare.sweep.",
        ),
        (
            "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'splits.test' = 0.5}",
            'compare.variants."v" changes the devices or their test sets, which all rows of a table share:'
            " vary that with compare.sweep.",
        ),
        ("[compare.sweep]\nkey = 'seed'\nvalues = []", "compare.sweep.key cannot replace seed"),
        (
            "[compare.sweep]\nkey = 'deploy.max_bytes'\nvalues = [1000]",
            "compare.sweep.key cannot replace deploy.max_bytes: a comparison deploys nothing.",
        ),
        (
            "[compare.sweep]\nkey = 'evaluation.alone'\nvalues = [true]",
            "compare.sweep.key cannot replace evaluation.alone: compare.methods says what is compared.",
        ),
        (
            "[compare.sweep]\nkey = 'fleet.table'\nvalues = ['a.csv', 'b.csv']",
            "compare.sweep.key cannot replace fleet.table:"
            " give another table a recipe of its own, with extends.",
        ),
        (
            "[compare.sweep]\nkey = 'parallel.floor'\nvalues = [0.1, 3]",
            "compare.sweep, parallel.floor = 3: parallel.floor = 3 must be less than or equal to 1.",
        ),
        (
            "[compare.sweep]\nkey = 'splits.serial'\nvalues = [0.2, 0.3]",
            "compare.sweep, splits.serial = 0.3: splits serial, parallel and personalize share the training"
            " samples: they sum to 1.1, not 1.",
        ),
        (
            "[compare.sweep]\nkey = 'model.depth'\nvalues = [1]",
            "compare.sweep, model.depth = 1: unknown key model.depth; the nearest known one is ",
        ),
        (
            "[compare.sweep]\nkey = 'parallel.rounds.x'\nvalues = [1]",
            "compare.sweep, parallel.rounds.x = 1: rounds is not a section of the recipe.",
        ),
    ],
)
def test_a_comparison_that_cannot_be_made(refused, text, sentence):
    Path("recipe.toml").write_text(f"{SIMULATED}[compare]\n{text}\n", encoding="utf-8")
    given = refused("run", "recipe.toml")
    assert given.startswith("recipe.toml: ")
    assert given.removeprefix("recipe.toml: ").startswith(sentence)


class TestExtends:
    def test_a_recipe_that_is_not_there(self, refused):
        Path("mine.toml").write_text('extends = "papr"\n', encoding="utf-8")
        sentence = refused("run", "mine.toml")
        assert sentence.startswith("mine.toml extends 'papr', and there is no such recipe: give the path of")

    def test_a_circle(self, refused):
        Path("a.toml").write_text('extends = "b.toml"\n', encoding="utf-8")
        Path("b.toml").write_text('extends = "./a.toml"\n', encoding="utf-8")
        assert refused("run", "a.toml") == (
            "a.toml extends b.toml extends a.toml: that is a circle; take extends out of one of them."
        )

    def test_a_recipe_that_extends_itself(self, refused):
        Path("a.toml").write_text('extends = "a.toml"\n', encoding="utf-8")
        assert refused("run", "a.toml").startswith("a.toml extends a.toml: that is a circle")

    @pytest.mark.parametrize("value", ["3", "['a.toml']", "true"])
    def test_a_value_of_the_wrong_type(self, refused, value):
        Path("a.toml").write_text(f"extends = {value}\n", encoding="utf-8")
        assert "must be the name or the path of a recipe." in refused("run", "a.toml")

    @pytest.mark.parametrize("value", ["", "."])
    def test_a_folder(self, refused, value):
        Path("a.toml").write_text(f"extends = '{value}'\n", encoding="utf-8")
        assert refused("run", "a.toml").startswith("Cannot read the recipe .")

    def test_the_file_that_is_wrong_is_named(self, refused):
        Path("base.toml").write_text(f"{SIMULATED}[parallel]\nfloor = 2\n", encoding="utf-8")
        Path("mine.toml").write_text("extends = 'base.toml'\n[parallel]\nrounds = 1\n", encoding="utf-8")
        assert refused("run", "mine.toml").startswith("base.toml: parallel.floor = 2 must be")
        # Whoever replaces the key is to blame for it.
        assert refused("run", "mine.toml", "--set", "parallel.floor=3").startswith(
            "--set 'parallel.floor=3': parallel.floor = 3"
        )
        Path("mine.toml").write_text("extends = 'base.toml'\n[parallel]\nfloor = 4\n", encoding="utf-8")
        assert refused("run", "mine.toml").startswith("mine.toml: parallel.floor = 4")

    def test_a_broken_file_is_named(self, refused):
        Path("base.toml").write_text("fleet = [\n", encoding="utf-8")
        Path("mine.toml").write_text("extends = 'base.toml'\n", encoding="utf-8")
        assert refused("run", "mine.toml").startswith("base.toml is not valid TOML")

    def test_a_wrong_variant_is_the_fault_of_its_file(self, refused):
        variant = "[compare.variants.v]\nmethod = 'fedavg'\nsettings = {'parallel.floor' = 2}\n"
        Path("base.toml").write_text(SIMULATED + variant, encoding="utf-8")
        Path("mine.toml").write_text("extends = 'base.toml'\n[compare]\ntune_seeds = 2\n", encoding="utf-8")
        assert refused("run", "mine.toml").startswith('base.toml: compare.variants."v": parallel.floor = 2')

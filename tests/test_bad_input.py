"""Whatever is wrong with the input, the answer is one sentence, and nothing is left behind."""

import json
import types
import typing
from pathlib import Path

import annotated_types
import pytest
from pydantic import BaseModel

from fedmetaalign.recipe import Recipe

FLEET = '[fleet]\ntable = "{table}"\nlabel = "fault"\nfeatures = ["speed", "load", "heat"]\n'
PUMP = FLEET.format(table="pump.csv")


@pytest.fixture
def recipe(here, small):
    """Writes a small recipe and returns its path."""

    def write(fleet=PUMP, more=""):
        path = here / "recipe.toml"
        path.write_text(f"{fleet}{small}{more}", encoding="utf-8")
        return path

    return write


# Tables


def test_a_table_that_is_not_there(recipe, refused):
    assert refused("run", recipe()).endswith(
        "pump.csv does not exist; check the path, or name the tables' folder with --data"
    )


def test_a_missing_column_is_answered_with_the_nearest(recipe, refused, device_table):
    table = device_table()
    table.header[1] = "Loads"
    table.write(Path("pump.csv"))
    assert refused("run", recipe()).endswith("pump.csv has no column 'load'; did you mean 'Loads'?")


def test_a_column_that_is_there_twice(recipe, refused, device_table):
    table = device_table()
    table.header[2] = "load"
    table.write(Path("pump.csv"))
    assert "pump.csv, line 1 names column 'load' twice" in refused("run", recipe())


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("high", "'high', which is not a number; correct it"),
        ("1,5", "'1,5', which is not a number; correct it"),
        ("", "is empty; fill the cell in or remove the row"),
        ("  ", "is empty; fill the cell in or remove the row"),
        ("NaN", "'NaN', which is not a finite number; correct it"),
        ("inf", "'inf', which is not a finite number; correct it"),
        ("-Infinity", "'-Infinity', which is not a finite number; correct it"),
        ("1e999", "1e999"),
    ],
)
def test_a_cell_that_is_no_finite_number_is_named_by_line_and_column(
    recipe, refused, device_table, cell, reason
):
    table = device_table()
    table.rows[41][1] = cell
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump.csv, line 43, column 'load'" in sentence
    assert reason in sentence


def test_numbers_too_large_to_standardise(recipe, refused, device_table):
    table = device_table()
    table.rows[41][1] = "1e200"
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump" in sentence
    assert "load" in sentence


def test_a_table_with_a_header_only(recipe, refused, device_table):
    device_table(samples=0).write(Path("pump.csv"))
    assert refused("run", recipe()).endswith(
        "pump.csv has a header but no rows; remove the device or give it data"
    )


def test_an_empty_file(recipe, refused):
    Path("pump.csv").touch()
    assert refused("run", recipe()).endswith("pump.csv is empty; give it a header and rows")


def test_a_table_that_is_a_directory(recipe, refused):
    Path("pump.csv").mkdir()
    assert "pump.csv is a directory" in refused("run", recipe())


@pytest.mark.parametrize(("label", "kind"), [("0", "normal samples"), ("1", "faults")])
def test_a_device_with_one_class(recipe, refused, device_table, label, kind):
    table = device_table()
    for row in table.rows:
        row[3] = label
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert sentence.startswith("Device pump in ")
    assert f"pump.csv has only {kind}: a classifier needs samples of both" in sentence


@pytest.mark.parametrize("label", ["2", "broken", "-1", "0.5"])
def test_labels_that_are_not_binary(recipe, refused, device_table, label):
    table = device_table()
    table.rows[7][3] = label
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump.csv, line 9, column 'fault' is a label but not 0/1" in sentence
    assert "`positive`" in sentence


def test_an_empty_label(recipe, refused, device_table):
    table = device_table()
    table.rows[7][3] = ""
    table.write(Path("pump.csv"))
    assert "pump.csv, line 9, column 'fault' is empty" in refused("run", recipe())


def test_a_positive_value_that_never_occurs(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", 'fleet.positive=["broken"]')
    assert "pump.csv" in sentence
    assert "broken" in sentence


@pytest.mark.parametrize("samples", [2, 4, 8, 12])
def test_fewer_samples_than_the_splits_need(recipe, refused, device_table, samples):
    table = device_table()
    table.rows = [row for y in "01" for row in [r for r in table.rows if r[3] == y][: samples // 2]]
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "Device pump " in sentence
    assert "[splits]" in sentence


def test_a_fault_too_rare_for_a_test_set(recipe, refused, device_table):
    table = device_table()
    table.rows = [r for r in table.rows if r[3] == "0"] + [r for r in table.rows if r[3] == "1"][:1]
    table.write(Path("pump.csv"))
    assert "Device pump has only normal samples in its " in refused("run", recipe())


def test_a_pattern_that_matches_no_file(recipe, refused):
    sentence = refused("run", recipe(FLEET.format(table="*.csv")))
    assert sentence.startswith("No file matches ")
    assert "*.csv" in sentence


def test_a_spoilt_file_among_those_of_a_pattern_is_named(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows[0][0] = "fast"
    table.write(Path("valve.csv"))
    assert "valve.csv, line 2, column 'speed' holds 'fast'" in refused(
        "run", recipe(FLEET.format(table="*.csv"))
    )


def test_two_devices_of_one_name(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    one = PUMP.replace("[fleet]", "[[fleet.devices]]")
    assert refused("run", recipe(one + one)).startswith("Two devices are called pump")


def test_more_features_than_the_network_takes(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", "model.inputs=2")
    assert "Device pump has 3 features and the network takes 2: raise model.inputs" in sentence


def test_a_partition_that_asks_for_more_samples_than_there_are(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", "fleet.partition={count = 2, samples = 100}")
    assert "2 devices of 100 samples need 200 rows, and the table has 120 to give" in sentence


def test_units_without_their_column(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    assert "splits.unit" in refused("run", recipe(), "--set", "splits.kind=units")
    assert "no column 'wave'" in refused(
        "run", recipe(), "--set", "splits.kind=units", "--set", "splits.unit=wave"
    )


def test_public_data_that_cannot_be_used(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows[41][1] = "high"
    table.write(Path("public.csv"))
    public = FLEET.format(table="public.csv").replace("[fleet]", "[foundation]")
    assert "public.csv, line 43, column 'load' holds 'high'" in refused("run", recipe(more=public))


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_public_data_of_too_few_samples(recipe, refused, device_table, samples):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows = [row for y in "01" for row in [r for r in table.rows if r[3] == y]][60 - samples // 2 :][
        :samples
    ]
    table.write(Path("public.csv"))
    public = FLEET.format(table="public.csv").replace("[fleet]", "[foundation]")
    assert "public" in refused("run", recipe(more=public))


def test_a_simulator_asked_for_too_few_samples(refused):
    Path("recipe.toml").write_text('[fleet]\nsimulator = "feeder"\nsamples = 3\n', encoding="utf-8")
    assert "feeder-00" in refused("run", "recipe.toml")


# Recipes


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("sed = 1\n[fleet]\nsimulator = 'feeder'\n", "sed", "seed"),
        ("[paralel]\nrounds = 1\n[fleet]\nsimulator = 'feeder'\n", "paralel", "parallel"),
        ("[parallel]\nround = 1\n[fleet]\nsimulator = 'feeder'\n", "parallel.round", "rounds"),
        ("[fleet.partition]\nalfa = 1\n", "fleet.partition.alfa", "alpha"),
        ("[[fleet.devices]]\ntabel = 'a.csv'\n", "fleet.devices.0.tabel", "table"),
        ("[fleet]\nfeature = []\n", "fleet.feature", "features"),
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
    "fleet.partition.count": [0],
    "fleet.partition.samples": [0],
    "fleet.partition.alpha": [0, -1, "nan", "inf"],
    "fleet.partition.minimum": [0],
    "splits.test": [0, 1, -0.1],
    "splits.serial": [0, 1],
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
    "serial.rounds": [-1],
    "serial.epochs": [0],
    "serial.tours": [0],
    "parallel.rounds": [-1],
    "parallel.epochs": [0],
    "parallel.floor": [-0.1, 1.1],
    "parallel.server_learning_rate": [0, -1, "inf"],
    "parallel.cohort": [0, 1.1],
    "personalize.epochs": [0],
    "personalize.freeze": [-0.1, 1],
    "personalize.learning_rate": [0, 1.1],
    "personalize.threshold": [0, 1],
    "deploy.max_bytes": [0],
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

    without_limits = {f"{path}positive" for path in ("fleet.", "fleet.devices.", "foundation.")}
    assert set(numeric(Recipe)) - without_limits == set(OUT_OF_RANGE)


@pytest.mark.parametrize(("key", "value"), [(key, v) for key, values in OUT_OF_RANGE.items() for v in values])
def test_a_value_out_of_range_is_named_with_its_key(refused, key, value):
    in_devices = key.startswith("fleet.devices.")
    base = '[[fleet.devices]]\nsimulator = "feeder"\n' if in_devices else '[fleet]\nsimulator = "feeder"\n'
    if in_devices:
        base += f"{key.removeprefix('fleet.devices.')} = {value}\n"
    Path("recipe.toml").write_text(base, encoding="utf-8")
    sentence = refused("run", "recipe.toml", *([] if in_devices else ["--set", f"{key}={value}"]))
    shown = key.replace("fleet.devices.", "fleet.devices.0.")
    assert sentence.startswith(f"recipe.toml: {shown}")
    # What follows the key says what is allowed, not how the recipe is read.
    assert sentence.removeprefix(f"recipe.toml: {shown}").startswith((" = ", ".0 = ", ".1 = "))


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
        ("parallel.aggregation", "'median'"),
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
    sentence = refused("run", "recipe.toml", "--set", f"{key}={value}")
    assert sentence.startswith(f"recipe.toml: {key}")
    assert sentence.removeprefix(f"recipe.toml: {key}").startswith((" = ", ".0 = "))


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
    ],
)
def test_keys_that_do_not_go_together(refused, text, reason):
    Path("recipe.toml").write_text(text, encoding="utf-8")
    sentence = refused("run", "recipe.toml")
    assert sentence.startswith("recipe.toml: ")
    assert reason in sentence


def test_a_recipe_that_is_not_there(refused):
    assert refused("run", "missing.toml").startswith("There is no recipe 'missing.toml'")
    assert "demo, paper" in refused("run", "papr")


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
    assert "seed is not a section" in refused("run", "--set", "seed.value=3")


def test_a_negative_seed(refused):
    assert "seed = -1" in refused("run", "--seed", "-1")


# Where to write


@pytest.fixture
def good(recipe, device_table):
    """A recipe that would run."""
    device_table().write(Path("pump.csv"))
    return recipe()


def test_a_folder_that_holds_something_is_left_as_it_is(good, refused):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine", encoding="utf-8")
    assert refused("run", good, "--out", "out") == "out is not empty: choose another --out."


def test_a_folder_that_holds_a_run_may_be_resumed(good, refused):
    Path("out").mkdir()
    Path("out/recipe.toml").touch()
    assert "--resume" in refused("run", good, "--out", "out")


def test_an_out_that_is_a_file(good, refused):
    Path("out").write_text("mine", encoding="utf-8")
    assert "out" in refused("run", good, "--out", "out")


def test_an_out_that_cannot_be_made(good, refused):
    Path("file").touch()
    assert refused("run", good, "--out", "file/out").startswith("Cannot write to file/out: ")


def test_a_model_that_cannot_fit_is_refused_before_training(good, refused, monkeypatch):
    monkeypatch.setattr("fedmetaalign.run._train", lambda *_: pytest.fail("it trained"))
    sentence = refused("run", good, "--set", "deploy.max_bytes=100")
    assert "deploy.max_bytes is 100" in sentence
    assert "model.hidden" in sentence


@pytest.mark.parametrize("name", ["../escape", "a/b", "{here}/absolute", "..", "."])
@pytest.mark.usefixtures("no_report")
def test_a_recipe_whose_name_is_a_path_writes_nowhere_but_in_runs(good, cli, here, name):
    outcome = cli("run", good, "--set", f"name='{name.format(here=here)}'")
    assert outcome.status in (0, 1)
    assert {path.name for path in here.iterdir()} <= {"recipe.toml", "pump.csv", "runs"}
    if outcome.status == 0:
        assert len(list(Path("runs").glob("*/results.json"))) == 1


# Resuming


def test_resuming_without_saying_which_run_is_a_wrong_call(good, cli, here):
    outcome = cli("run", good, "--resume")
    assert outcome.status == 2
    assert "--out" in outcome.err
    assert not (here / "runs").exists()


def test_resuming_a_run_that_is_not_there(good, refused):
    assert "out holds no run to resume" in refused("run", good, "--resume", "--out", "out")
    assert "out" in refused("run", "--resume", "--out", "out")


# Training that fails


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.learning_rate=1"],
        ["optimizer.learning_rate=1", "personalize.epochs=40"],
        ["parallel.server_learning_rate=1e5"],
        ["parallel.server_learning_rate=1e30"],
        ["parallel.server_learning_rate=1e30", "parallel.rounds=1"],
        ["parallel.server_learning_rate=1e38", "deploy.format=float32"],
        ["parallel.server_learning_rate=1e13", "parallel.rounds=1"],
    ],
)
def test_training_that_diverges_ends_in_one_sentence(good, cli, settings):
    outcome = cli("run", good, "--out", "out", *(word for s in settings for word in ("--set", s)))
    if outcome.status == 0:
        assert outcome.err == ""
        assert json.loads(Path("out/results.json").read_text(encoding="utf-8"))["devices"]
    else:
        assert outcome.status == 1
        assert outcome.err.startswith("fedmetaalign: ")
        assert outcome.err.count("\n") == 1
        assert "learning_rate" in outcome.err
        assert not Path("out/results.json").exists()


def test_weights_that_are_not_finite_end_the_run(good, cli):
    outcome = cli("run", good, "--out", "out", "--set", "parallel.server_learning_rate=1e300")
    assert outcome.status == 1
    assert outcome.err.startswith("fedmetaalign: Training has diverged: after parallel round ")


# Bundles


@pytest.fixture
def bundle(here, finished):
    """A copy of a device's bundle, and a table for it."""
    source = finished.folder / "devices" / "feeder-00"
    (here / "bundle").mkdir()
    for file in source.iterdir():
        (here / "bundle" / file.name).write_bytes(file.read_bytes())
    (here / "new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,0.2,-0.3\n", encoding="utf-8")
    return here / "bundle"


def test_a_bundle_that_is_not_there(refused, bundle):
    assert refused("predict", "elsewhere", "new.csv").startswith("elsewhere/bundle.json is missing")


def test_samples_that_are_not_there(refused, bundle):
    assert "old.csv does not exist" in refused("predict", "bundle", "old.csv")


@pytest.mark.parametrize("name", ["model.tflite", "golden.csv", "weights.safetensors", "bundle.json"])
def test_a_bundle_that_lacks_a_file(refused, bundle, name):
    (bundle / name).unlink()
    assert f"bundle/{name} is missing" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("name", ["model.tflite", "golden.csv", "weights.safetensors"])
def test_a_bundle_with_an_altered_file(refused, bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert refused("predict", "bundle", "new.csv").startswith(f"bundle/{name} is not the file that bundle.json")


def test_a_bundle_of_another_version(refused, bundle):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    (bundle / "bundle.json").write_text(json.dumps(facts | {"version": 99}), encoding="utf-8")
    assert "bundle/bundle.json has layout 99, this version reads 1" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "{}", '{"version": 1}', "\x00"])
def test_a_description_that_is_no_description(refused, bundle, text):
    (bundle / "bundle.json").write_text(text, encoding="utf-8")
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


def test_a_description_that_is_not_utf_8(refused, bundle):
    (bundle / "bundle.json").write_bytes(b'{"version": 1, "device": "\xff"}')
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [0.0]),
        ("scale", [1.0] * 7),
        ("scale", [0.0] * 6),
        ("columns", [0, 1, 2, 3, 4, 99, -1, -1, -1]),
        ("columns", [0, 1, 2, 3, 4, -9, -1, -1, -1]),
        ("columns", [0, 1]),
        ("mean", ["x"] * 6),
        ("mean", [float("nan")] * 6),
        ("mean", None),
        ("features", ["Ia"]),
        ("categories", []),
        ("units", None),
    ],
)
def test_a_preparation_that_does_not_fit_together(refused, bundle, key, value):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    facts["preparation"][key] = value
    (bundle / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    assert "bundle" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", None),
        ("threshold", "high"),
        ("threshold", float("nan")),
        ("runtime", "abacus"),
        ("runtime", None),
        ("sha256", {}),
        ("sha256", []),
        ("preparation", None),
    ],
)
def test_a_description_with_a_damaged_value(refused, bundle, key, value):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8")) | {key: value}
    (bundle / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    refused("predict", "bundle", "new.csv")


def test_samples_that_lack_a_feature(refused, bundle):
    Path("new.csv").write_text("Ia,Ib,Ic,Va,Vb\n1,2,3,0.1,0.2\n", encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("new.csv has no column 'Vc'")


def test_samples_with_a_cell_that_is_no_number(refused, bundle):
    Path("new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,?,-0.3\n", encoding="utf-8")
    assert "new.csv, line 2, column 'Vb' holds '?'" in refused("predict", "bundle", "new.csv")


def test_a_prediction_that_cannot_be_written(refused, bundle):
    Path("file").touch()
    assert refused("predict", "bundle", "new.csv", "--out", "file/scores.csv").startswith(
        "Cannot write file/scores.csv"
    )
    Path("folder").mkdir()
    assert refused("predict", "bundle", "new.csv", "--out", "folder").startswith("Cannot write folder")


# The other verbs


def test_a_report_of_a_folder_that_is_no_run(refused, here):
    assert refused("report", ".").startswith(". has no recipe.toml")
    assert "missing" in refused("report", "missing")


def test_data_that_nobody_knows(refused):
    assert refused("data", "fetch", "iris").startswith("No data set is called 'iris'")
    assert "ai4i2020" in refused("data", "fetch", "ai4i")


def test_a_folder_that_cannot_take_simulated_tables(refused):
    Path("taken").mkdir()
    Path("taken/notes.txt").touch()
    assert refused("data", "simulate", "feeder", "--out", "taken").startswith("taken is not empty")
    Path("file").touch()
    assert refused("data", "simulate", "feeder", "--out", "file").startswith("Cannot write to file")
    assert refused("data", "simulate", "feeder", "--out", "file/below").startswith("Cannot write to file/below")


@pytest.mark.parametrize("arguments", [["missing.csv"], ["."], ["notes.txt"]])
def test_an_audit_of_what_is_no_table(refused, arguments):
    Path("notes.txt").write_text("hello\n", encoding="utf-8")
    assert arguments[0] in refused("audit", *arguments)


def test_an_audit_for_a_label_that_is_not_there(refused, device_table):
    device_table().write(Path("pump.csv"))
    assert "pump.csv has no column 'fail'" in refused("audit", "pump.csv", "--label", "fail")

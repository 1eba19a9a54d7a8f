"""A device that comes when its fleet is trained: what it is given, by which labels, and on whose machine."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from over_flower import nodes_of
from test_server_app import quick_polls, settings  # noqa: F401 - a fixture of the tests over Flower

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.join import join
from fedmetaalign.join.trained import export, read_trained
from fedmetaalign.phases.budget import all_steps
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.run import run
from fedmetaalign.serving.server_app import serve
from fedmetaalign.system.sealed import sealed, unsealed
from fedmetaalign.tinyml.bundle import read, read_weights

FEATURES = 6


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Two feeders more than the fleet has, 250 samples each, whose rows no other one has."""
    folder = tmp_path_factory.mktemp("strangers") / "tables"
    write_devices("feeder", 5, 250, 5, folder)
    return [folder / "feeder-03.csv", folder / "feeder-04.csv"]


@pytest.fixture(scope="module")
def recipe(csv_fleet):
    settings = ["fleet.scaling=fleet", "evaluation.alone=false", "deploy.weights=all"]
    return recipes.load(str(csv_fleet / "recipe.toml"), settings)


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
        run(recipe, folder)
    return folder


@pytest.fixture
def copied(trained, here):
    """A copy of the run, called "run", in the working directory."""
    return Path(shutil.copytree(trained, "run"))


@pytest.fixture
def table(here, strangers):
    """Writes the first rows of a stranger's table that `keep` wants; those that `tell` wants have a label."""

    def write(rows=250, keep=lambda row: True, tell=lambda number: True, label=True, name="new.csv"):
        with strangers[0].open(encoding="utf-8") as file:
            header, *every = csv.reader(file)
        fault = header.index("fault")
        kept = [row for row in every if keep(int(row[fault]))][:rows]
        lines = [row[:FEATURES] + [row[fault] if tell(i) else ""] * label for i, row in enumerate(kept)]
        with Path(name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header[:FEATURES] + ["fault"] * label, *lines])
        return Path(name)

    return write


def weights(bundle):
    """All float weights of a bundle, one after the other."""
    return np.concatenate(
        [array.ravel() for layer in read_weights(bundle) for array in (layer.weights, layer.biases)]
    )


def given(folder):
    """The global weights of a run, as a bundle has them."""
    found = read_trained(folder)
    layers = float_layers(found.learner.network, found.state.weights)
    return np.concatenate([array.ravel() for layer in layers for array in (layer.weights, layer.biases)])


# What it is given


def test_without_a_label_it_takes_the_global_model_as_it_is_and_all_else_stays(copied, table, contents):
    before = contents(copied)
    told, places = join(copied, table(label=False))
    assert weights(places.bundle).tobytes() == given(copied).tobytes()
    assert read(places.bundle).threshold == 0.5
    assert (told["table"]["rows"], told["table"]["labelled"], told["samples"]) == (250, 0, {})
    assert told["did"] == "took the global model as it is"
    after = contents(copied)
    assert {name: after[name] for name in before} == before
    new = {name for name in set(after) - set(before) if not name.startswith("devices/new")}
    assert new == {"joined", "joined/new.json"}
    assert json.loads((copied / "joined/new.json").read_text(encoding="utf-8")) == told


@pytest.mark.parametrize(("rows", "own"), [(19, False), (20, True), (100, True)])
def test_twenty_labels_make_the_model_its_own_as_far_as_phase_3_trains_it(copied, table, rows, own):
    told, places = join(copied, table(rows))
    found, whole = weights(places.bundle), given(copied)
    network = read_trained(copied).learner.network
    frozen = 9 * 8 + 8
    assert network.hidden == (8, 4), "three layers, of which freeze = 0.5 keeps one"
    assert found[:frozen].tobytes() == whole[:frozen].tobytes()
    assert (found[frozen:].tobytes() != whole[frozen:].tobytes()) == own
    assert sum(told["samples"].values()) == rows
    assert ("its own" in told["did"]) == own


@pytest.mark.parametrize(("label", "words"), [(0, "all normal ones"), (1, "all faults")])
def test_labels_of_one_kind_alone_train_nothing(copied, table, label, words):
    told, places = join(copied, table(100, keep=lambda fault: fault == label))
    assert weights(places.bundle).tobytes() == given(copied).tobytes()
    assert words in told["why"]


def test_rows_without_a_label_calibrate_the_model_and_are_never_trained_on(copied, table):
    few, _ = join(copied, table(40, name="few.csv"), name="a")
    every, places = join(copied, table(250, tell=lambda number: number < 40, name="every.csv"), name="b")
    assert (every["table"]["rows"], every["table"]["labelled"]) == (250, 40)
    assert every["samples"] == few["samples"]
    assert every["notices"] == ["210 of its 250 samples have no label."]
    # The device's name decides the order of its samples, and so it has to be the same here.
    join(copied, Path("few.csv"), name="c", out=Path("few"))
    join(copied, Path("every.csv"), name="c", out=Path("every"))
    one, other = Path("few/bundle"), Path("every/bundle")
    assert weights(one).tobytes() == weights(other).tobytes()
    assert (one / "model.tflite").read_bytes() != (other / "model.tflite").read_bytes()
    samples = (places.bundle / "golden.csv").read_text(encoding="utf-8").splitlines()
    assert len(samples) == 1 + 64 + 9  # 9 with broken sensors


@pytest.mark.parametrize(("rows", "words"), [(9, "has 9 samples to standardise the device with"), (10, "")])
def test_a_device_that_is_standardised_by_itself_needs_ten_samples(finished, table, cli, rows, words):
    """The run of `finished` has scaling = "device"; that of the other tests has "fleet"."""
    outcome = cli("join", finished.folder, "--table", table(rows, label=False), "--out", "there")
    assert (outcome.status, Path("there").exists()) == ((1, False) if words else (0, True))
    assert words in outcome.err
    assert ("Its 10 samples are few to standardise" in outcome.err) == (not words)


def test_a_share_is_held_out_and_tested_on(copied, table):
    told, _ = join(copied, table(), test=0.2)
    assert told["test"]["samples"] == 50
    assert sum(told["samples"].values()) == 200
    for model in ("global", "personalized", "deployed"):
        assert 0.5 < told["test"][model]["accuracy"] <= 1
        assert (50 * told["test"][model]["accuracy"]) == pytest.approx(
            round(50 * told["test"][model]["accuracy"])
        )


def test_its_steps_are_counted_as_those_of_the_mean_device(trained, recipe):
    fleet = build(recipe)
    found = read_trained(trained)
    stand_in = found.mean_member(fleet.devices[0])
    assert all_steps(recipe, (stand_in,), 3) == pytest.approx(all_steps(recipe, fleet.devices, 3), rel=0.02)


@pytest.mark.usefixtures("no_report")
def test_every_method_with_a_global_model_makes_what_a_member_gets_of_it(csv_fleet, table, here):
    """`fed_meta_align_guarded` asks for the steps of the members, which are not there."""
    settings = ["method=fed_meta_align_guarded", "deploy.weights=all"]
    small = recipes.load(str(csv_fleet / "recipe.toml"), settings)
    run(small, here / "guarded")
    told, places = join(here / "guarded", table(100))
    assert told["did"].endswith("fed_meta_align_guarded")
    assert not np.array_equal(weights(places.bundle), given(here / "guarded"))


GROUPS = """
extends = "fleet"
[[fleet.devices]]
simulator = "feeder"
count = 3
samples = 150
[[fleet.devices]]
simulator = "milling"
count = 3
samples = 150
[serial]
rounds = 2
[model]
hidden = [8]
[teaching]
teachers = ["fleet", "tuned"]
"""


@pytest.mark.usefixtures("no_report")
def test_of_the_models_of_several_groups_it_gets_that_of_those_it_is_like(here):
    Path("two.toml").write_text(GROUPS, encoding="utf-8")
    run(recipes.load("two.toml"), here / "run")
    groups = [[f"{kind}-0{i}" for i in range(3)] for kind in ("feeder", "milling")]
    assert [[*final.names] for final in read_trained(here / "run").finals()] == groups
    for kind, members in zip(("feeder", "milling"), groups, strict=True):
        labelled = write_devices(kind, 5, 150, 0, Path(kind)).with_name(f"{kind}-04.csv")
        with labelled.open(encoding="utf-8") as file:
            rows = [row[:FEATURES] for row in csv.reader(file)]
        plain = Path(f"{kind}.csv")
        plain.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
        for table in (labelled, plain):
            told, _ = join(here / "run", table)
            assert [*told["run"]["group"]] == members
            assert told["table"]["labelled"] == (150 if table is labelled else 0)
    export(here / "run", here / "handed")
    assert join(here / "handed", Path("milling.csv"))[0]["bundle"] == told["bundle"]


@pytest.mark.usefixtures("no_report")
def test_kinds_of_faults_are_the_fleets(here, cli):
    fleet = {"simulator": "feeder", "count": 2, "samples": 250, "kinds": True}
    small = {"model": {"hidden": [8]}, "optimizer": {"learning_rate": 0.01}, "parallel": {"rounds": 1}}
    run(recipes.parse({"fleet": fleet, "serial": {"rounds": 1}, **small}, "here"), here / "run")
    path = write_devices("feeder", 3, 250, 5, Path("more")).with_name("feeder-02.csv")
    told, places = join(here / "run", path)
    labels = read(places.bundle).labels
    assert [labels.classes[i] for i in labels.normal] == ["normal"]
    assert sum(told["samples"].values()) == 250
    assert {"normal", "A-B-C"} < set(told["samples"]) <= set(labels.classes)
    strange = path.with_name("strange.csv")
    strange.write_text(path.read_text(encoding="utf-8").replace(",A-B-C,", ",lightning,"), encoding="utf-8")
    said = cli("join", "run", "--table", strange).err
    assert (
        said == "fedmetaalign: more/strange.csv, column 'kind' holds 'lightning', which `classes` lacks; add"
        " it or correct the cells.\n"
    )


# Whose machine it is


def test_what_is_exported_holds_no_sample_and_gives_the_same_bundle_elsewhere(copied, table, contents):
    export(copied, Path("handed"))
    assert set(contents(Path("handed"))) == {"recipe.toml", "fleet.json", "checkpoint.safetensors", "join.json"}
    arrays, _ = unsealed(Path("handed/checkpoint.safetensors"))
    assert {array.shape for array in arrays.values()} == {read_trained(copied).state.weights.shape}
    told, _ = join(copied, table(30))
    shutil.move("run", "gone")
    elsewhere, there = join(Path("handed"), Path("new.csv"))
    assert there.bundle == Path("device-new/bundle")
    assert elsewhere == told
    assert contents(there.bundle) == contents(Path("gone/devices/new"))


@pytest.mark.usefixtures("quick_polls", "no_report")
def test_a_run_over_flower_is_joined_like_one_in_a_process(copied, recipe, table, here, contents):
    (here / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    with InProcessGrid(client_app, nodes_of(recipe, here / "fleet")) as grid:
        serve(grid, settings(here / "recipe.toml", here / "served"))
    assert (here / "served/fleet.json").read_bytes() == (copied / "fleet.json").read_bytes()
    one, _ = join(copied, table(30))
    export(here / "served", here / "handed")
    other, _ = join(here / "handed", Path("new.csv"))
    assert one == other


# What is refused, with nothing written


@pytest.fixture
def no(copied, refused):
    """What `join run` says to these arguments."""
    return lambda *arguments: refused("join", "run", *arguments)


def test_a_name_has_one_owner(copied, table, refused, cli):
    new = table(30)
    said = "feeder-01 is a device of the fleet, and has its bundle: choose another --name."
    assert refused("join", "run", "--table", new, "--name", "Feeder-01") == said.replace("f", "F", 1)
    assert cli("join", "run", "--table", new).status == 0
    said = refused("join", "run", "--table", new)
    assert said == "new has joined already: choose another --name, or replace its bundle with --again."
    before = json.loads((copied / "joined/new.json").read_text(encoding="utf-8"))
    assert cli("join", "run", "--table", table(40), "--again").status == 0
    assert json.loads((copied / "joined/new.json").read_text(encoding="utf-8"))["samples"] != before["samples"]
    Path("device-x/bundle").mkdir(parents=True)
    said = refused("join", "run", "--table", new, "--out", "device-x")
    assert said == "device-x/bundle is there already: remove it, or choose another --name or --out."


def test_a_table_has_the_features_of_the_fleet_in_their_units(no, table):
    path = table(30)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Ia", "current", 1), encoding="utf-8")
    assert no("--table", path).startswith("new.csv has no column 'Ia'; ")
    path.write_text(text.replace("Ia", "Ia [mA]", 1), encoding="utf-8")
    assert no("--table", path) == (
        "new.csv has 'Ia' in mA, but A is needed: convert column 'Ia [mA]' and rename it."
    )
    path.write_text(text.splitlines()[0] + "\n", encoding="utf-8")
    assert no("--table", path) == "new.csv has a header but no rows; remove the device or give it data."


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "results.json").unlink(),
         "run is not a finished run: go on with it by --resume, and join it then."),
        (lambda run: (run / "recipe.toml").unlink(),
         "run holds no run: give the folder of a finished one, or what --export has written."),
        (lambda run: (run / "fleet.json").unlink(),
         "run/fleet.json is missing: copy it again, or make it by `fedmetaalign run --resume --out run`."),
        (lambda run: (run / "fleet.json").write_text("{}"),
         "run/fleet.json is damaged ('families'): copy it again, or run again with another --out."),
        (lambda run: (run / "results.json").write_text('{"devices": {}}'),
         "run/results.json is damaged (IndexError('list index out of range')): copy it again, or run"
         " --resume."),
        (lambda run: flip(run / "checkpoint.safetensors"),
         "run/checkpoint.safetensors is damaged (it does not hold what its sha256 says): copy it again, or run"
         " again with another --out."),
    ],
    ids=["unfinished", "no run", "no fleet.json", "fleet.json", "results.json", "checkpoint"],
)  # fmt: skip
def test_a_run_that_cannot_be_joined_says_why(no, copied, table, spoil, says):
    path = table(30)
    spoil(copied)
    assert no("--table", path) == says
    assert no("--export", "handed") == says


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_weights_of_another_network_are_refused(no, copied, table):
    path = table(30)
    arrays, facts = unsealed(copied / "checkpoint.safetensors")
    short = {name: array[:-1] for name, array in arrays.items()}
    (copied / "checkpoint.safetensors").write_bytes(sealed(short, facts))
    assert "its network does not have the recipe's 121 parameters" in no("--table", path)


@pytest.mark.usefixtures("no_report")
def test_a_method_without_a_global_model_is_refused(csv_fleet, here, table, refused):
    run(recipes.load(str(csv_fleet / "recipe.toml"), ["method=local_only"]), here / "alone")
    assert refused("join", "alone", "--table", table(30)) == (
        "The method local_only has no global model that a device could be given: join a run of another, such as"
        " fed_meta_align."
    )


def test_where_sources_are_alike_somebody_has_to_say_which_it_is(
    here, strangers, device_table, refused, cli, small
):
    device_table().write(here / "pump.csv")
    device_table(seed=1).write(here / "fan.csv")
    device_table(seed=2).write(here / "new.csv")
    features = 'features = ["speed", "load", "heat"]'
    sources = [
        f'[[fleet.devices]]\nname = "{name}"\ntable = "{name}.csv"\nlabel = "fault"\n{features}\n{more}'
        for name, more in (("pump", ""), ("fan", 'units = {speed = "rpm"}\n'))
    ]
    (here / "recipe.toml").write_text("\n".join([*sources, small]), encoding="utf-8")
    run(recipes.load("recipe.toml"), here / "run")
    said = (
        "new.csv has the features of several sources of the fleet: say whose columns it has with --like, one of"
    )
    assert refused("join", "run", "--table", "new.csv") == f"{said} 'pump', 'fan'."
    assert refused("join", "run", "--table", "new.csv", "--like", "mill") == (
        "The fleet has no source or device 'mill': give --like one of 'pump', 'fan'."
    )
    assert cli("join", "run", "--table", "new.csv", "--like", "fan").status == 0
    units = json.loads((here / "run/devices/new/bundle.json").read_text(encoding="utf-8"))["preparation"][
        "units"
    ]
    assert units == ["rpm", "", ""]
    assert refused("join", "run", "--table", strangers[0], "--like", "fan").startswith(
        f"{strangers[0]} has no column 'speed'; "
    )


def test_units_of_a_newcomers_table_are_turned_as_those_of_the_fleet_are(here, cli, small, no_report):
    """In the name, in brackets, by a line of units, with decimal commas: the bundle takes them as they are."""
    random = np.random.default_rng(0)
    heat, press = random.normal([60, 6], [8, 1], (200, 2)).T
    rows = [(f"{a:.4f}", f"{b:.4f}", int(a + 4 * b > 88)) for a, b in zip(heat, press, strict=True)]
    for name, own in (("ann", rows[:100]), ("bob", rows[100:])):
        lines = ["heat_degC;press [bar];fault", *(";".join(map(str, row)) for row in own)]
        Path(f"{name}.csv").write_text("\n".join(lines).replace(".", ","), encoding="utf-8")
    other = [(f"{float(a) * 1.8 + 32:.4f}", f"{100 * float(b):.4f}", y) for a, b, y in rows[:100]]
    lines = ["heat_degF;press;fault", "-;kPa;-", *(";".join(map(str, row)) for row in other)]
    Path("newcomer.csv").write_text("\n".join(lines).replace(".", ","), encoding="utf-8")
    Path("recipe.toml").write_text(
        '[fleet]\ntable = "???.csv"\nlabel = "fault"\nfeatures = ["heat", "press"]\nscaling = "fleet"\n'
        'csv = { decimal = "," }\n[fleet.conversions]\n'
        'F = { to = "degC", factor = 0.5555555555555556, offset = -17.77777777777778 }\n'
        f'kPa = {{ to = "bar", factor = 0.01 }}\n{small}'
    )
    run(recipes.load("recipe.toml"), Path("run"))
    joined = cli("join", "run", "--table", "newcomer.csv", "--name", "new")
    assert joined.status == 0, joined.err
    assert "'heat' is turned from F into degC on new: a bundle there takes it in F." in joined.err
    ann, new = read(Path("run/devices/ann")), read(Path("run/devices/new"))
    assert (ann.preparation.units, new.preparation.units) == (("degC", "bar"), ("F", "kPa"))
    assert np.array(new.preparation.scale) / ann.preparation.scale == pytest.approx([1.8, 100])
    said = cli("predict", "run/devices/new", "newcomer.csv", "--format", "jsonl")
    assert said.status == 0 and said.out.count("normal") > 50, said.err


def test_a_table_or_an_export_is_asked_for(cli, copied):
    for wrong in ((), ("--table", "a.csv", "--export", "b")):
        assert cli("join", "run", *wrong).status == 2

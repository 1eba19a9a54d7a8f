"""Devices that have normal samples alone, or no label: what they take part in, receive, and are judged by."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from over_flower import over_flower
from pages import details_of, row_of

from fedmetaalign import recipe as recipes
from fedmetaalign.cli.progress import print_results
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.errors import DataError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.local_device import hello
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators import find
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.recipe import Recipe
from fedmetaalign.run import Watcher, run
from fedmetaalign.tinyml import bundle

SMALL = """
name = "mixed"
[fleet]
table = "f*.csv"
label = "fault"
features = {}
scaling = "fleet"
[model]
hidden = [16]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 2
[parallel]
rounds = 6
[personalize]
epochs = 2
max_false_alarms = 0.05
"""

NORMAL, NOTHING, PARTLY = "feeder-04", "feeder-05", "feeder-03"
"""Of six feeders: one whose faults are dropped, one whose labels are, and one that lacks each tenth label."""


def write(folder: Path, devices: list[Table]) -> None:
    """Writes the tables of a fleet in which few devices are as a data set would have them."""
    for table in devices:
        with (folder / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([*table.features, "fault", "kind"])
            assert table.kinds is not None
            for i, (x, y, kind) in enumerate(zip(table.x.tolist(), table.y, table.kinds, strict=True)):
                if table.name == NORMAL and y:
                    continue
                bare = table.name == NOTHING or (table.name == PARTLY and i % 10 == 0)
                rows.writerow([*x, *(["", ""] if bare else [y, kind])])
    (folder / "recipe.toml").write_text(SMALL.format(json.dumps(devices[0].features)), encoding="utf-8")


class Listener(Watcher):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notice(self, sentence: str) -> None:
        self.told.append(sentence)


@dataclass(frozen=True)
class Mixed:
    """A finished run; not to be changed."""

    folder: Path
    recipe: Recipe
    devices: dict[str, Table]
    results: dict[str, Any]
    told: list[str]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Mixed:
    folder, listener = tmp_path_factory.mktemp("mixed"), Listener()
    devices = find("feeder")(6, 400, 0)
    write(folder, devices)
    recipe = recipes.load(str(folder / "recipe.toml"))
    results = run(recipe, folder / "run", watcher=listener)
    return Mixed(folder, recipe, {t.name: t for t in devices}, results, listener.told)


def alarms(mixed: Mixed, name: str) -> tuple[float, float]:
    """What a device's bundle makes of all samples, those that were kept from it too: recall, false alarms."""
    found, table = bundle.read(mixed.folder / "run" / "devices" / name), mixed.devices[name]
    said = found.faults(found.scores(table.x))
    return said[table.y == 1].mean(), said[table.y == 0].mean()


def test_a_device_without_faults_trains_with_the_others_and_one_without_labels_does_not(mixed):
    lines = (mixed.folder / "run" / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {(each["phase"], each["device"]) for each in map(json.loads, lines) if "support_loss" in each}
    assert {phase for phase, device in trained if device == NORMAL} == {1, 2}  # fine-tuning would ruin it
    assert not {phase for phase, device in trained if device == NOTHING}
    assert {phase for phase, device in trained if device == PARTLY} == {1, 2, 3}


def test_both_receive_the_fleets_weights_as_they_are(mixed):
    def weights(name: str) -> list[bytes]:
        folder = mixed.folder / "run" / "devices" / name
        return [layer.weights.tobytes() + layer.biases.tobytes() for layer in bundle.read_weights(folder)]

    assert weights(NORMAL) == weights(NOTHING)
    assert weights(NORMAL) != weights("feeder-00")


def test_what_they_receive_finds_faults_that_they_have_never_seen(mixed):
    recall, false = alarms(mixed, NORMAL)
    assert recall > 0.4 and false < 0.1
    recall, false = alarms(mixed, NOTHING)
    assert recall > 0.5 and false < 0.1


def test_what_is_not_defined_without_faults_is_not_given(mixed):
    found = mixed.results["devices"][NORMAL]
    assert found["known"] == "normal" and "alone" not in found
    assert found["majority"] is found["one_rule"] is None
    deployed = found["stages"]["deployed"]
    undefined = {key for key, value in deployed.items() if value is None}
    assert undefined == {"f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc"}
    alarms = found["false_alarms"]
    assert alarms["share"] == pytest.approx(1 - deployed["accuracy"])
    assert (alarms["allowed"], alarms["samples"]) == (0.05, found["samples"]["test"])
    assert alarms["low"] <= alarms["share"] <= alarms["high"] < 0.2
    # All of its share of phase 3 is there to choose the threshold by: 0.3 of its training samples.
    assert found["samples"]["personalize"] == 54
    assert "2 of 54 normal samples are above the threshold" in found["threshold_note"]
    assert found["threshold_note"].startswith("These are the fleet's weights as they are.")


def test_of_a_device_without_labels_nothing_is_said(mixed):
    found = mixed.results["devices"][NOTHING]
    assert (found["known"], found["threshold"]) == ("nothing", 0.5)
    assert found["samples"] == {"serial": 0, "parallel": 0, "personalize": 0, "train": 0, "test": 0}
    for metrics in found["stages"].values():
        assert [*filter(None, metrics.values())] == [0.5]  # the threshold
    assert not {"alone", "false_alarms"} & found.keys()


def test_the_fleets_figures_are_those_of_the_devices_with_faults(mixed):
    devices, fleet = mixed.results["devices"], mixed.results["fleet"]
    judged = [each for each in devices.values() if "known" not in each]
    assert len(judged) == 4 and fleet["devices"] == 6
    accuracies = [each["stages"]["deployed"]["accuracy"] for each in judged]
    gains = [each["stages"]["deployed"]["accuracy"] - each["alone"]["accuracy"] for each in judged]
    assert fleet["stages"]["deployed"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert fleet["gain_over_alone"] == pytest.approx(np.mean(gains))
    assert fleet["worse_off"] == np.mean(np.array(gains) < 0)
    assert fleet["worst"]["device"] not in (NORMAL, NOTHING)
    share = devices[NORMAL]["false_alarms"]["share"]
    assert fleet["without_faults"] == {"devices": 1, "false_alarms": share}
    assert fleet["without_labels"] == {"devices": 1}


def test_the_user_is_told(mixed, capsys):
    assert mixed.told == [
        "Devices with normal samples alone, which keep the fleet's model as it is and choose its threshold by"
        " false alarms: feeder-04.",
        "Devices without a label, which receive the fleet's model and cannot be judged: feeder-05.",
        "Samples without a label, which are not trained on and only say what is usual: 40 of feeder-03.",
    ]
    print_results(mixed.folder / "run", as_json=False)
    said = capsys.readouterr().out
    assert "1 device has no faults to be judged by: " in said
    assert "1 device has no labels, and nothing can be judged there." in said
    page = (mixed.folder / "run" / "report.html").read_text(encoding="utf-8")
    assert row_of(page, NORMAL, "known", "majority") == ["normal", None]
    assert row_of(page, NOTHING, "known", "false_alarms") == ["nothing", None]
    share = details_of(page, NORMAL)["false_alarms"]["share"]
    assert row_of(page, NORMAL, "false_alarms") == [round(1000 * share)]


def test_over_flower_it_is_the_same_to_the_last_bit(mixed, tmp_path):
    over_flower(mixed.recipe, tmp_path, tmp_path / "run")
    for file in ("results.json", "rounds.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (mixed.folder / "run" / file).read_bytes()
    notices = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["notices"]
    assert notices == mixed.told
    assert (tmp_path / NOTHING / "state" / "bundle" / "bundle.json").exists()


SHORT = ["serial.rounds=1", "parallel.rounds=1", "personalize.epochs=1", "model.hidden=[4]"]


def test_alone_a_device_without_labels_gets_no_model(mixed, tmp_path):
    recipe = recipes.load(str(mixed.folder / "recipe.toml"), [*SHORT, "method=local_only"])
    listener = Listener()
    devices = run(recipe, tmp_path / "run", watcher=listener)["devices"]
    assert NOTHING not in devices and devices[NORMAL]["known"] == "normal"
    assert listener.told[-1] == (
        "local_only shares nothing that feeder-05 could receive, which has no label: it gets no model."
    )


@pytest.mark.parametrize("name", ["local_only", "majority", "fed_meta_align_guarded", "fedrep", "knn_per"])
def test_methods_go_through_and_a_comparison_judges_neither(name, mixed):
    recipe = recipes.load(str(mixed.folder / "recipe.toml"), SHORT)
    fleet = build(recipe)
    final = run_cell(name, recipe, fleet, start(recipe, fleet)).stages["final"].devices
    assert set(final) == {device.name for device in fleet.devices}
    assert {value for key, value in final[NORMAL].items() if key != "threshold"} == {None}
    assert all(final[other]["f1"] is not None for other in final if other != NORMAL)


def test_kinds_of_fault_likewise(mixed, tmp_path):
    kinds = ["fleet.label=kind", 'fleet.normal=["normal"]', "splits.kind=rows"]
    recipe = recipes.load(str(mixed.folder / "recipe.toml"), [*SHORT, *kinds])
    devices = run(recipe, tmp_path / "run")["devices"]
    found = devices[NORMAL]
    assert found["known"] == "normal" and found["majority_class"] is None
    assert found["false_alarms"]["samples"] == sum(map(sum, found["stages"]["deployed"]["confusion"]))
    assert devices[NOTHING]["classes"] == found["classes"] and len(found["classes"]) > 2
    assert devices[NOTHING]["known"] == "nothing" and devices[NOTHING]["threshold"] == 0.5


def test_a_device_with_a_single_fault_learns_from_it_and_is_judged_by_its_false_alarms(mixed, tmp_path):
    for name in (NORMAL, "feeder-00"):
        (tmp_path / f"{name}.csv").write_bytes((mixed.folder / f"{name}.csv").read_bytes())
    fault = next(line for line in (tmp_path / "feeder-00.csv").read_text().splitlines()[1:] if ",1," in line)
    with (tmp_path / f"{NORMAL}.csv").open("a", encoding="utf-8") as file:
        file.write(f"{fault}\n")
    (tmp_path / "recipe.toml").write_bytes((mixed.folder / "recipe.toml").read_bytes())
    recipe = recipes.load(str(tmp_path / "recipe.toml"), SHORT)
    found = run(recipe, tmp_path / "run")["devices"][NORMAL]
    assert found["known"] == "normal" and found["false_alarms"]["samples"] == found["samples"]["test"]
    assert "alone" not in found and found["stages"]["deployed"]["f1"] is None
    lines = (tmp_path / "run" / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    assert (3, NORMAL) in {(each["phase"], each["device"]) for each in map(json.loads, lines)}


def test_a_fleet_without_a_fault_is_refused(mixed, tmp_path):
    for name in (NORMAL, NOTHING):
        (tmp_path / f"{name}.csv").write_bytes((mixed.folder / f"{name}.csv").read_bytes())
    (tmp_path / "recipe.toml").write_bytes((mixed.folder / "recipe.toml").read_bytes())
    with pytest.raises(DataError, match="No device has a fault, and a classifier needs samples of both"):
        build(recipes.load(str(tmp_path / "recipe.toml")))


def test_the_rows_without_a_label_say_what_is_usual(mixed):
    tables = {table.name: table for table in raw_tables(mixed.recipe)}
    partly, nothing, normal = (hello(mixed.recipe, tables[name]) for name in (PARTLY, NOTHING, NORMAL))
    assert (partly.known, partly.unlabelled, partly.moments.count) == ("faults", 40, 288 + 40)
    assert (nothing.known, nothing.unlabelled, nothing.moments.count) == ("nothing", 400, 400)
    assert nothing.moments.mean == pytest.approx(mixed.devices[NOTHING].x.mean(axis=0))
    assert (normal.known, normal.unlabelled) == ("normal", 0)


@pytest.mark.usefixtures("few_trees")
def test_the_method_fleet_serves_them_too_and_says_how_unlike_the_fleet_they_are(mixed, tmp_path):
    settings = {
        "method": "fleet",
        "fleet.encoding": "quantiles",
        "serial.rounds": 2,
        "parallel.rounds": 0,
        "teaching.samples": 300,
    }
    results = run(recipes.with_settings(mixed.recipe, settings), tmp_path / "run")
    for name in (NORMAL, NOTHING):
        novelty = results["devices"][name]["novelty"]
        assert novelty["feature"] in mixed.devices[name].features and 0 < novelty["distance"] < 0.6
        assert "blend" not in results["devices"][name]
    assert "novelty" not in results["devices"]["feeder-00"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert details_of(page, NORMAL)["novelty"] == results["devices"][NORMAL]["novelty"]

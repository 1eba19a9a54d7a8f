"""Devices all of whose samples are faults: what they take part in, receive, and are judged by."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from over_flower import over_flower

from fedmetaalign import recipe as recipes
from fedmetaalign.cli.progress import print_results
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.errors import DataError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators import find
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle

SMALL = """
name = "worn"
[fleet]
table = "f*.csv"
label = "fault"
features = {}
scaling = "fleet"
[model]
hidden = [8]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 2
[parallel]
rounds = 3
[personalize]
epochs = 1
"""
WORN = "feeder-02"


@dataclass(frozen=True)
class Run:
    """A finished run; not to be changed."""

    folder: Path
    devices: dict[str, Table]
    results: dict[str, Any]


def write(folder: Path, tables: list[Table], *, only: dict[str, int]) -> None:
    """Writes the tables of a fleet, of some devices the rows of one class only."""
    for table in tables:
        with (folder / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([*table.features, "fault", "kind"])
            assert table.kinds is not None
            for x, y, kind in zip(table.x.tolist(), table.y, table.kinds, strict=True):
                if only.get(table.name, y) == y:
                    rows.writerow([*x, y, kind])
    (folder / "recipe.toml").write_text(SMALL.format(json.dumps(tables[0].features)), encoding="utf-8")


@pytest.fixture(scope="module")
def worn(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("worn")
    tables = find("feeder")(4, 300, 0)
    write(folder, tables, only={WORN: 1})
    results = run(recipes.load(str(folder / "recipe.toml")), folder / "run")
    return Run(folder, {table.name: table for table in tables}, results)


def test_its_samples_train_the_others_and_it_is_not_fine_tuned(worn):
    lines = (worn.folder / "run" / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {(each["phase"], each["device"]) for each in map(json.loads, lines) if "support_loss" in each}
    assert {phase for phase, device in trained if device == WORN} == {1, 2}


def test_it_is_judged_by_the_faults_that_it_finds_and_by_nothing_else(worn):
    found = worn.results["devices"][WORN]
    deployed = found["stages"]["deployed"]
    assert found["known"] == "faulty" and deployed["accuracy"] == deployed["recall"]
    assert found["majority"] is found["one_rule"] is deployed["balanced_accuracy"] is None
    assert not {"alone", "false_alarms", "pr_curve"} & found.keys()
    assert found["threshold"] == 0.5
    assert found["threshold_note"] == (
        "These are the fleet's weights as they are. None of its samples is normal, to count false alarms by."
    )
    fleet = worn.results["fleet"]
    assert fleet["without_normal"] == {"devices": 1, "recall": deployed["recall"]}
    assert fleet["worst"]["device"] != WORN
    others = [each for name, each in worn.results["devices"].items() if name != WORN]
    accuracies = [each["stages"]["deployed"]["accuracy"] for each in others]
    assert fleet["stages"]["deployed"]["accuracy"] == pytest.approx(sum(accuracies) / 3)


def test_its_bundle_does_not_call_everything_a_fault(worn):
    table, content = worn.devices[WORN], bundle.read(worn.folder / "run" / "devices" / WORN)
    said = content.faults(content.scores(table.x))
    assert said[table.y == 1].mean() > 0.5 and said[table.y == 0].mean() < 0.5


def test_the_user_is_told(worn, capsys):
    told = json.loads((worn.folder / "run" / "manifest.json").read_text(encoding="utf-8"))["notices"]
    assert told == [
        "Devices with faults alone, which train with the others, keep the fleet's model as it is, and have"
        " nothing to test false alarms on: feeder-02."
    ]
    print_results(worn.folder / "run", as_json=False)
    said = capsys.readouterr().out
    assert "1 device has faults alone: 88.6 % of them found, and nothing to test false alarms on" in said


def test_a_comparison_does_not_judge_by_it(worn):
    recipe = recipes.load(str(worn.folder / "recipe.toml"), ["serial.rounds=1", "parallel.rounds=1"])
    fleet = build(recipe)
    for name in ("majority", "local_only", "fed_meta_align"):
        final = run_cell(name, recipe, fleet, start(recipe, fleet)).stages["final"].devices
        assert {value for key, value in final[WORN].items() if key != "threshold"} == {None}
        assert all(final[other]["f1"] is not None for other in final if other != WORN)


def test_over_flower_it_is_the_same_to_the_last_bit(worn, tmp_path):
    over_flower(recipes.load(str(worn.folder / "recipe.toml")), tmp_path, tmp_path / "run")
    for file in ("results.json", "rounds.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (worn.folder / "run" / file).read_bytes()


@pytest.mark.usefixtures("few_trees")
def test_the_method_fleet_and_kinds_of_fault_take_it_too(worn, tmp_path):
    settings = {"method": "fleet", "fleet.label": "kind", "fleet.normal": ["normal"], "parallel.rounds": 0}
    settings |= {"teaching.samples": 200, "groups.epochs": 1, "evaluation.alone": False}
    recipe = recipes.with_settings(recipes.load(str(worn.folder / "recipe.toml")), settings)
    found = run(recipe, tmp_path / "run")["devices"]
    assert found[WORN]["known"] == "faulty" and len(found[WORN]["classes"]) > 2
    assert "blend" not in found[WORN] and "blend" in found["feeder-00"]


def test_a_fleet_in_which_nobody_has_both_kinds_is_refused(tmp_path):
    tables = find("feeder")(2, 100, 0)
    write(tmp_path, tables, only={"feeder-00": 0, "feeder-01": 1})
    with pytest.raises(
        DataError, match=r"^No device has both normal samples and faults, and the model would learn"
    ):
        build(recipes.load(str(tmp_path / "recipe.toml")))

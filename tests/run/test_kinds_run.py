"""A run of more than two classes, from the recipe to what a bundle says of new samples."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmetaalign.cli.progress import print_results
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import Recipe, load
from fedmetaalign.run import Watcher, run

SMALL = """
name = "small"
[fleet]
table = "pumps.csv"
label = "state"
normal = ["ok"]
features = ["heat", "flow", "noise"]
scaling = "fleet"
[fleet.partition]
kind = "dirichlet"
by = ["state"]
count = 3
samples = 150
alpha = 0.3
test = "all"
[splits]
test = 0.3
[model]
hidden = [8]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 1
[parallel]
rounds = 2
[personalize]
epochs = 2
"""


KINDS = {"ok": (0, 0, 0), "blocked": (0, -4, 1), "hot": (5, 0, 0), "worn": (1, 0, 5), "loose": (0, 3, 4)}
"""State -> the means of heat, flow and noise."""


@dataclass(frozen=True)
class Kinds:
    """A finished run on tables whose label is the kind of fault; not to be changed."""

    folder: Path
    tables: Path
    recipe: Recipe
    results: dict[str, Any]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Three pumps cut from one table: each trains on some kinds of fault and is tested on all."""
    tables, random = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    with (tables / "pumps.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["heat", "flow", "noise", "state"])
        for number, (state, centre) in enumerate(KINDS.items()):
            table.writerows([*row, state] for row in random.normal(centre, 1, (300 - 20 * number, 3)).tolist())
    (tables / "recipe.toml").write_text(SMALL, encoding="utf-8")
    recipe, folder = load(str(tables / "recipe.toml")), tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
        return Kinds(folder, tables, recipe, run(recipe, folder))


def test_every_device_knows_the_kinds_of_all(kinds):
    for device in kinds.results["devices"].values():
        assert (device["classes"], device["normal_classes"]) == (sorted(KINDS), ["ok"])
    assert kinds.results["fleet"]["classes"] == sorted(KINDS)


def test_the_confusion_has_every_test_sample_once_and_gives_the_metrics(kinds):
    total = np.zeros((5, 5), int)
    for device in kinds.results["devices"].values():
        found = device["stages"]["deployed"]
        counts, normal = np.array(found["confusion"]), device["classes"].index("ok")
        assert counts.shape == (5, 5) and (tested := counts.sum()) == device["samples"]["test"] > 0
        assert found["class_accuracy"] == pytest.approx(np.trace(counts) / tested)
        # An alarm is right where normal is not called a fault, nor a fault normal.
        wrong = counts[normal].sum() + counts[:, normal].sum() - 2 * counts[normal, normal]
        assert found["accuracy"] == pytest.approx(1 - wrong / tested)
        assert 0 <= found["macro_f1"] <= 1
        total += counts
    assert kinds.results["fleet"]["stages"]["deployed"]["confusion"] == total.tolist()


def test_the_kinds_that_a_device_is_tested_on_and_never_trained_on_are_named(kinds):
    fleet, found = build(kinds.recipe), []
    for device in fleet.devices:
        told = kinds.results["devices"][device.name]
        unseen = sorted({*fleet.test[device.name].y} - {*device.train.y})
        assert told["unseen_kinds"] == [told["classes"][int(i)] for i in unseen]
        assert all(sum(told["stages"]["deployed"]["confusion"][int(i)]) for i in unseen)
        found += unseen
    assert found


def test_a_bundle_has_the_classes_and_predict_names_a_kind_for_each_alarm(kinds, cli, here):
    bundle, classes = kinds.folder / "devices" / "pumps-01", kinds.results["fleet"]["classes"]
    assert json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["classes"] == classes
    outcome = cli("predict", bundle, kinds.tables / "pumps.csv")
    assert outcome.status == 0
    told = list(csv.DictReader(outcome.out.splitlines()))
    assert len(told) == 1300
    for row in told:
        shares = {name: float(row[f"p({name})"]) for name in classes}
        faults = {name: share for name, share in shares.items() if name != "ok"}
        assert (row["kind"] == "") == (row["alarm"] == "normal")
        assert row["alarm"] == "normal" or faults[row["kind"]] == max(faults.values())
        assert float(row["score"]) == pytest.approx(1 - shares["ok"], abs=1e-6)
    assert {row["alarm"] for row in told} == {"fault", "normal"}


@pytest.mark.usefixtures("no_report")
def test_stopped_and_resumed_it_gives_the_same_bytes(kinds, deterministic, tmp_path):
    class Stopping(Watcher):
        left = 2

        def phase(self, name):
            self.left -= name == "parallel"
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(kinds.recipe, tmp_path / "run", watcher=Stopping())
    assert not (tmp_path / "run/results.json").exists()
    run(kinds.recipe, tmp_path / "run", resume=True)
    assert deterministic(tmp_path / "run") == deterministic(kinds.folder)


def test_what_is_printed_has_columns_for_the_kinds_and_names_those_never_trained_on(kinds, capsys):
    print_results(kinds.folder, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "accuracy in % on held-out samples: of alarms; macro-F1 and class accuracy are of kinds" in lines[0]
    devices = kinds.results["devices"]
    deployed = devices["pumps-02"]["stages"]["deployed"]
    row = next(line.split() for line in lines if line.startswith("pumps-02"))
    assert row[-5:-2] == [
        f"{deployed['f1']:.3f}",
        f"{deployed['macro_f1']:.3f}",
        f"{100 * deployed['class_accuracy']:.1f}",
    ]
    (sentence,) = (line for line in lines if line.startswith("Tested on kinds of fault never trained on: "))
    times = Counter(kind for device in devices.values() for kind in device["unseen_kinds"])
    for kind, number in times.items():
        assert f"{kind} ({number} device{'s' if number > 1 else ''})" in sentence
    fleet = kinds.results["fleet"]
    means = fleet["stages"]["deployed"]["macro_f1"], fleet["alone"]["macro_f1"]
    assert "Of the kinds of fault: mean macro-F1 {:.3f} deployed, {:.3f} alone.".format(*means) in lines

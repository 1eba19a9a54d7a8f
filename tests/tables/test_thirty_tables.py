"""A folder with every kind of table at once: what becomes of each, and a bundle for all that can be used."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from making import SENSORS, pump, text
from thirty import CASES, RECIPE, Case

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sources import find_devices
from fedmetaalign.run import checked_fleet


@dataclass(frozen=True)
class Folder:
    """The folder, and what is made of it; not to be changed."""

    path: Path
    tables: dict[str, Table]
    fleet: Fleet
    left_out: dict[str, list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Folder:
    path = tmp_path_factory.mktemp("thirty")
    for case in CASES:
        (path / case.path).parent.mkdir(exist_ok=True)
        (path / case.path).write_bytes(case.content)
    (path / "elsewhere.csv").write_text(text(pump(seed=99)))
    (path / "recipe.toml").write_text(RECIPE)
    recipe = resolved(recipes.load(str(path / "recipe.toml")))
    assert recipe.fleet.devices[0].features == SENSORS
    fleet, _ = checked_fleet(recipe)
    left_out = {each.name: [problem.sentence for problem in each.problems] for each in fleet.left_out}
    return Folder(path, {table.name: table for table in find_devices(recipe).tables}, fleet, left_out)


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.file}: {case.what}") for case in CASES])
def test_a_table_comes_to_what_stands_beside_it(case: Case, folder: Folder):
    outcome = case.outcome
    says = [sentence.replace("{file}", str(folder.path / case.path)) for sentence in outcome.says]
    devices = {each.name for each in (*folder.fleet.devices, *folder.fleet.unlabelled_devices)}
    if outcome.rows is None:
        assert folder.left_out[case.device] == says
        assert case.device not in devices
        assert any(
            f"{case.device} is left out: {says[0]}"[:200] in told for told in folder.fleet.notices
        ) or any(
            told.startswith("Left out, too: ") and f" {case.device}" in told for told in folder.fleet.notices
        )
        return
    table = folder.tables[case.device]
    unlabelled = 0 if table.unlabelled is None else len(table.unlabelled)
    assert (len(table), unlabelled, sorted(table.features)) == (
        outcome.rows,
        outcome.unlabelled,
        sorted(outcome.features),
    )
    assert case.device in devices and case.device not in folder.left_out
    for sentence in says:
        assert any(sentence in told for told in folder.fleet.notices), folder.fleet.notices


def test_degrees_fahrenheit_are_degrees_celsius_in_the_fleet(folder: Folder):
    table = folder.tables["fahrenheit"]
    expected = [float(row[2]) for row in pump(seed=5)[1:]]
    assert table.x[:, 2].tolist() == pytest.approx(expected, abs=1e-6)
    assert table.units == ("", "", "degC")


def test_one_run_over_all_of_them_ends_with_a_bundle_for_every_device_that_can_be_used(
    folder: Folder, cli, no_report
):
    out = folder.path / "run"
    ended = cli("run", folder.path / "recipe.toml", "--out", out, "--json")
    assert ended.status == 0, ended.err
    usable = {case.device for case in CASES if case.outcome.rows is not None} | {"_.._x"}
    assert {path.parent.name for path in out.glob("devices/*/bundle.json")} == usable
    results = json.loads(ended.out)
    assert set(results["devices"]) == usable
    assert set(results["left_out"]) == {case.device for case in CASES if case.outcome.rows is None}
    assert "'../../x' is '_.._x'" in ended.err
    few = {name: row["few_faults"] for name, row in results["devices"].items() if "few_faults" in row}
    assert {name: few[name]["faults"] for name in ("ten", "rare")} == {"ten": 1, "rare": 1}
    curves = {name for name, row in results["devices"].items() if "pr_curve" in row}
    judged = {name for name, row in results["devices"].items() if "known" not in row}
    assert curves == judged - set(few) and "lacking" in curves


def test_the_method_fleet_serves_the_small_ones_too(folder: Folder, cli, no_report):
    others = [case.device for case in CASES if case.device not in ("plain", "ten", "three", "single-fault")]
    short = ["teaching.samples=100", "teaching.teachers=['tuned', 'fleet']", "evaluation.curves=false"]
    settings = [*short, "method=fleet", "parallel.rounds=0", f"fleet.exclude={[*others, '_.._x']}"]
    settings += ["model.hidden=[4]", "groups.epochs=1"]
    options = [word for setting in settings for word in ("--set", setting)]
    ended = cli("run", folder.path / "recipe.toml", "--out", folder.path / "small", "--json", *options)
    assert ended.status == 0, ended.err
    assert set(json.loads(ended.out)["devices"]) == {"plain", "ten", "three", "single-fault"}
    assert "NaN" not in (folder.path / "small" / "rounds.jsonl").read_text(encoding="utf-8")

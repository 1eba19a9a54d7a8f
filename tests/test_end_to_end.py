"""The whole way, from tables or simulators to bundles and a report, with facts that anyone can check."""

import csv
import json

import numpy as np
import pytest

from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.recipe import load

QUICK = [
    f"--set={setting}"
    for setting in (
        "model.hidden=[16, 8]",
        "optimizer.learning_rate=0.003",
        "foundation.epochs=1",
        "serial.rounds=1",
        "parallel.rounds=2",
        "personalize.epochs=3",
    )
]
LEAKS = {"TWF", "HDF", "PWF", "OSF", "RNF", "UDI", "Product ID", "Machine failure"}


def ran(cli, folder, *arguments, told=""):
    """Runs a recipe and returns what results.json holds."""
    outcome = cli("run", *arguments, "--out", folder)
    assert (outcome.status, outcome.err) == (0, told)
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def shares(results):
    """Every metric of every device and of the fleet that is a share, with its name."""
    for row in (*results["devices"].values(), results["fleet"]):
        for metrics in row["stages"].values():
            yield from ((name, value) for name, value in metrics.items() if name != "mcc" and value is not None)


def test_the_demo_needs_no_data_and_serves_every_device(cli, here):
    results = ran(
        cli, here / "out", "demo", *(q for q in QUICK if "foundation" not in q), "--set=teaching.samples=500"
    )
    devices = sorted(results["devices"])
    assert len(devices) >= 2
    assert devices == sorted(path.name for path in (here / "out/devices").iterdir())
    assert all(0 <= value <= 1 for _, value in shares(results))
    assert results["fleet"]["devices"] == len(devices)
    assert (here / "out/report.html").stat().st_size > 10_000


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "fleet",
    [
        "{simulator = 'feeder', count = 3, samples = 300}",
        "{simulator = 'milling', count = 2, samples = 600}",
        "{simulator = 'rotating', count = 2, samples = 300, scaling = 'fleet'}",
        "{devices = [{simulator = 'feeder', count = 1, samples = 200}, {simulator = 'rotating', count = 1}]}",
    ],
)
def test_every_simulator_runs_to_the_end(cli, here, fleet):
    (here / "recipe.toml").write_text(f"fleet = {fleet}\n", encoding="utf-8")
    results = ran(cli, here / "out", "recipe.toml", *QUICK[:2], *QUICK[3:])
    assert all(0 <= value <= 1 for _, value in shares(results))
    assert "foundation" not in results["fleet"]["stages"]


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "settings",
    [
        ["splits.kind=blocks", "splits.block=5"],
        ["splits.kind=units", "splits.unit=event"],
        ["splits.reuse=true"],
        ["model.padding=repeat"],
        ["fleet.scaling=fleet"],
        ["deploy.format=float32"],
        ["deploy.threshold=personalized", "splits.query=0.6"],
        ["personalize.threshold=0.4", "personalize.freeze=0"],
        ["parallel.aggregation=mean", "parallel.cohort=0.5"],
        ["parallel.reference=others", "parallel.unit_norm=true"],
        ["serial.rounds=0"],
        ["parallel.rounds=0", "serial.rounds=0", "foundation={enabled=false}"],
        ["evaluation.alone=false"],
    ],
    ids=" ".join,
)
def test_every_choice_of_the_recipe_runs_to_the_end(cli, here, csv_fleet, finished, settings):
    asked = [f"--set={setting}" for setting in settings]
    results = ran(cli, here / "out", csv_fleet / "recipe.toml", *asked)
    assert list(results["devices"]) == list(finished.results["devices"])
    assert all(0 <= value <= 1 for _, value in shares(results))
    assert results != finished.results


@pytest.mark.usefixtures("no_report")
def test_a_fixed_threshold_is_the_one_that_is_deployed(cli, here, csv_fleet):
    results = ran(cli, here / "out", csv_fleet / "recipe.toml", "--set", "personalize.threshold=0.375")
    assert [device["threshold"] for device in results["devices"].values()] == [0.375] * 3


@pytest.mark.usefixtures("no_report")
def test_the_papers_threshold_is_kept_from_the_float_model(cli, here, csv_fleet):
    results = ran(
        cli,
        here / "out",
        csv_fleet / "recipe.toml",
        "--set",
        "deploy.threshold=personalized",
        "--set",
        "splits.query=0.6",
    )
    for device in results["devices"].values():
        stages = device["stages"]
        assert stages["deployed"]["threshold"] == stages["personalized"]["threshold"] == device["threshold"]
        assert abs(stages["deployed"]["accuracy"] - stages["personalized"]["accuracy"]) <= 0.1


@pytest.mark.usefixtures("no_report")
def test_a_table_is_cut_into_devices_by_a_column(cli, here, device_table, small):
    table = device_table(samples=360)
    table.header.append("site")
    for i, row in enumerate(table.rows):
        row.append(["North Hall", "south"][i % 2])
    table.write(here / "all.csv")
    fleet = """
        [fleet]
        table = "all.csv"
        label = "fault"
        features = ["speed", "load", "heat"]
        device = "site"
    """
    (here / "recipe.toml").write_text(fleet + small, encoding="utf-8")
    called = "fedmetaalign: Devices are called as their folders can be: 'North Hall' is 'North_Hall'.\n"
    results = ran(cli, here / "out", "recipe.toml", told=called)
    assert list(results["devices"]) == ["North_Hall", "south"]
    assert [device["samples"]["test"] for device in results["devices"].values()] == [36, 36]


@pytest.mark.usefixtures("no_report")
def test_text_labels_with_positive_values_are_understood(cli, here, device_table, small):
    table = device_table()
    for row in table.rows:
        row[3] = {"0": "fine", "1": "worn"}[row[3]]
    table.write(here / "pump.csv")
    fleet = """
        [fleet]
        table = "pump.csv"
        label = "fault"
        positive = ["worn"]
        features = ["speed", "load", "heat"]
    """
    (here / "recipe.toml").write_text(fleet + small, encoding="utf-8")
    results = ran(cli, here / "out", "recipe.toml")
    share = sum(row[3] == "worn" for row in table.rows) / len(table.rows)
    assert results["devices"]["pump"]["majority"] == pytest.approx(max(share, 1 - share), abs=0.05)


@pytest.mark.usefixtures("no_report")
def test_what_can_be_learnt_is_learnt(cli, here, device_table, small):
    device_table(samples=600).write(here / "pump.csv")
    device_table(samples=600, seed=1).write(here / "valve.csv")
    fleet = '[fleet]\ntable = "*.csv"\nlabel = "fault"\nfeatures = ["speed", "load", "heat"]\n'
    (here / "recipe.toml").write_text(fleet + small, encoding="utf-8")
    results = ran(cli, here / "out", "recipe.toml", "--set", "personalize.epochs=5")
    for device in results["devices"].values():
        # The label is one threshold on one feature: the rule is near perfect, and the network not far behind.
        assert device["one_rule"]["accuracy"] > 0.97
        assert device["one_rule"]["rule"].startswith("load > 4")
        assert device["stages"]["deployed"]["accuracy"] > 0.9 > device["majority"] + 0.3


def test_a_devices_own_table_scored_by_its_bundle_gives_the_results(cli, finished, csv_fleet):
    for name, device in finished.results["devices"].items():
        path = csv_fleet / f"{name}.csv"
        outcome = cli("predict", finished.folder / "devices" / name, path, "--json")
        alarms = np.array(json.loads(outcome.out)["alarms"]) == "fault"
        columns = Columns(label="fault", features=finished.recipe.fleet.features)
        table = read(path, columns, name)
        test = split(table, finished.recipe.splits, finished.recipe.seed).test
        truth, alarms = table.y[test] == 1, alarms[test]
        deployed = device["stages"]["deployed"]
        assert deployed["accuracy"] == np.mean(truth == alarms)
        assert deployed["recall"] == np.mean(alarms[truth])
        assert deployed["precision"] == np.mean(truth[alarms])


# The real tables


@pytest.fixture(scope="session")
def paper(real_data, tmp_path_factory):
    """The folder of a short run of the paper's recipe on the real tables."""
    from fedmetaalign.run import run

    folder = tmp_path_factory.mktemp("paper") / "run"
    settings = [setting.removeprefix("--set=") for setting in QUICK]
    run(load("paper", settings, data=real_data), folder)
    return folder


@pytest.fixture(scope="session")
def paper_results(paper):
    return json.loads((paper / "results.json").read_text(encoding="utf-8"))


def test_the_paper_has_two_devices(paper, paper_results):
    assert list(paper_results["devices"]) == ["feeder", "machine"]
    assert sorted(path.name for path in (paper / "devices").iterdir()) == ["feeder", "machine"]
    assert [device["samples"]["test"] for device in paper_results["devices"].values()] == [2400, 189]
    assert [device["samples"]["train"] for device in paper_results["devices"].values()] == [9601, 755]


def test_the_majority_baselines_of_the_paper_are_those_of_the_tables(paper_results):
    assert paper_results["devices"]["feeder"]["majority"] == pytest.approx(0.542, abs=0.001)
    assert paper_results["devices"]["machine"]["majority"] == pytest.approx(0.584, abs=0.005)


def test_the_majority_share_is_that_of_the_label_column(real_data, paper_results):
    for device, name, label in (
        ("feeder", "detect_dataset.csv", "Output (S)"),
        ("machine", "machine_failure_umerrtx.csv", "fail"),
    ):
        with (real_data / name).open(newline="", encoding="utf-8-sig") as file:
            faults = [int(row[label]) for row in csv.DictReader(file)]
        share = 1 - sum(faults) / len(faults)
        assert paper_results["devices"][device]["majority"] == pytest.approx(share, abs=0.005)


def test_no_column_that_tells_the_label_is_an_input(paper):
    recipe = load(str(paper / "recipe.toml"))
    assert len(recipe.foundation.features) == 6
    assert not LEAKS & set(recipe.foundation.features)
    for device, features in (("feeder", 6), ("machine", 9)):
        facts = json.loads((paper / "devices" / device / "bundle.json").read_text(encoding="utf-8"))
        assert len(facts["preparation"]["features"]) == features
        assert not {"Output (S)", "fail", *LEAKS} & set(facts["preparation"]["features"])


def test_the_metrics_of_the_paper_are_shares_and_every_stage_has_them(paper_results):
    stages = ["foundation", "serial", "parallel", "personalized", "deployed"]
    for device in paper_results["devices"].values():
        assert list(device["stages"]) == stages
    assert all(0 <= value <= 1 for _, value in shares(paper_results))


def test_quantising_costs_the_papers_devices_little(paper_results):
    for device in paper_results["devices"].values():
        personal, deployed = device["stages"]["personalized"], device["stages"]["deployed"]
        assert deployed["threshold"] == personal["threshold"]
        assert abs(deployed["accuracy"] - personal["accuracy"]) <= 0.05


def test_both_devices_of_the_paper_learn_more_than_the_majority(paper_results):
    for device in paper_results["devices"].values():
        assert device["stages"]["deployed"]["accuracy"] > device["majority"] + 0.1


def test_every_table_of_the_paper_is_in_the_manifest(paper, real_data):
    manifest = json.loads((paper / "manifest.json").read_text(encoding="utf-8"))
    names = ("ai4i2020.csv", "detect_dataset.csv", "machine_failure_umerrtx.csv")
    assert set(manifest["data"]) == {str((real_data / name).resolve()) for name in names}
    assert manifest["data"][str((real_data / "ai4i2020.csv").resolve())].startswith("dc6630cd")

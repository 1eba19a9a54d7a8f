"""The command line: what it prints where, and with which exit status it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from comparing import SMALL, imagine, in_process

from fedmetaalign import methods
from fedmetaalign.recipe import load

VERBS = [
    *("init", "run", "compare", "audit", "predict", "verify", "footprint", "adapt", "report", "join"),
    *("server", "device", "enroll", "watch"),
    *("data", "data list", "data fetch", "data simulate"),
]
FEW = [f"--set={setting}" for setting in ("serial.rounds=1", "parallel.rounds=1", "personalize.epochs=1")]


# Help and wrong calls


OPTIONS = {
    "run": "--out --data --engine --seed --set --resume --json",
    "compare": "--methods --seeds --out --data --set --json",
}


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_explains_itself(cli, verb):
    outcome = cli(*verb.split(), "--help")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"fedmetaalign {verb} [OPTIONS]".replace("  ", " ") in outcome.out.splitlines()[0]
    assert "\\" not in outcome.out
    assert [option for option in OPTIONS.get(verb, "").split() if option not in outcome.out] == []


def test_help_loads_nothing_heavy():
    script = f"""
import sys
from fedmetaalign.cli import main
for verb in {["", *VERBS]!r}:
    sys.argv = ["fedmetaalign", *verb.split(), "--help"]
    try:
        main()
    except SystemExit as done:
        assert done.code == 0, verb
heavy = ("jax", "polars", "matplotlib", "sklearn", "flwr", "cryptography")
print("loaded:", *[name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.endswith("loaded:\n")


@pytest.mark.parametrize(
    "call",
    [
        "frob",
        "data frob",
        "run --frob",
        "run demo --seed many",
        "run demo --engine abacus",
        "run demo --set",
        "run demo paper",
        "run --resume",
        "compare --frob",
        "compare demo paper",
        "compare --seeds 0",
        "compare --seeds -1",
        "compare --seeds many",
        "compare --set",
        "compare --methods",
        "audit",
        "predict",
        "predict bundle",
        "predict bundle new.csv --runtime abacus",
        "report",
        "data fetch",
        "data simulate feeder",
        "data simulate pump --out pumps",
        "data simulate feeder --out feeders --count 0",
        "data simulate feeder --out feeders --samples 0",
        "data simulate feeder --out feeders --seed -1",
    ],
)
def test_a_wrong_call_ends_with_2_and_does_nothing(cli, here, call):
    outcome = cli(*call.split())
    assert (outcome.status, outcome.out) == (2, "")
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err
    assert list(here.iterdir()) == []


def test_a_program_called_with_nothing_explains_itself(cli):
    outcome = cli()
    assert "fedmetaalign [OPTIONS] COMMAND" in outcome.out + outcome.err


@pytest.mark.parametrize("where", ["fedmetaalign.run.build_shared", "fedmetaalign.run.summary"])
@pytest.mark.usefixtures("no_report")
def test_ctrl_c_ends_with_130_and_no_traceback(cli, here, csv_fleet, monkeypatch, where):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    outcome = cli("run", csv_fleet / "recipe.toml", "--out", "out")
    assert (outcome.status, outcome.out) == (130, "")
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") <= 1


@pytest.mark.usefixtures("no_report")
def test_a_run_stopped_by_ctrl_c_can_be_resumed(cli, here, csv_fleet, finished, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("fedmetaalign.engine.device_runner.DeviceRunner._finish", interrupted)
        assert cli("run", csv_fleet / "recipe.toml", "--out", "out").status == 130
    assert cli("run", "--resume", "--out", "out").status == 0
    assert json.loads((here / "out/results.json").read_text(encoding="utf-8")) == finished.results


@pytest.mark.parametrize("call", [["run", "mine.toml"], ["server", "mine.toml"], ["audit", "mine.csv"]])
def test_a_file_in_a_folder_that_one_may_not_enter_is_one_sentence(refused, monkeypatch, call):
    stat = Path.stat

    def denied(path, **options):
        if path.stem == "mine":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr("fedmetaalign.gateways.enrolment.enrolled", lambda folder: {"pump": folder})
    monkeypatch.setattr(Path, "stat", denied)
    sentence = f"This user may not use {call[1]}: call as one who may, or give another."
    assert refused(*call) == sentence


def test_a_reader_that_has_left_is_no_failure_to_shout_about():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from fedmetaalign.cli import main; main()", "data", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)  # noqa: S603
    os.close(write)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


# Runs


@pytest.mark.usefixtures("no_report")
def test_a_run_prints_its_results_and_nothing_else_and_the_seed_of_the_call_counts(cli, here, csv_fleet):
    outcome = cli("run", csv_fleet / "recipe.toml", "--out", "out", "--seed", "77", *FEW)
    assert (outcome.status, outcome.err) == (0, "")
    assert "feeder-02" in outcome.out
    assert outcome.out.endswith("\nReport:  out/report.html\nBundles: out/devices\n")
    assert load(str(here / "out/recipe.toml")).seed == 77
    assert json.loads((here / "out/manifest.json").read_text(encoding="utf-8"))["seed"] == 77


def test_a_fresh_process_is_as_silent(csv_fleet, tmp_path):
    command = [sys.executable, "-c", "from fedmetaalign.cli import main; main()", "run"]
    arguments = [str(csv_fleet / "recipe.toml"), "--json", *FEW]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (tmp_path / "runs/feeder/results.json").read_text("utf-8")


@pytest.mark.usefixtures("no_report")
def test_runs_without_out_go_to_folders_of_their_own(cli, here):
    small = [
        "model.hidden=[4]",
        "fleet={simulator='feeder', count=2, samples=200}",
        "foundation={enabled=false}",
    ]
    for _ in range(2):
        assert cli("run", *FEW, *(f"--set={setting}" for setting in small)).status == 0
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["demo", "demo-2"]


@pytest.mark.usefixtures("no_report")
def test_tables_are_found_in_the_data_folder(cli, here, csv_fleet):
    text = (csv_fleet / "recipe.toml").read_text(encoding="utf-8")
    (here / "mine.toml").write_text(text, encoding="utf-8")
    assert cli("run", "mine.toml", "--out", "lost", *FEW).status == 1
    assert cli("run", "mine.toml", "--data", csv_fleet, "--out", "out", *FEW).status == 0


# Bundles


@pytest.fixture
def bundle(finished):
    return finished.folder / "devices" / "feeder-01"


@pytest.fixture
def own_samples(csv_fleet):
    """The lines of the device's own table."""
    return (csv_fleet / "feeder-01.csv").read_text(encoding="utf-8").splitlines()


def test_a_prediction_is_a_table_of_scores_and_alarms(cli, bundle, csv_fleet):
    outcome = cli("predict", bundle, csv_fleet / "feeder-01.csv")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "row,score,alarm"
    assert len(lines) == 251
    threshold = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["threshold"]
    for number, line in enumerate(lines[1:], 1):
        row, score, alarm = line.split(",")
        assert int(row) == number
        assert (float(score) * 256).is_integer()
        assert alarm == ("fault" if float(score) > threshold else "normal")


def test_a_prediction_as_json_says_the_same(cli, bundle, csv_fleet):
    lines = cli("predict", bundle, csv_fleet / "feeder-01.csv").out.splitlines()[1:]
    found = json.loads(cli("predict", bundle, csv_fleet / "feeder-01.csv", "--json").out)
    assert set(found) == {"device", "threshold", "scores", "alarms"}
    assert found["device"] == "feeder-01"
    assert found["scores"] == [float(line.split(",")[1]) for line in lines]
    assert found["alarms"] == [line.split(",")[2] for line in lines]


def test_a_prediction_goes_to_a_file(cli, here, bundle, csv_fleet):
    printed = cli("predict", bundle, csv_fleet / "feeder-01.csv").out
    outcome = cli("predict", bundle, csv_fleet / "feeder-01.csv", "--out", "scores.csv")
    assert (outcome.status, outcome.out) == (0, "")
    assert (here / "scores.csv").read_text(encoding="utf-8") == printed


def test_columns_may_come_in_any_order_and_others_are_ignored(cli, here, bundle, csv_fleet, own_samples):
    printed = cli("predict", bundle, csv_fleet / "feeder-01.csv").out
    turned = [",".join([f"note {i}", *line.split(",")[::-1]]) for i, line in enumerate(own_samples)]
    (here / "turned.csv").write_text("\n".join(turned) + "\n", encoding="utf-8")
    assert cli("predict", bundle, "turned.csv").out == printed


def test_a_prediction_needs_no_label(cli, here, bundle, csv_fleet, own_samples):
    printed = cli("predict", bundle, csv_fleet / "feeder-01.csv").out
    unlabelled = [",".join(line.split(",")[:6]) for line in own_samples]
    (here / "new.csv").write_text("\n".join(unlabelled) + "\n", encoding="utf-8")
    assert cli("predict", bundle, "new.csv").out == printed


def test_samples_in_other_units_are_reported_on_standard_error(cli, here, bundle, own_samples):
    far = [own_samples[0], ",".join(["1e6"] * 6 + ["0", "normal", "e"]), *own_samples[1:3]]
    (here / "far.csv").write_text("\n".join(far) + "\n", encoding="utf-8")
    outcome = cli("predict", bundle, "far.csv")
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 4
    assert outcome.err.startswith("fedmetaalign: 1 of 3 samples lie outside the range")
    assert outcome.err.count("\n") == 1


def test_a_text_feature_is_scored_as_it_was_trained(cli, here, device_table, small):
    table = device_table()
    for i, row in enumerate(table.rows):
        row[0] = "LMH"[i % 3]
    table.write(here / "pump.csv")
    fleet = """
        [fleet]
        table = "pump.csv"
        label = "fault"
        features = ["speed", "load"]
        categories = { speed = ["L", "M", "H"] }
    """
    (here / "recipe.toml").write_text(fleet + small, encoding="utf-8")
    assert cli("run", "recipe.toml", "--out", "out").status == 0
    golden = (here / "out/devices/pump/golden.csv").read_text(encoding="utf-8").splitlines()
    assert {line.split(",")[0] for line in golden[1:]} <= {"L", "M", "H", "nan", "inf", "-inf"}
    outcome = cli("predict", "out/devices/pump", "pump.csv", "--json")
    assert outcome.status == 0
    assert len(json.loads(outcome.out)["scores"]) == 120
    table.rows[3][0] = "X"
    table.write(here / "pump.csv")
    outcome = cli("predict", "out/devices/pump", "pump.csv")
    assert outcome.status == 1
    assert "pump.csv, line 5, column 'speed' holds 'X', which is not among its categories" in outcome.err


@pytest.mark.parametrize("runtime", ["litert", "litert-reference", "tflm"])
def test_every_runtime_scores_the_same_samples_nearly_alike(cli, bundle, csv_fleet, runtime):
    if runtime == "tflm":
        pytest.importorskip("tflite_micro")
    ours = json.loads(cli("predict", bundle, csv_fleet / "feeder-01.csv", "--json").out)["scores"]
    outcome = cli("predict", bundle, csv_fleet / "feeder-01.csv", "--json", "--runtime", runtime)
    theirs = json.loads(outcome.out)["scores"]
    assert outcome.status == 0
    assert len(theirs) == 250
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 0.05


# Comparisons


@pytest.fixture
def small_comparison(here, monkeypatch):
    """A recipe to compare, here.toml, by cell runs that are only imagined; returns what they run in."""
    imagine(monkeypatch)
    monkeypatch.setattr("fedmetaalign.report.comparison.figures.write", lambda comparison, folder: [])
    compared = '[compare]\nmethods = ["majority", "local_only", "fedavg"]\nlearning_rates = [0.01]\n'
    (here / "here.toml").write_text(SMALL + compared, encoding="utf-8")
    return in_process(monkeypatch)


def test_a_comparison_prints_a_line_a_row_and_what_they_mean(cli, here, small_comparison):
    outcome = cli("compare", "here.toml")
    assert (outcome.status, outcome.err) == (0, "")
    for name in ("Majority class", "Local only", "FedAvg", "FedAvg (global)"):
        assert any(line.startswith(f"{name} ") for line in outcome.out.splitlines())
    assert outcome.out.startswith("here: 3 seeds")
    assert " is best, with a mean accuracy of " in outcome.out
    assert outcome.out.endswith("\nTables and figures: runs/compare-here/compare.md\n")
    assert {path.name for path in here.iterdir()} == {"here.toml", "runs"}
    assert len(small_comparison.cells) == 3 * 3


def test_a_comparison_as_json_is_compare_json(cli, here, small_comparison):
    outcome = cli("compare", "here.toml", "--seeds", "2", "--out", "out", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == (here / "out/compare.json").read_text(encoding="utf-8")
    assert json.loads(outcome.out)["seeds"] == [0, 1]


def test_methods_are_those_of_the_call(cli, small_comparison):
    outcome = cli("compare", "here.toml", "--methods", "fedprox, majority", "--seeds", "1", "--json")
    assert list(json.loads(outcome.out)["methods"]) == ["fedprox", "fedprox.global", "majority"]
    assert small_comparison.cells == [("fedprox", 0, 0.01), ("majority", 0, None)]


@pytest.mark.parametrize("settings", [[], ["foundation.simulator=feeder", "foundation.enabled=true"]])
def test_all_methods_are_all_that_the_recipe_has_the_data_for(cli, small_comparison, settings):
    more = [f"--set={setting}" for setting in settings]
    found = json.loads(cli("compare", "here.toml", "--methods", "all", "--seeds", "1", "--json", *more).out)
    rows = [name for name in found["methods"] if not name.endswith(".global")]
    assert set(methods.names()) - set(rows) == (set() if settings else {"feddf"})
    assert set(rows[: len(methods.CONTROLS)]) == methods.CONTROLS


def test_settings_reach_the_comparison(cli, small_comparison):
    settings = [f"--set={s}" for s in ("name=other", "seed=5", "compare.learning_rates=[0.1]", "fleet.count=2")]
    found = json.loads(cli("compare", "here.toml", "--seeds", "1", "--json", *settings).out)
    assert (found["recipe"], found["seeds"], found["learning_rates"]) == ("other", [5], [0.1])
    assert len(found["devices"]) == 2


def test_a_sweep_prints_every_value(cli, here, small_comparison, monkeypatch):
    monkeypatch.setattr("fedmetaalign.report.comparison.figures.sweep", lambda comparisons, key: "")
    sweep = '[compare.sweep]\nkey = "parallel.floor"\nvalues = [0.1, 0.5]\n'
    (here / "swept.toml").write_text(f'extends = "here.toml"\n{sweep}', encoding="utf-8")
    outcome = cli("compare", "swept.toml", "--seeds", "1", "--out", "out")
    assert (outcome.status, outcome.err) == (0, "")
    for value in ("0.1", "0.5"):
        assert f"swept with parallel.floor = {value}" in outcome.out
    assert (here / "out/0.5/compare.json").exists()
    outcome = cli("compare", "swept.toml", "--seeds", "1", "--out", "out", "--json")
    assert outcome.out == (here / "out/sweep.json").read_text(encoding="utf-8")


def test_an_interrupted_comparison_goes_on_with_the_same_call(cli, small_comparison, monkeypatch):
    whole = cli("compare", "here.toml", "--out", "whole", "--json").out
    stopped = in_process(monkeypatch, most=4)
    outcome = cli("compare", "here.toml", "--out", "out")
    assert (outcome.status, outcome.out) == (130, "")
    assert outcome.err == "fedmetaalign: stopped; the same command goes on where it was.\n"
    resumed = in_process(monkeypatch)
    assert cli("compare", "here.toml", "--out", "out", "--json").out == whole
    assert len(stopped.cells + resumed.cells) == len(small_comparison.cells)


# Data


def test_known_data_sets_are_listed_with_their_traps_and_as_json(cli):
    outcome = cli("data", "list")
    assert (outcome.status, outcome.err) == (0, "")
    assert "ai4i2020: " in outcome.out
    assert "fedmetaalign data fetch ai4i2020" in outcome.out
    found = json.loads(cli("data", "list", "--json").out)
    ai4i = next(dataset for dataset in found if dataset["name"] == "ai4i2020")
    assert set(ai4i) >= {"name", "file", "title", "url", "licence", "sha256", "rows", "downloadable"}
    assert (ai4i["file"], ai4i["rows"], ai4i["downloadable"]) == ("ai4i2020.csv", 10_000, True)
    assert all(len(dataset["sha256"]) == 64 for dataset in found)


@pytest.mark.parametrize("simulator", ["feeder", "milling", "rotating"])
@pytest.mark.usefixtures("no_report")
def test_a_simulated_folder_has_a_recipe_that_runs(cli, here, simulator):
    outcome = cli("data", "simulate", simulator, "--out", "fleet", "--count", "2", "--samples", "200")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == "2 tables in fleet; train on them with: fedmetaalign run fleet/recipe.toml\n"
    outcome = cli("run", "fleet/recipe.toml", "--out", "out", *FEW, "--set", "model.hidden=[4]")
    assert (outcome.status, outcome.err) == (0, "")
    assert sorted(p.name for p in (here / "out/devices").iterdir()) == [f"{simulator}-00", f"{simulator}-01"]


def test_an_audit_prints_sentences_and_as_json_tells_the_label_and_the_rows(cli, csv_fleet):
    tables = [csv_fleet / "feeder-00.csv", csv_fleet / "feeder-01.csv"]
    outcome = cli("audit", *tables)
    assert (outcome.status, outcome.err) == (0, "")
    assert all(str(table) in outcome.out for table in tables)
    outcome = cli("audit", tables[0], "--label", "fault", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    (found,) = json.loads(outcome.out)
    assert (found["source"], found["rows"]) == (str(tables[0]), 250)


def test_an_audit_of_a_recipe_has_its_devices_its_split_and_a_page(cli, here, csv_fleet):
    outcome = cli("audit", csv_fleet / "recipe.toml", "--page", "audit.html")
    assert (outcome.status, outcome.err) == (0, "")
    assert "3 devices with 750 labelled rows" in outcome.out
    assert "Audit of 3 tables" in (here / "audit.html").read_text(encoding="utf-8")
    outcome = cli("audit", csv_fleet / "recipe.toml", "--label", "fault")
    assert (outcome.status, outcome.out) == (2, "")


def test_an_audit_goes_on_after_a_bad_table(cli, here, csv_fleet):
    (here / "bad.csv").write_text("a,b\n1\n", encoding="utf-8")
    outcome = cli("audit", "bad.csv", csv_fleet / "feeder-00.csv")
    assert outcome.status == 1
    assert str(csv_fleet / "feeder-00.csv") in outcome.out
    assert outcome.err.startswith("fedmetaalign: bad.csv, line 2 has 1 cells")

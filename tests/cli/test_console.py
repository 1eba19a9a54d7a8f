"""What a person sees of a run: progress where there is a terminal, a table of results."""

import ast
import copy
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

import fedmetaalign.run
from fedmetaalign.cli.comparison import CompareWatcher
from fedmetaalign.cli.progress import PHASES, RunWatcher, fleet_table, sentences
from fedmetaalign.report.decision import summary
from fedmetaalign.report.reading import read_run


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def results(finished):
    """Three devices with numbers that are easy to find: one beats its baselines, two do not."""
    results = copy.deepcopy(finished.results)
    for name, accuracy, majority, rule in (
        ("feeder-00", 0.9125, 0.5, 0.755),
        ("feeder-01", 0.8, 0.8, 0.6),
        ("feeder-02", 0.7, 0.55, 0.85),
    ):
        device = results["devices"][name]
        device["stages"]["deployed"] |= {"accuracy": accuracy, "f1": 0.8765}
        device["one_rule"]["accuracy"] = rule
        device |= {"majority": majority, "threshold": 0.251, "model_bytes": 52_480}
    return results


def cells(text, device):
    return next(line.split() for line in text.splitlines() if line.startswith(device))


def test_every_phase_that_a_run_announces_has_a_name_on_the_bar():
    source = Path(fedmetaalign.run.__file__).read_text(encoding="utf-8")
    announced = {
        call.args[0].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "phase"
        and isinstance(call.args[0], ast.Constant)
    }
    assert "personalize" in announced
    assert announced | {"foundation", "serial", "parallel"} <= set(PHASES)


@pytest.mark.usefixtures("no_report")
def test_progress_is_shown_on_a_terminal_through_every_phase(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with RunWatcher() as watcher:
        fedmetaalign.run.run(finished.recipe, tmp_path / "run", watcher=watcher)
    shown = sys.stderr.getvalue()
    assert "%" in shown
    assert PHASES["personalize"] in shown


def tell(watcher):
    watcher.begin(3)
    if isinstance(watcher, CompareWatcher):
        watcher.stage("running")
        watcher.advance()
        watcher.advance()
    else:
        watcher.phase("serial")
        watcher.advance(2)


@pytest.mark.parametrize("kind", [RunWatcher, CompareWatcher])
def test_nothing_is_shown_where_there_is_no_terminal(capfd, kind):
    with kind() as watcher:
        tell(watcher)
    assert capfd.readouterr() == ("", "")


def test_a_long_training_is_told_once_where_there_is_no_terminal(capfd, monkeypatch):
    now = iter([100.0, 100.0, 110.0, 130.0, 160.0])
    monkeypatch.setattr("fedmetaalign.cli.progress.time.monotonic", lambda: next(now))
    with RunWatcher() as watcher:
        watcher.begin(300_000)
        for _ in range(4):
            watcher.advance(1000)
    assert capfd.readouterr().err == "fedmetaalign: Training takes about 50 minutes more, at 100 steps/s.\n"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (RunWatcher, ["phase 1: serial tour", "67 %"]),
        (CompareWatcher, ["running the other seeds", "2/3", "runs"]),
    ],
)
def test_on_a_terminal_it_is_shown_what_is_done_and_how_far(monkeypatch, kind, told):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with kind() as watcher:
        tell(watcher)
    shown = sys.stderr.getvalue()
    assert [text for text in told if text not in shown] == []


def test_the_table_has_a_line_a_device_with_its_numbers_and_a_column_a_stage(results, capsys):
    stages = results["devices"]["feeder-01"]["stages"]
    for number, stage in enumerate(stages.values(), 1):
        stage["accuracy"] = 0.111 * number
    stages["deployed"]["f1"] = None  # which is left open
    fleet_table("feeders", results)
    text = capsys.readouterr().out
    assert text.startswith("feeders") and "deployed" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("feeder-", "mean"))] == [
        *("feeder-00", "feeder-01", "feeder-02", "mean")
    ]
    assert cells(text, "feeder-00")[:3] == ["feeder-00", "50.0", "75.5"]
    assert cells(text, "feeder-00")[-4:] == ["91.2", "0.876", "0.251", "52,480"]
    row = cells(text, "feeder-01")
    assert row[row.index("11.1") :][:5] == ["11.1", "22.2", "33.3", "44.4", "55.5"]
    assert row[-2:] == ["0.251", "52,480"] and not {"None", "0.876"} & set(row)


def test_what_the_table_means_is_said_in_the_words_of_the_report(finished, results, tmp_path, capsys):
    for name in ("recipe.toml", "manifest.json", "rounds.jsonl"):
        shutil.copy(finished.folder / name, tmp_path / name)
    results["fleet"]["gain_over_alone"] = -0.25
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    sentences(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines == list(summary(read_run(tmp_path)))
    assert 2 <= len(lines) <= 4
    assert "25.0 points less than models trained alone" in lines[0]
    beaten = (
        "2 of 3 devices are no better than a baseline that needs no neural network: feeder-01 and feeder-02"
    )
    assert lines[2].startswith(beaten)


def test_groups_and_what_models_have_learnt_from_have_columns_where_a_method_says_so(results, capsys):
    fleet_table("feeders", results)
    assert not {"blend", "group"} & set(capsys.readouterr().out.split())
    for name, blend in (("feeder-00", "local"), ("feeder-01", "joint"), ("feeder-02", "joint")):
        results["devices"][name]["blend"] = {"name": blend, "estimates": {}}
    results["fleet"]["groups"] = {"feeder-00": 1, "feeder-01": 2, "feeder-02": 1}
    fleet_table("feeders", results)
    text = capsys.readouterr().out
    # feeder-01 is a group by itself, and has nobody to blend with
    assert [cells(text, f"feeder-0{i}")[-2:] for i in range(3)] == [
        ["local", "1"],
        ["local", "2"],
        ["joint", "1"],
    ]
    assert "blend  group" in text


def test_a_run_that_did_not_train_alone_has_no_such_column(results, capsys):
    for row in (results["fleet"], *results["devices"].values()):
        for key in ("alone", "gain_over_alone", "worse_off"):
            row.pop(key, None)
    fleet_table("feeders", results)
    assert "alone" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["[bold]", "a [/b] c", "100 % [red]hot[/red]", "Pümpe", "tab\there"])
def test_a_recipes_name_is_printed_as_it_is(results, capsys, name):
    fleet_table(name, results)
    assert name.split("\t")[0] in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    "name", ["feeder-of-the-north-eastern-substation-number-117", "[bold]pump[/]:warning:"]
)
def test_a_devices_name_is_printed_as_it_is_and_not_cut_off(results, capsys, name):
    results["devices"][name] = results["devices"].pop("feeder-00")
    fleet_table("feeders", results)
    assert name in capsys.readouterr().out

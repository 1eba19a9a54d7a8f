"""`init` writes a recipe that `run` takes, says what it saw, asks where somebody can answer, spoils nothing."""

import io
import json
import tomllib

import numpy as np
import pytest

FEW = [
    *("--set", "model.hidden=[4]", "--set", "serial.rounds=1", "--set", "personalize.epochs=1"),
]


@pytest.fixture
def pumps(here):
    """A folder of three tables with words for labels, a clock and units."""
    random = np.random.default_rng(3)
    (here / "pumps").mkdir()
    words = np.array(["ok", "leak", "bearing"])
    for pump in range(3):
        kind = random.choice(3, 120, p=[0.6, 0.2, 0.2])
        x = random.normal([6, 40], [1, 3], (120, 2)) - np.stack([kind == 1, 4 * (kind == 2)], axis=1)
        rows = [
            f"2025-03-01 {i // 60:02d}:{i % 60:02d},{x[i, 0]:.3f},{x[i, 1]:.3f},{words[kind[i]]}"
            for i in range(120)
        ]
        text = "\n".join(["time,pressure_bar,flow [m3/h],state", *rows]) + "\n"
        (here / "pumps" / f"pump-{pump}.csv").write_text(text, encoding="utf-8")
    return here / "pumps"


def recipe(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("no_report")
def test_two_commands_from_a_folder_to_bundles(cli, here, pumps):
    outcome = cli("init", "pumps", "--yes")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.endswith("Written to recipe.toml; read it. Next:\n    fedmetaalign run recipe.toml\n")
    assert "info: Label: column 'state', 'leak', 'bearing' mean fault and 'ok' no fault" in outcome.out
    fleet = recipe(here / "recipe.toml")["fleet"]
    assert fleet["table"] == "pumps/*.csv"
    assert fleet["features"] == ["pressure_bar", "flow [m3/h]"]
    assert fleet["units"] == {"pressure_bar": "bar", "flow [m3/h]": "m3/h"}
    assert fleet["normal"] == ["ok"]
    outcome = cli("run", "recipe.toml", "--out", "out", *FEW)
    assert (outcome.status, outcome.err) == (0, "")
    assert sorted(path.name for path in (here / "out/devices").iterdir()) == ["pump-0", "pump-1", "pump-2"]


def test_a_recipe_that_is_there_stays_unless_told(cli, here, pumps):
    (here / "recipe.toml").write_text("name = 'mine'\n", encoding="utf-8")
    outcome = cli("init", "pumps", "--yes")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        "fedmetaalign: recipe.toml is there already: choose another --out, or add --force.\n"
    )
    assert recipe(here / "recipe.toml") == {"name": "mine"}
    assert cli("init", "pumps", "--yes", "--force").status == 0
    assert recipe(here / "recipe.toml")["name"] == "pumps"


def test_answers_on_a_terminal_replace_what_is_proposed(cli, here, pumps, monkeypatch):
    terminal = io.StringIO("\nok, leak\nspeed\npressure_bar\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    outcome = cli("init", "pumps", "--out", "asked.toml")
    assert outcome.status == 0
    assert "Label column [state]: " in outcome.err
    assert "There is no 'speed'; there are time, pressure_bar, flow [m3/h], state." in outcome.err
    fleet = recipe(here / "asked.toml")["fleet"]
    assert (fleet["positive"], fleet["features"]) == (["bearing"], ["pressure_bar"])


def test_label_and_normal_values_can_be_named(cli, here, pumps):
    outcome = cli("init", "pumps", "--label", "state", "--normal", "leak", "--normal", "ok", "--json")
    found = json.loads(outcome.out)
    assert (found["recipe"], found["refused"]) == ("recipe.toml", None)
    assert found["choices"][0]["counts"].keys() == {"no fault", "fault"}
    assert found["choices"][0]["label"]["faults"] == ["bearing"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["nothing"], "nothing does not exist"),
        (["empty"], "empty holds no table"),
        (["empty", "above"], "there are some in above/below"),
        (["pumps", "--label", "stat"], "has no column 'stat'; did you mean 'state'?"),
        (["pumps", "--normal", "fine"], "column 'state' never holds 'fine'; it holds 'ok', 'leak', 'bearing'"),
        (["plain.csv"], "plain.csv has no column that looks like a label"),
        (["pumps", "--out", "no/folder.toml"], "Cannot write no/folder.toml"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(cli, here, pumps, call, says):
    (here / "empty").mkdir()
    (here / "above/below").mkdir(parents=True)
    (here / "above/below/t.csv").write_text("a,fault\n1,0\n", encoding="utf-8")
    (here / "plain.csv").write_text("a,b\n1.5,2\n2.5,3\n1.25,1\n", encoding="utf-8")
    if len(call) == 2 and call[1] == "above":
        call = ["above"]
    outcome = cli("init", *call)
    assert outcome.status == 1
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (here / "recipe.toml").exists()

"""Methods and rules from other packages: found by name, and a broken one is reported in a sentence."""

import json
import re
import sys

import numpy as np
import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import find, names, runnable
from fedmetaalign.recipe import parse
from fedmetaalign.run import run
from fedmetaalign.system import plugins
from fedmetaalign.tinyml.bundle import read

CODE = '''
from fedmetaalign.aggregation import Aggregate, stacked
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds


def first(cohort):
    """Follows the first device alone."""
    weights = np.zeros(len(cohort.deltas))
    weights[0] = 1
    return Aggregate(cohort.deltas[0].astype(np.float64), weights)


METHOD = Method(parallel_rounds(stacked(first)))
number = 3
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package, as pip would: a module, and a dist-info with its entry points."""

    def install(group, code=CODE, **entries):
        (tmp_path / "leaders.py").write_text(f"import numpy as np\n{code}", encoding="utf-8")
        info = tmp_path / "leaders-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaders\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        forget()

    def forget():
        sys.modules.pop("leaders", None)
        plugins._found.cache_clear()
        find.cache_clear()

    yield install
    monkeypatch.undo()
    forget()


def recipe(**settings):
    sections = {
        "fleet": {"simulator": "milling", "count": 2, "samples": 60},
        "model": {"hidden": [4]},
        "serial": {"rounds": 0},
        "parallel": {"rounds": 2},
        "personalize": {"epochs": 1},
        "evaluation": {"alone": False},
    }
    return parse(sections | settings, "here")


def test_a_method_from_outside_runs_to_bundles_as_one_of_ours(package, tmp_path, monkeypatch):
    assert "leader" not in names()
    package(plugins.METHODS, leader="leaders:METHOD")
    monkeypatch.setattr("fedmetaalign.run.write_report", lambda folder: None)
    assert "leader" in names()
    assert "leader" in runnable(recipe())
    results = run(recipe(method="leader"), tmp_path / "out")
    assert sorted(results["devices"]) == ["milling-00", "milling-01"]
    for name in results["devices"]:
        assert np.isfinite(read(tmp_path / "out/devices" / name).threshold)
    records = (tmp_path / "out/rounds.jsonl").read_text(encoding="utf-8")
    # In both rounds the first device has all the weight.
    assert (
        re.findall(r'"device": "(milling-0\d)".*?"weight": ([\d.]+)', records)
        == [
            ("milling-00", "1.0"),
            ("milling-01", "0.0"),
        ]
        * 2
    )


def test_none_of_ours_is_replaced(package):
    before = find("fedavg")
    package(plugins.METHODS, fedavg="leaders:METHOD")
    assert find("fedavg") is before
    assert names().count("fedavg") == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("nowhere:METHOD", "The plug-in leader (nowhere:METHOD) cannot be loaded: No module named 'nowhere'."),
        (
            "leaders:missing",
            "The plug-in leader (leaders:missing) cannot be loaded: module 'leaders' has no attribute"
            " 'missing'.",
        ),
        ("leaders:number", "The plug-in leader (leaders:number) is not a Method: correct its entry point."),
    ],
)
def test_a_broken_one_is_reported_when_it_is_asked_for_and_disturbs_no_other(package, value, sentence):
    package(plugins.METHODS, leader=value)
    assert find("fedavg").trains
    with pytest.raises(RecipeError) as told:
        find("leader")
    assert str(told.value) == sentence


def test_one_whose_code_fails_is_reported(package):
    package(plugins.METHODS, code="raise ValueError('half done')", leader="leaders:METHOD")
    with pytest.raises(RecipeError, match=r"leader \(leaders:METHOD\) cannot be loaded: half done\."):
        find("leader")


RULE = '''
from fedmetaalign.aggregation import Aggregate


def loudest(cohort):
    """Follows the device with the longest delta alone."""
    lengths = np.linalg.norm(cohort.deltas.astype(np.float64), axis=1)
    weights = (lengths == lengths.max()) / np.sum(lengths == lengths.max())
    return Aggregate(weights @ cohort.deltas.astype(np.float64), weights)
'''


def test_a_rule_from_outside_in_ten_lines_is_named_like_ours(package, tmp_path):
    package(plugins.RULES, RULE, loudest="leaders:loudest")
    given = recipe(parallel={"rounds": 2, "aggregation": "loudest"})
    run(given, tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    parallel = [each for each in records if each["phase"] == 2]
    for number in (1, 2):
        weight, length = zip(
            *((each["weight"], each["delta_norm"]) for each in parallel if each["round"] == number), strict=True
        )
        assert weight[length.index(max(length))] == 1.0 and sum(weight) == 1.0


def test_an_unknown_rule_or_simulator_is_reported_with_those_there_are(package):
    package(plugins.RULES, RULE, loudest="leaders:loudest")
    with pytest.raises(RecipeError, match=r"= 'laudest' must be 'similarity', .*'krum' or 'loudest'"):
        recipe(parallel={"aggregation": "laudest"})
    with pytest.raises(
        RecipeError,
        match=r"= 'press' must be 'feeder', .*'vibration' or 'waveform'",
    ):
        recipe(fleet={"simulator": "press"})


PRESS = '''
from fedmetaalign.fleet.simulators import find


def presses(devices, samples, seed):
    """Milling machines under another name."""
    return find("milling")(devices, samples, seed)
'''


@pytest.mark.parametrize("kinds", [False, True])
def test_a_simulator_from_outside_makes_a_fleet(package, kinds):
    package(plugins.SIMULATORS, PRESS, press="leaders:presses")
    fleet = build(recipe(fleet={"simulator": "press", "count": 2, "samples": 400, "kinds": kinds}))
    assert [device.name for device in fleet.devices] == ["milling-00", "milling-01"]
    assert [fleet.target.classes[i] for i in fleet.target.normal] == ["normal"]
    assert (len(fleet.target.classes) > 2) == kinds

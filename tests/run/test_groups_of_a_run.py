"""What a run says of the groups that its method has made."""

import json

import numpy as np
import pytest

from fedmetaalign.methods.fleet import GROUP, METHOD, MODEL, members
from fedmetaalign.phases.server import State
from fedmetaalign.report.decision import summary
from fedmetaalign.report.reading import read_run

RECIPE = """
name = "several"
extends = "fleet"
[fleet]
simulator = "feeder"
count = 3
samples = 60
[serial]
rounds = 2
[personalize]
epochs = 1
[model]
hidden = [8, 4]
[groups]
alignment = {}
"""


def test_groups_are_numbered_from_one_as_the_server_has_them() -> None:
    groups = {f"{GROUP}{name}": np.array([group]) for name, group in zip("abc", (0, 1, 0), strict=True)}
    weights = {f"{group}.{MODEL}": np.zeros(2, np.float32) for group in (0, 1)}
    state = State(np.zeros(2, np.float32), memory=groups | weights)
    finals = METHOD.finals(("a", "b", "c"), state)
    assert [(final.names, final.group) for final in finals] == [(("a", "c"), 1), (("b",), 2)]
    assert members(("a", "b", "c"), state) == {0: ["a", "c"], 1: ["b"]}


@pytest.mark.usefixtures("no_report", "few_trees")
@pytest.mark.parametrize("alignment", [-1, 1])
def test_the_results_have_each_devices_group_and_the_sentences_name_them(cli, here, alignment):
    (here / "recipe.toml").write_text(RECIPE.format(alignment), encoding="utf-8")
    done = cli("run", "recipe.toml", "--out", "run")
    assert done.status == 0, done.err
    results = json.loads((here / "run" / "results.json").read_text(encoding="utf-8"))
    groups = results["fleet"]["groups"]
    several = len({*groups.values()})
    assert groups.keys() == results["devices"].keys()
    assert (several > 1) is (alignment == 1)
    assert {*groups.values()} == {*range(1, several + 1)}
    lines = summary(read_run(here / "run"))
    assert [line for line in lines if line not in done.out] == []
    assert (lines[-1].startswith(f"{several} groups: feeder-00")) is (several > 1)
    assert ("group" in done.out.splitlines()[2].split()) is (several > 1)


def test_a_method_without_groups_says_nothing_of_them(finished):
    assert "groups" not in finished.results["fleet"]

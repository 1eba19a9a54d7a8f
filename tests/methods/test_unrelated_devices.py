"""Devices that share no feature are never in one group of `fleet`, however alike their updates are."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from over_flower import over_flower
from safetensors.numpy import load_file

from fedmetaalign import recipe as recipes
from fedmetaalign.aggregation.groups import groups
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.fleet.placement import relatives
from fedmetaalign.methods.fleet import METHOD, START, joined
from fedmetaalign.phases.server import Final, Server, State, dealt
from fedmetaalign.run import run

COLUMNS = {
    "fan-1": ("vib", "temp"),
    "fan-2": ("temp", "load"),
    "pump-1": ("flow", "level"),
    "pump-2": ("level",),
}


@pytest.fixture(params=[-1.0, 0.2])
def recipe(request, tmp_path):
    """Fans and pumps whose tables hold the same numbers, so that their updates are the same."""
    x = np.random.default_rng(0).normal(size=(80, 2))
    sources = []
    for name, columns in COLUMNS.items():
        rows = [[*map(repr, row[: len(columns)].tolist()), str(int(row[0] > 0))] for row in x]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(map(",".join, [[*columns, "fault"], *rows])) + "\n", encoding="utf-8")
        sources.append({"name": name, "table": str(path), "label": "fault", "features": list(columns)})
    return recipes.parse(
        {
            "method": "fleet",
            "fleet": {"devices": sources, "scaling": "fleet", "encoding": "quantiles", "missing": "regression"},
            "model": {"hidden": [4]},
            "optimizer": {"learning_rate": 1e-2},
            "serial": {"rounds": 2},
            "groups": {"alignment": request.param},
            "teaching": {"teachers": ["tuned", "fleet"], "folds": 2, "samples": 50},
            "personalize": {"epochs": 1},
            "evaluation": {"alone": False},
        },
        "here",
    )


@pytest.mark.usefixtures("no_report")
def test_fans_and_pumps_are_apart_in_this_process_and_over_flower(recipe, tmp_path):
    run(recipe, tmp_path / "local")
    over_flower(recipe, tmp_path / "nodes", tmp_path / "flower")
    told = json.loads((tmp_path / "flower/fleet.json").read_text())["correlations"]
    assert [name for name, _ in told[0]] == [
        "flow",
        "level",
        "load",
        "temp",
        "vib",
    ]  # of which each device lacks some
    kept = load_file(tmp_path / "local/checkpoint.safetensors")
    group = {name: int(kept[f"memory.group.{name}"][0]) for name in COLUMNS}
    assert {group["fan-1"], group["fan-2"]}.isdisjoint({group["pump-1"], group["pump-2"]})
    if recipe.groups.alignment == -1:
        assert group == {"fan-1": 0, "fan-2": 0, "pump-1": 1, "pump-2": 1}
    for name in ("checkpoint.safetensors", "results.json", "rounds.jsonl"):
        assert (tmp_path / "flower" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    assert json.loads((tmp_path / "local/results.json").read_text())["devices"].keys() == COLUMNS.keys()


@pytest.mark.parametrize("least", [-1, 0.2])
def test_updates_that_are_the_same_join_no_two_families(least):
    same = np.ones((5, 5))
    assert groups(same, least, np.array([7, 3, 7, 3, 7])).tolist() == [0, 1, 0, 1, 0]
    assert groups(same, least, np.zeros(5)).tolist() == [0] * 5
    assert groups(same, least, np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_relatives_share_a_name_and_a_unit_also_by_way_of_others():
    celsius, kelvin, load, speed = ("heat", "C"), ("heat", "K"), ("load", ""), ("speed", "")
    found = relatives({"a": [celsius], "b": [kelvin], "c": [load, celsius], "d": [load, speed], "e": [speed]})
    assert found["a"] == found["c"] == found["d"] == found["e"] != found["b"]


@dataclass
class Late:
    """An engine of which only who is known is asked for."""

    names: tuple[str, ...]
    told: dict[str, int] = field(default_factory=dict)

    def families(self):
        return self.told


def test_who_comes_late_joins_the_largest_group_of_its_family_and_a_stranger_begins_one(recipe):
    engine = Late(("a", "b", "c", "d", "kin", "odd", "odder"), dict.fromkeys("ab", 0) | dict.fromkeys("cd", 1))
    server = Server(recipe, engine, learner_of(recipe))
    of = {"a": 1, "b": 0, "c": 2, "d": 2}
    memory = {START: np.zeros(1, np.float32)} | {f"group.{name}": np.array([g]) for name, g in of.items()}
    state = joined(server, State(np.zeros(1, np.float32), memory=memory))
    assert {name: int(state.memory[f"group.{name}"][0]) for name in of} == of
    assert "group.kin" not in state.memory  # nobody knows yet what it measures
    engine.told |= {"kin": 1, "odd": 2, "odder": 2}
    state = joined(server, state)
    assert [int(state.memory[f"group.{name}"][0]) for name in ("kin", "odd", "odder")] == [2, 3, 3]


def test_a_device_without_labels_is_sent_what_its_family_has():
    finals = [Final(names, np.zeros(1), {}) for names in (("fan-1", "fan-2"), ("pump-1",), ("pump-2",))]
    families = {"fan-1": 0, "fan-2": 0, "pump-1": 1, "pump-2": 1, "pump-3": 1, "saw": 2}
    found = dealt(finals, ("pump-3", "saw", "untold"), families)
    assert [names for _, names in found] == [
        ("fan-1", "fan-2", "saw", "untold"),
        ("pump-1", "pump-3"),
        ("pump-2",),
    ]


def test_who_has_no_group_to_the_end_is_sent_what_one_that_took_no_part_is(recipe):
    weights = {f"{group}.model": np.full(1, group, np.float32) for group in (0, 1)}
    memory = {START: np.zeros(1), "group.a": np.array([1]), "group.b": np.array([0]), **weights}
    finals = METHOD.finals(("a", "b", "new"), State(np.zeros(1), memory=memory))
    assert [(final.names, final.weights.tolist()) for final in finals] == [(("b", "new"), [0]), (("a",), [1])]

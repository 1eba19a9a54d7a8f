import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, Stage
from fedmetaalign.comparison.summary import Tuning, summarise

Accuracies = dict[str, float | None]
GRID = (1e-5, 1e-4, 1e-3)
TUNED = Tuning(1e-4, {1e-5: 0.2, 1e-4: 0.1, 1e-3: None})


def stage(accuracies: Accuracies, steps: int = 100) -> Stage:
    return Stage({name: {"accuracy": a, "threshold": 0.5} for name, a in accuracies.items()}, steps, 2000, 1.5)


def cell(method: str, seed: int, final: Accuracies, **stages: Accuracies) -> Cell:
    found = {name: stage(accuracies) for name, accuracies in stages.items()}
    return Cell(method, seed, 1e-4, 0.1, found | {FINAL: stage(final)})


def diverged(method: str, seed: int) -> Cell:
    return Cell(method, seed, 1e-4, None, {})


def summary(cells: Sequence[Cell], tuning: Tuning = TUNED) -> dict[str, Any]:
    methods = list(dict.fromkeys(cell.method for cell in cells))
    found = summarise(
        "demo", cells, {name: name for name in methods}, dict.fromkeys(methods, tuning), GRID, [0, 1, 2]
    )
    # Neither NaN nor a NumPy type nor a key that is not a string.
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


PAIR = [
    cell("local_only", 0, {"pump": 0.8, "fan": 0.6}),
    cell("local_only", 1, {"pump": 0.9, "fan": 0.7}),
    cell("fedavg", 0, {"pump": 0.9, "fan": 0.5}, **{GLOBAL: {"pump": 0.5, "fan": 0.4}}),
    cell("fedavg", 1, {"pump": 0.9, "fan": 0.9}, **{GLOBAL: {"pump": 0.7, "fan": 0.6}}),
]


def test_what_the_comparison_was() -> None:
    found = summary(PAIR)
    assert {key: found[key] for key in found if key not in ("methods", "stages")} == {
        "recipe": "demo",
        "seeds": [0, 1],
        "learning_rates": [1e-5, 1e-4, 1e-3],
        "tune_seeds": [0, 1, 2],
        "rank": "accuracy",
        "devices": ["pump", "fan"],
        "unseen": [],
    }
    assert list(found["methods"]) == ["local_only", "fedavg", "fedavg.global"]
    assert found["methods"]["fedavg.global"]["stage"] == "global"
    assert found["methods"]["fedavg.global"]["method"] == "fedavg"


def test_each_device_over_seeds() -> None:
    devices = summary(PAIR)["methods"]["fedavg"]["devices"]
    # Of two seeds, a quarter of the replicates has the first alone and a quarter the second.
    assert devices["fan"]["accuracy"] == {
        "mean": pytest.approx(0.7),
        "low": pytest.approx(0.5),
        "high": pytest.approx(0.9),
        "values": [0.5, 0.9],
    }
    assert devices["pump"]["mcc"] == {"mean": None, "low": None, "high": None, "values": [None, None]}
    assert set(devices["pump"]) == {
        *("accuracy", "f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc", "brier")
    }


def test_the_fleet_and_its_gain_over_training_alone() -> None:
    fleet = summary(PAIR)["methods"]["fedavg"]["fleet"]
    assert fleet["accuracy"]["values"] == pytest.approx([0.7, 0.9])
    assert fleet["accuracy"]["mean"] == pytest.approx(0.8)
    # By device: pump +0.1 and 0, fan -0.1 and +0.2.
    assert fleet["gain_over_local"]["values"] == pytest.approx([0.0, 0.1])
    assert fleet["gain_over_local"]["mean"] == pytest.approx(0.05)
    assert fleet["worse_off"]["values"] == [0.5, 0.0]
    assert fleet["worst"]["values"] == [0.5, 0.9]
    assert fleet["worst_decile"]["values"] == [0.5, 0.9]
    assert (fleet["worst"]["low"], fleet["worst"]["high"]) == (0.5, 0.9)


def test_alone_gains_nothing_over_itself() -> None:
    fleet = summary(PAIR)["methods"]["local_only"]["fleet"]
    assert fleet["gain_over_local"] == {"mean": 0, "low": 0, "high": 0, "values": [0, 0]}
    assert fleet["worse_off"]["mean"] == 0


def test_without_local_only_there_is_no_gain() -> None:
    fleet = summary(PAIR[2:])["methods"]["fedavg"]["fleet"]
    nothing = {"mean": None, "low": None, "high": None, "values": [None, None]}
    assert fleet["gain_over_local"] == fleet["worse_off"] == nothing
    assert fleet["worst"]["mean"] == pytest.approx(0.7)


def test_without_a_forest_there_is_no_gain_over_one() -> None:
    assert summary(PAIR)["methods"]["fedavg"]["fleet"]["gain_over_forest"]["mean"] is None


def test_each_row_is_held_against_the_forest_that_is_better_for_the_fleet() -> None:
    forests = [
        cell("forest_alone", 0, {"pump": 1.0, "fan": 0.5}),
        cell("forest_alone", 1, {"pump": 0.9, "fan": 0.6}),  # 0.75 on the mean
        cell("forest_pooled", 0, {"pump": 0.8, "fan": 0.9}),
        cell("forest_pooled", 1, {"pump": 0.9, "fan": 0.8}),  # 0.85
    ]
    found = summary(PAIR + forests)["methods"]
    # fedavg: pump +0.1 and 0, fan -0.4 and +0.1.
    assert found["fedavg"]["fleet"]["gain_over_forest"]["values"] == pytest.approx([-0.15, 0.05])
    assert found["forest_pooled"]["fleet"]["gain_over_forest"]["values"] == [0, 0]
    assert found["forest_alone"]["fleet"]["gain_over_forest"]["mean"] == pytest.approx(-0.1)


def test_an_undefined_value_is_left_out_of_the_means() -> None:
    cells = [cell("a", 0, {"pump": 0.8, "fan": None}), cell("a", 1, {"pump": 0.6, "fan": 0.2})]
    row = summary(cells)["methods"]["a"]
    assert row["devices"]["fan"]["accuracy"] == {"mean": 0.2, "low": None, "high": None, "values": [None, 0.2]}
    assert row["fleet"]["accuracy"]["values"] == pytest.approx([0.8, 0.4])
    assert row["fleet"]["worst"]["values"] == [0.8, 0.2]


def test_with_one_seed_only_the_fleet_has_an_interval() -> None:
    row = summary(PAIR[2:3])["methods"]["fedavg"]
    pump = row["devices"]["pump"]["accuracy"]
    assert (pump["mean"], pump["low"], pump["high"]) == (0.9, None, None)
    assert row["fleet"]["accuracy"]["low"] == pytest.approx(0.5)
    assert row["fleet"]["accuracy"]["high"] == pytest.approx(0.9)
    assert row["fleet"]["worst"]["low"] is None


def test_a_diverged_seed_is_named_and_has_no_values() -> None:
    found = summary([*PAIR[:2], diverged("fedavg", 0), PAIR[3]])
    for row, accuracy in (("fedavg", 0.9), ("fedavg.global", 0.65)):
        entry = found["methods"][row]
        assert entry["diverged"] == [0]
        assert entry["fleet"]["accuracy"]["values"] == [None, pytest.approx(accuracy)]
        assert entry["steps"] == 100
    assert found["methods"]["local_only"]["diverged"] == []


def test_a_method_that_diverged_once_is_compared_with_none() -> None:
    lucky = [*ten("b", 0.9)[:-1], diverged("b", 9)]
    found = summary(ten("a", 0.5) + lucky + ten("c", 0.6))["methods"]
    assert found["b"]["against_best"] is None
    assert (found["a"]["against_best"]["method"], found["c"]["against_best"]["method"]) == ("c", "a")


def test_a_method_that_always_diverged_has_a_row_of_nulls() -> None:
    entry = summary([*PAIR[:2], diverged("fedavg", 0), diverged("fedavg", 1)])["methods"]["fedavg"]
    assert entry["diverged"] == [0, 1]
    assert entry["fleet"]["accuracy"] == {"mean": None, "low": None, "high": None, "values": [None, None]}
    assert entry["devices"]["pump"]["accuracy"]["mean"] is None
    assert entry["steps"] is entry["bytes"] is entry["seconds"] is entry["against_best"] is None
    assert "rounds" not in entry


@pytest.mark.parametrize(("choice", "edge"), [(1e-5, True), (1e-4, False), (1e-3, True)])
def test_tuning_tells_of_a_choice_at_the_grids_end(choice: float, edge: bool) -> None:
    entry = summary(PAIR, replace(TUNED, choice=choice))["methods"]["fedavg"]
    assert entry["learning_rate"] == choice
    assert entry["tuning"] == {"1e-05": 0.2, "0.0001": 0.1, "0.001": None}
    assert entry["edge"] is edge


def test_nothing_tuned_is_at_no_end() -> None:
    for choice in (None, 1e-5):
        entry = summary(PAIR, Tuning(choice, {}))["methods"]["fedavg"]
        assert (entry["learning_rate"], entry["tuning"], entry["edge"]) == (choice, {}, False)


def test_a_grid_of_one_has_no_ends() -> None:
    tunings = {"fedavg": Tuning(1e-4, {1e-4: 0.1})}
    found = summarise("demo", PAIR[2:], {"fedavg": "fedavg"}, tunings, [1e-4], [0])
    assert found["methods"]["fedavg"]["edge"] is False


def test_costs_are_means_over_seeds() -> None:
    cells = [Cell("a", seed, None, 0.1, {FINAL: stage({"pump": 1.0}, 100 + seed)}) for seed in (0, 1)]
    entry = summary(cells)["methods"]["a"]
    assert (entry["steps"], entry["bytes"], entry["seconds"]) == (100.5, 2000, 1.5)


def test_a_variant_keeps_its_methods_name() -> None:
    names = {"local_only": "local_only", "fedavg": "fed_meta_align"}
    entry = summarise("demo", PAIR, names, dict.fromkeys(names, TUNED), GRID, [0])["methods"]["fedavg.global"]
    assert entry["method"] == "fed_meta_align"


def ten(method: str, accuracy: float) -> list[Cell]:
    return [cell(method, seed, {"pump": accuracy + seed / 100, "fan": accuracy}) for seed in range(10)]


def test_every_row_meets_the_best_other_and_the_best_the_second() -> None:
    cells = ten("a", 0.5) + ten("b", 0.7) + ten("c", 0.6)
    found = {row: entry["against_best"] for row, entry in summary(cells)["methods"].items()}
    assert {row: rival["method"] for row, rival in found.items()} == {"a": "b", "b": "c", "c": "b"}
    assert found["a"]["difference"]["mean"] == pytest.approx(-0.2)
    assert found["b"]["difference"]["values"] == pytest.approx([0.1] * 10)
    # All ten differences have one sign. Best against second is one hypothesis: two in all.
    for rival in found.values():
        assert rival["p"] == pytest.approx(1 / 512)
        assert rival["p_holm"] == pytest.approx(2 / 512)


def test_holm_weighs_the_pairs_by_their_p() -> None:
    noisy = [
        cell("c", seed, {"pump": 0.7 + (seed / 10 if seed < 5 else -seed / 10), "fan": 0.7})
        for seed in range(10)
    ]
    found = summary(ten("a", 0.5) + ten("b", 0.7) + noisy)["methods"]
    clear, unclear = found["a"]["against_best"], found["c"]["against_best"]
    assert clear["p_holm"] == pytest.approx(2 * clear["p"])
    assert unclear["p"] > 0.05
    assert unclear["p_holm"] == unclear["p"]
    assert found["b"]["against_best"]["p_holm"] == unclear["p_holm"]


def test_one_row_has_no_rival() -> None:
    assert summary(ten("a", 0.5))["methods"]["a"]["against_best"] is None


@pytest.mark.parametrize("control", ["majority", "one_rule", "pooled", "forest_alone", "boosting_pooled"])
def test_a_control_is_no_rival_even_where_it_is_best(control: str) -> None:
    alone = summary(ten("a", 0.5) + ten("b", 0.6))["methods"]
    beside = summary(ten("a", 0.5) + ten(control, 0.9) + ten("b", 0.6))["methods"]
    assert beside[control]["against_best"] is None
    assert [beside[row]["against_best"] for row in "ab"] == [alone[row]["against_best"] for row in "ab"]


def test_a_control_under_another_name_is_one_too() -> None:
    cells, names = ten("a", 0.5) + ten("all data", 0.9), {"a": "fedavg", "all data": "pooled"}
    found = summarise("demo", cells, names, dict.fromkeys(names, TUNED), GRID, [0])["methods"]
    assert found["a"]["against_best"] is found["all data"]["against_best"] is None


def test_controls_alone_are_no_race() -> None:
    found = summary(ten("majority", 0.5) + ten("pooled", 0.9))["methods"]
    assert {entry["against_best"] for entry in found.values()} == {None}


def test_training_alone_is_a_rival() -> None:
    found = summary(ten("local_only", 0.9) + ten("fedavg", 0.6))["methods"]
    assert found["fedavg"]["against_best"]["method"] == "local_only"


def test_a_global_model_is_no_rival_even_where_it_is_best() -> None:
    better = [
        replace(c, stages={**c.stages, GLOBAL: stage({"pump": 0.99, "fan": 0.99})}) for c in ten("b", 0.6)
    ]
    found = summary(ten("a", 0.5) + better)["methods"]
    assert found["b.global"]["against_best"] is None
    assert (found["a"]["against_best"]["method"], found["b"]["against_best"]["method"]) == ("b", "a")
    assert found["a"]["against_best"]["p_holm"] == found["a"]["against_best"]["p"]  # one pair


def test_equal_methods_do_not_differ() -> None:
    rival = summary(ten("a", 0.5) + ten("b", 0.5))["methods"]["b"]["against_best"]
    assert rival["difference"]["low"] == rival["difference"]["high"] == 0
    assert rival["p"] == rival["p_holm"] == 1


def test_unseen_devices_are_kept_out_of_the_fleet() -> None:
    cells = [replace(c, unseen=("fan",)) for c in PAIR]
    found = summary(cells)
    entry = found["methods"]["fedavg"]
    assert (found["devices"], found["unseen"]) == (["pump"], ["fan"])
    assert entry["fleet"]["accuracy"]["values"] == [0.9, 0.9]
    assert entry["unseen"]["accuracy"]["values"] == [0.5, 0.9]
    assert entry["unseen"]["gain_over_local"]["values"] == pytest.approx([-0.1, 0.2])
    assert set(entry["unseen"]) == set(entry["fleet"])
    assert set(entry["devices"]) == {"pump", "fan"}
    assert summary(PAIR)["methods"]["fedavg"]["unseen"] is None


def test_rounds_are_the_federated_devices_mean_after_each_round() -> None:
    after = [
        ({"pump": 0.2, "fan": 0.4, "new": 0.0}, {"pump": 0.6, "fan": 0.8, "new": 0.0}),
        ({"pump": 0.2, "fan": 0.4, "new": 0.0}, {"pump": 0.8, "fan": 1.0, "new": 0.0}),
    ]
    cells = [replace(c, rounds=rounds, unseen=("new",)) for c, rounds in zip(PAIR[2:], after, strict=True)]
    found = summary([*PAIR[:2], *cells])["methods"]
    assert found["fedavg"]["rounds"]["mean"] == pytest.approx([0.3, 0.8])
    assert found["fedavg"]["rounds"]["low"] == pytest.approx([0.2, 0.6])
    assert found["fedavg"]["rounds"]["high"] == pytest.approx([0.4, 1.0])
    assert found["fedavg.global"]["rounds"] == found["fedavg"]["rounds"]
    assert "rounds" not in found["local_only"]


def test_every_stage_of_every_method_is_there_for_figures() -> None:
    cells = [cell("fed_meta_align", s, {"pump": 0.9}, serial={"pump": 0.5 + s / 10}) for s in (0, 1)]
    found = summary(cells)["stages"]
    assert list(found) == ["fed_meta_align"]
    assert list(found["fed_meta_align"]) == ["serial", "final"]
    assert found["fed_meta_align"]["serial"]["pump"]["accuracy"]["values"] == [0.5, 0.6]


def test_the_order_of_the_cells_changes_nothing() -> None:
    names = {"local_only": "local_only", "fedavg": "fedavg"}
    tunings = dict.fromkeys(names, TUNED)
    ordered = summarise("demo", PAIR, names, tunings, GRID, [0])
    again = summarise("demo", [PAIR[i] for i in (2, 1, 3, 0)], names, tunings, GRID, [0])
    assert again == ordered


def test_renumbering_the_seeds_of_all_methods_changes_draws_and_nothing_else() -> None:
    cells = ten("a", 0.5) + ten("b", 0.52)
    renumbered = [replace(c, seed=(c.seed * 3 + 1) % 10) for c in cells]
    one, other = (summary(each)["methods"]["a"] for each in (cells, renumbered))
    assert other["fleet"]["accuracy"]["mean"] == pytest.approx(one["fleet"]["accuracy"]["mean"])
    assert other["fleet"]["accuracy"]["low"] == pytest.approx(one["fleet"]["accuracy"]["low"], abs=0.005)
    assert other["against_best"]["p"] == one["against_best"]["p"]


def kinds(method: str, seed: int, accuracy: float, **macro_f1: float) -> Cell:
    same = {"accuracy": accuracy, "class_accuracy": 0.5}
    measured = {name: same | {"macro_f1": value} for name, value in macro_f1.items()}
    return Cell(method, seed, 1e-4, 0.1, {FINAL: Stage(measured, 100, 2000, 1.5)})


KINDS = [
    kinds("local_only", 0, 0.9, pump=0.5, fan=0.25),
    kinds("local_only", 1, 0.9, pump=0.5, fan=0.25),
    kinds("fedavg", 0, 0.8, pump=0.75, fan=0.125),
    kinds("fedavg", 1, 0.8, pump=0.75, fan=0.25),
]


@pytest.mark.parametrize(
    ("rank", "best", "gain", "worse", "worst"),
    [
        ("accuracy", "local_only", [-0.1, -0.1], [1, 1], [0.8, 0.8]),
        ("macro_f1", "fedavg", [0.0625, 0.125], [0.5, 0], [0.125, 0.25]),
    ],
)
def test_of_several_kinds_the_rank_says_what_is_better(
    rank: str, best: str, gain: list[float], worse: list[float], worst: list[float]
) -> None:
    names = {"local_only": "local_only", "fedavg": "fedavg"}
    found = summarise("demo", KINDS, names, dict.fromkeys(names, TUNED), GRID, [0], rank)
    row = found["methods"]["fedavg"]
    assert row["fleet"]["gain_over_local"]["values"] == pytest.approx(gain)
    assert row["fleet"]["worse_off"]["values"] == worse
    assert row["fleet"]["worst"]["values"] == row["fleet"]["worst_decile"]["values"] == worst
    ahead = found["methods"][best]["against_best"]["difference"]["mean"]
    assert found["rank"] == rank and ahead == pytest.approx(abs(sum(gain) / 2))
    # Both are there, whatever ranks; and what a stage has is what ranks.
    assert row["fleet"]["accuracy"]["mean"] == pytest.approx(0.8)
    assert row["devices"]["pump"]["macro_f1"]["values"] == [0.75, 0.75]
    assert row["devices"]["fan"]["class_accuracy"]["mean"] == 0.5
    assert list(found["stages"]["fedavg"]["final"]["fan"]) == [rank]

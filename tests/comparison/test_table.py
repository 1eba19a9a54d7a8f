import csv
import io

import pytest

from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, Stage
from fedmetaalign.comparison.table import KINDS, METRICS, device_names, rows, to_csv


def stage(**accuracies: float) -> Stage:
    return Stage({name: {"accuracy": value} for name, value in accuracies.items()}, 100, 2000, 1.5)


def cell(method: str, seed: int, stages: dict[str, Stage], unseen: tuple[str, ...] = ()) -> Cell:
    return Cell(method, seed, 1e-4, 0.1 if stages else None, stages, (), unseen)


def test_rows_follow_the_methods_and_a_global_model_its_method() -> None:
    cells = [
        cell("b", 1, {FINAL: stage(pump=0.9)}),
        cell("a", 0, {FINAL: stage(pump=0.9), GLOBAL: stage(pump=0.8), "serial": stage(pump=0.7)}),
        cell("b", 0, {FINAL: stage(pump=0.9)}),
        cell("a", 1, {FINAL: stage(pump=0.9), GLOBAL: stage(pump=0.8)}),
    ]
    found = rows(cells, ["b", "a"])
    assert [(row.name, row.method, row.stage) for row in found] == [
        ("b", "b", "final"),
        ("a", "a", "final"),
        ("a.global", "a", "global"),
    ]
    assert [[c.seed for c in row.cells] for row in found] == [[0, 1], [0, 1], [0, 1]]


def test_a_diverged_seed_does_not_take_the_row_of_the_global_model_away() -> None:
    both = {FINAL: stage(pump=0.9), GLOBAL: stage(pump=0.8)}
    found = rows([cell("a", 0, {}), cell("a", 1, both)], ["a"])
    assert [row.name for row in found] == ["a", "a.global"]
    assert found[1].stages == [None, both[GLOBAL]]


def test_a_global_model_in_some_seeds_only_has_no_row() -> None:
    some = [cell("a", 0, {FINAL: stage(pump=0.9)}), cell("a", 1, {FINAL: stage(pump=1), GLOBAL: stage(pump=1)})]
    assert [row.name for row in rows(some, ["a"])] == ["a"]
    assert [row.name for row in rows([cell("a", 0, {})], ["a"])] == ["a"]


@pytest.mark.parametrize("seeds", [[0], [0, 1, 1]])
def test_every_method_needs_every_seed_once(seeds: list[int]) -> None:
    cells = [cell("a", seed, {}) for seed in (0, 1)] + [cell("b", seed, {}) for seed in seeds]
    with pytest.raises(ValueError, match=r"b has seeds .* the comparison has \[0, 1\]"):
        rows(cells, ["a", "b"])


def test_device_names_keep_the_order_and_tell_the_unseen_apart() -> None:
    cells = [
        cell("a", 0, {}, ("new",)),
        cell("a", 1, {FINAL: stage(pump=0.9, new=0.5, fan=0.8)}, ("new",)),
    ]
    assert device_names(cells) == (["pump", "fan"], ["new"])


def test_csv_has_one_line_a_row_device_and_seed() -> None:
    metrics = {name: i / 10 for i, name in enumerate(METRICS)} | {"mcc": None, "threshold": 0.1 + 0.2}
    measured = Stage({"pump, left": metrics, "fan": {"accuracy": 1 / 3}}, 100, 2000, 1.5)
    cells = [cell("a", 1, {}), cell("a", 0, {FINAL: measured, GLOBAL: stage(fan=0.5)})]
    text = to_csv(cells, ["a"])
    assert text.splitlines() == [
        "method,stage,device,seed,learning_rate,accuracy,f1,precision,recall,balanced_accuracy,mcc,pr_auc,brier,"
        "threshold,steps,bytes,seconds",
        'a,final,"pump, left",0,0.0001,0.0,0.1,0.2,0.3,0.4,,0.6,0.7,0.30000000000000004,100,2000,1.5',
        'a,final,"pump, left",1,0.0001,,,,,,,,,,,,',
        "a,final,fan,0,0.0001,0.3333333333333333,,,,,,,,,100,2000,1.5",
        "a,final,fan,1,0.0001,,,,,,,,,,,,",
        'a,global,"pump, left",0,0.0001,,,,,,,,,,100,2000,1.5',
        'a,global,"pump, left",1,0.0001,,,,,,,,,,,,',
        "a,global,fan,0,0.0001,0.5,,,,,,,,,100,2000,1.5",
        "a,global,fan,1,0.0001,,,,,,,,,,,,",
    ]
    back = list(csv.DictReader(io.StringIO(text)))
    assert float(back[2]["accuracy"]) == 1 / 3
    assert back[0]["device"] == "pump, left"


def test_csv_of_several_kinds_has_their_metrics_too() -> None:
    told = {"accuracy": 0.9, "class_accuracy": 0.5, "macro_f1": 0.25}
    cells = [cell("a", 0, {FINAL: Stage({"pump": told}, 100, 2000, 1.5)}), cell("a", 1, {})]
    lines = list(csv.DictReader(io.StringIO(to_csv(cells, ["a"]))))
    assert [(line["class_accuracy"], line["macro_f1"]) for line in lines] == [("0.5", "0.25"), ("", "")]
    assert list(lines[0])[5:] == [*METRICS, *KINDS, "threshold", "steps", "bytes", "seconds"]


def test_csv_leaves_the_learning_rate_of_an_untrained_method_empty() -> None:
    lines = to_csv([Cell("majority", 0, None, 0.2, {FINAL: stage(pump=0.5)})], ["majority"]).splitlines()
    assert lines[1] == "majority,final,pump,0,,0.5,,,,,,,,,100,2000,1.5"

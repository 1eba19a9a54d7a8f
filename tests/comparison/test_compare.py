"""What a comparison chooses, makes, writes and makes again, with cell runs that are only imagined."""

import json
import tomllib
from dataclasses import replace

import pytest
from comparing import SMALL, imagine, in_process

from fedmetaalign import recipe as recipes
from fedmetaalign.comparison.compare import Watcher, compare
from fedmetaalign.errors import DataError, FedMetaAlignError, Problem
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.usable import LeftOut

METHODS = ("majority", "local_only", "fedavg", "fed_meta_align")
GRID = (1e-5, 1e-3, 1e-1)


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("fedmetaalign.report.comparison.figures.write", lambda comparison, folder: [])
    monkeypatch.setattr("fedmetaalign.report.comparison.figures.sweep", lambda comparisons, key: "")


@pytest.fixture
def recipe():
    def make(**compared):
        given = {"methods": METHODS, "learning_rates": GRID, "tune_seeds": 2} | compared
        return recipes.parse(tomllib.loads(SMALL) | {"name": "small", "compare": given}, "here")

    return make


@pytest.fixture
def here(monkeypatch):
    """Comparisons run in this process, by imagined cell runs."""
    imagine(monkeypatch)
    return in_process(monkeypatch)


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "cells"
    }


DOCUMENTED = {
    *("recipe", "seeds", "learning_rates", "tune_seeds", "rank", "devices", "unseen", "methods", "stages")
}
ROW = {
    *("method", "stage", "learning_rate", "tuning", "edge", "diverged", "devices", "fleet", "unseen", "steps"),
    *("bytes", "seconds", "against_best"),
}
METRICS = {"accuracy", "f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc", "brier"}


class TestFiles:
    def test_all_are_written(self, here, recipe, tmp_path):
        asked = recipe()
        found = compare(asked, tmp_path / "out", 3)
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            *("cells", "recipe.toml", "compare.json", "compare.csv", "compare.md", "compare.html"),
            *("accuracy.svg", "gains.svg", "rounds.svg", "stages.svg"),
        }
        assert json.loads((tmp_path / "out/compare.json").read_text(encoding="utf-8")) == found
        assert "quantised" not in (tmp_path / "out/compare.md").read_text(encoding="utf-8")
        assert recipes.load(str(tmp_path / "out/recipe.toml")) == asked

    @pytest.mark.usefixtures("no_figures")
    def test_of_deployed_models_the_format_is_told(self, here, recipe, tmp_path):
        assert compare(recipe(deployed=True), tmp_path / "out", 2)["deployed"] == "uint8"
        told = (tmp_path / "out/compare.md").read_text(encoding="utf-8")
        assert "judged as the device would have it, quantised (uint8)" in told

    @pytest.mark.usefixtures("no_figures")
    def test_compare_json_has_the_documented_keys_and_no_others(self, here, recipe, tmp_path):
        found = compare(recipe(), tmp_path / "out", 3)
        assert set(found) == DOCUMENTED
        assert (found["recipe"], found["seeds"], found["tune_seeds"]) == ("small", [0, 1, 2], [0, 1])
        assert (found["learning_rates"], found["unseen"]) == (list(GRID), [])
        devices = found["devices"]
        assert devices == ["milling-00", "milling-01", "milling-02"]
        assert list(found["methods"]) == [
            *("majority", "local_only", "fedavg", "fedavg.global", "fed_meta_align", "fed_meta_align.global")
        ]
        for name, row in found["methods"].items():
            assert set(row) - {"rounds"} == ROW
            assert ("rounds" in row) == name.startswith("fed")
            assert list(row["devices"]) == devices
            assert set(row["devices"]["milling-00"]) == METRICS
            assert set(row["fleet"]) == METRICS | {
                *("gain_over_local", "gain_over_forest", "worse_off", "worst", "worst_decile")
            }
            assert set(row["fleet"]["accuracy"]) == {"mean", "low", "high", "values"}
            assert len(row["fleet"]["accuracy"]["values"]) == 3
        assert set(found["methods"]["fedavg"]["against_best"]) == {"method", "difference", "p", "p_holm"}
        assert set(found["methods"]["fedavg"]["rounds"]) == {"mean", "low", "high"}
        assert set(found["stages"]) == set(METHODS)

    @pytest.mark.usefixtures("no_figures")
    def test_of_several_kinds_every_device_has_their_metrics_and_one_of_them_ranks(self, monkeypatch, tmp_path):
        in_process(monkeypatch)
        given = tomllib.loads(SMALL)
        given["fleet"] |= {"simulator": "feeder", "kinds": True}
        compared = {
            "methods": ["majority", "local_only", "fedavg"],
            "learning_rates": [1e-2],
            "rank": "macro_f1",
        }
        found = compare(recipes.parse(given | {"compare": compared}, "here"), tmp_path, 1)
        assert found["rank"] == "macro_f1"
        for row in found["methods"].values():
            for device in row["devices"].values():
                assert set(device) == METRICS | {"macro_f1", "class_accuracy"}
                assert 0 <= device["class_accuracy"]["mean"] <= device["accuracy"]["mean"] <= 1
        assert found["methods"]["majority"]["fleet"]["macro_f1"]["mean"] < 0.5
        (gain,) = found["methods"]["fedavg"]["fleet"]["gain_over_local"]["values"]
        means = [found["methods"][name]["fleet"]["macro_f1"]["mean"] for name in ("fedavg", "local_only")]
        assert gain == pytest.approx(means[0] - means[1])


@pytest.mark.usefixtures("no_figures")
class TestCells:
    def test_tuning_takes_the_whole_grid_for_some_seeds_and_the_choice_for_the_others(
        self, here, recipe, tmp_path
    ):
        found = compare(recipe(methods=["majority", "fedavg"]), tmp_path, 3)
        tuned = [("fedavg", seed, rate) for rate in GRID for seed in (0, 1)]
        run = [("majority", seed, None) for seed in (0, 1, 2)]
        assert found["methods"]["fedavg"]["learning_rate"] == 1e-5
        assert sorted(here.cells, key=str) == sorted([*tuned, ("fedavg", 2, 1e-5), *run], key=str)
        assert sorted(here.starts) == [0, 1, 2]

    def test_seeds_begin_with_the_recipes(self, here, recipe, tmp_path):
        found = compare(recipe().model_copy(update={"seed": 7}), tmp_path, 2)
        assert (found["seeds"], found["tune_seeds"]) == ([7, 8], [7, 8])
        assert {seed for _, seed, _ in here.cells} == {7, 8}

    def test_fewer_seeds_than_tuning_takes_are_all_tuned_on(self, here, recipe, tmp_path):
        found = compare(recipe(tune_seeds=5), tmp_path, 2)
        assert found["tune_seeds"] == [0, 1]

    def test_called_again_it_makes_nothing_and_writes_the_same(self, here, recipe, tmp_path):
        first = compare(recipe(), tmp_path / "out", 3)
        written, made = files(tmp_path / "out"), len(here.cells)
        again = compare(recipe(), tmp_path / "out", 3)
        assert (len(here.cells), again) == (made, first)
        assert files(tmp_path / "out") == written

    @pytest.mark.parametrize("most", [0, 5, 20])
    def test_interrupted_and_called_again_it_writes_the_same(self, here, recipe, tmp_path, monkeypatch, most):
        compare(recipe(), tmp_path / "whole", 3)
        stopped = in_process(monkeypatch, most)
        with pytest.raises(KeyboardInterrupt):
            compare(recipe(), tmp_path / "out", 3)
        # What was asked for is there before the first cell, and tells the folder from others.
        assert recipes.load(str(tmp_path / "out/recipe.toml")) == recipe()
        assert not (tmp_path / "out/compare.json").exists()
        resumed = in_process(monkeypatch)
        compare(recipe(), tmp_path / "out", 3)
        assert files(tmp_path / "out") == files(tmp_path / "whole")
        assert sorted(stopped.cells + resumed.cells, key=str) == sorted(here.cells, key=str)
        assert len(stopped.cells) == most

    def test_interrupted_by_whoever_watches_it_goes_on(self, here, recipe, tmp_path, monkeypatch):
        class Stopping(Watcher):
            def advance(self):
                raise KeyboardInterrupt

        compare(recipe(), tmp_path / "whole", 3)
        with pytest.raises(KeyboardInterrupt):
            compare(recipe(), tmp_path / "out", 3, Stopping())
        compare(recipe(), tmp_path / "out", 3)
        assert files(tmp_path / "out") == files(tmp_path / "whole")

    def test_another_method_and_another_seed_use_what_is_there(self, here, recipe, tmp_path):
        compare(recipe(methods=["local_only", "fedavg"]), tmp_path, 3)
        here.cells.clear()
        found = compare(recipe(methods=["fedavg", "fedprox", "local_only"]), tmp_path, 3)
        assert {method for method, _, _ in here.cells} == {"fedprox"}
        assert list(found["methods"]) == ["fedavg", "fedavg.global", "fedprox", "fedprox.global", "local_only"]
        here.cells.clear()
        compare(recipe(methods=["local_only"]), tmp_path, 5)
        assert here.cells == [("local_only", 3, 1e-5), ("local_only", 4, 1e-5)]

    def test_comparisons_may_share_their_cells(self, here, recipe, tmp_path):
        one = compare(recipe(), tmp_path / "one", 3, cells=tmp_path / "cells")
        made = len(here.cells)
        other = compare(recipe(), tmp_path / "two", 3, cells=tmp_path / "cells")
        assert (len(here.cells), other) == (made, one)
        assert not (tmp_path / "one/cells").exists()
        # And a folder without cells of its own is a comparison's too.
        assert compare(recipe(), tmp_path / "one", 3, cells=tmp_path / "cells") == one

    def test_another_name_is_no_other_comparison(self, here, recipe, tmp_path):
        compare(recipe(), tmp_path, 3)
        made = len(here.cells)
        assert compare(recipe().model_copy(update={"name": "other"}), tmp_path, 3)["recipe"] == "other"
        assert len(here.cells) == made

    def test_its_watcher_sees_every_cell(self, here, recipe, tmp_path):
        class Counting(Watcher):
            def __init__(self):
                self.told, self.stages = [], []

            def begin(self, cells):
                self.told.append(cells)

            def stage(self, name):
                self.stages.append(name)

            def advance(self):
                self.told.append(1)

        for _ in range(2):  # made, then read
            watcher = Counting()
            compare(recipe(), tmp_path, 3, watcher)
            # Three methods with three rates on two seeds and one on the third; and majority on three.
            assert watcher.told == [3 * (3 * 2 + 1) + 3, *[1] * 24]
            assert watcher.stages == ["tuning", "running"]


@pytest.mark.usefixtures("no_figures", "here")
class TestLearningRates:
    @pytest.fixture
    def chosen(self, monkeypatch, recipe, tmp_path):
        """Compares with made-up validation scores: rate -> one a seed."""

        def choose(scores, seeds=2, **compared):
            imagine(monkeypatch, lambda method, rate, seed: scores[rate][seed] if method == "fedavg" else 0.5)
            found = compare(recipe(methods=["fedavg", "local_only"], **compared), tmp_path, seeds)
            return found["methods"]["fedavg"]

        return choose

    def test_the_least_mean_brier_score_is_chosen(self, chosen):
        row = chosen({1e-5: [0.1, 0.3], 1e-3: [0.24, 0.1], 1e-1: [0.05, 0.4]})
        assert (row["learning_rate"], row["edge"], row["diverged"]) == (1e-3, False, [])
        assert row["tuning"] == {
            "1e-05": pytest.approx(0.2),
            "0.001": pytest.approx(0.17),
            "0.1": pytest.approx(0.225),
        }

    def test_of_equals_it_is_the_smaller(self, chosen):
        row = chosen({1e-5: [0.3, 0.3], 1e-3: [0.2, 0.1], 1e-1: [0.1, 0.2]})
        assert row["learning_rate"] == 1e-3

    def test_one_that_diverged_once_is_no_choice(self, chosen):
        row = chosen({1e-5: [0.3, 0.3], 1e-3: [0.2, 0.2], 1e-1: [0.01, None]})
        assert row["learning_rate"] == 1e-3
        assert row["tuning"]["0.1"] is None

    def test_where_all_diverged_it_is_the_smallest(self, chosen):
        row = chosen({1e-5: [0.3, None], 1e-3: [None, 0.2], 1e-1: [None, None]})
        assert (row["learning_rate"], row["diverged"], row["edge"]) == (1e-5, [1], True)
        assert row["tuning"] == {"1e-05": None, "0.001": None, "0.1": None}

    def test_the_seeds_after_the_first_have_no_say(self, chosen):
        row = chosen({1e-5: [0.1, 0.1, 0.9], 1e-3: [0.2, 0.2, 0.0], 1e-1: [0.2, 0.2, 0.0]}, seeds=3)
        assert (row["learning_rate"], row["edge"]) == (1e-5, True)

    def test_a_later_seed_may_diverge(self, chosen):
        row = chosen({1e-5: [0.2, 0.2, 0.2], 1e-3: [0.1, 0.1, None], 1e-1: [0.2, 0.2, 0.2]}, seeds=3)
        assert (row["learning_rate"], row["diverged"]) == (1e-3, [2])
        assert row["fleet"]["accuracy"]["values"][2] is None

    def test_a_grid_of_one_is_not_tuned(self, chosen, here):
        row = chosen({1e-3: [0.1, 0.2]}, learning_rates=[1e-3])
        assert (row["learning_rate"], row["tuning"], row["edge"]) == (1e-3, {}, False)
        assert [cell for cell in here.cells if cell[0] == "fedavg"] == [
            ("fedavg", 0, 1e-3),
            ("fedavg", 1, 1e-3),
        ]

    def test_who_does_not_train_has_none(self, recipe, tmp_path):
        row = compare(recipe(), tmp_path, 2)["methods"]["majority"]
        assert (row["learning_rate"], row["tuning"], row["edge"]) == (None, {}, False)

    def test_where_every_method_diverged_the_user_reads_what_to_do(self, recipe, tmp_path, monkeypatch):
        imagine(monkeypatch, lambda *_: None)
        with pytest.raises(FedMetaAlignError, match="lower learning_rates"):
            compare(recipe(methods=["fedavg"]), tmp_path, 2)
        assert not (tmp_path / "compare.json").exists()


VARIANTS = {
    "as it is": {"method": "fedavg"},
    "short": {"method": "fedavg", "settings": {"parallel.rounds": 1}},
    "no model": {"method": "majority"},
}
SWEEP = {"key": "parallel.rounds", "values": [1, 2]}


@pytest.mark.usefixtures("no_figures")
class TestVariants:
    def test_they_are_rows_of_their_own(self, here, recipe, tmp_path):
        found = compare(recipe(methods=["fedavg"], variants=VARIANTS), tmp_path, 2)
        rows = {name: (row["method"], row["stage"]) for name, row in found["methods"].items()}
        assert rows == {
            "fedavg": ("fedavg", "final"),
            "fedavg.global": ("fedavg", "global"),
            "as it is": ("fedavg", "final"),
            "as it is.global": ("fedavg", "global"),
            "short": ("fedavg", "final"),
            "short.global": ("fedavg", "global"),
            "no model": ("majority", "final"),
        }
        assert found["methods"]["short"]["tuning"].keys() == {"1e-05", "0.001", "0.1"}
        assert found["methods"]["no model"]["learning_rate"] is None
        assert set(found["stages"]) == {"fedavg", *VARIANTS}

    def test_a_variant_that_varies_nothing_costs_nothing(self, here, recipe, tmp_path):
        found = compare(recipe(methods=["fedavg"], variants=VARIANTS), tmp_path, 2)["methods"]
        assert len(here.cells) == 2 * 3 * 2 + 2  # fedavg and "short" with three rates, "no model" with none
        alike = ("learning_rate", "tuning", "devices", "fleet", "steps", "bytes", "seconds", "rounds")
        assert all(found["as it is"][key] == found["fedavg"][key] for key in alike)


class TestSweeps:
    def test_every_value_has_a_folder(self, here, recipe, tmp_path):
        found = compare(recipe(methods=["local_only", "fedavg"], sweep=SWEEP), tmp_path, 2)
        assert (set(found), found["recipe"], found["key"]) == (
            {"recipe", "key", "comparisons"},
            "small",
            "parallel.rounds",
        )
        assert list(found["comparisons"]) == ["1", "2"]
        top = {path.name for path in tmp_path.iterdir()}
        assert top == {
            "cells",
            "recipe.toml",
            "1",
            "2",
            "sweep.json",
            "sweep.svg",
            "compare.md",
            "compare.html",
        }
        assert json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8")) == found
        for value, comparison in found["comparisons"].items():
            assert set(comparison) == DOCUMENTED
            assert json.loads((tmp_path / value / "compare.json").read_text(encoding="utf-8")) == comparison
            assert {"compare.csv", "compare.md", "accuracy.svg"} <= {
                p.name for p in (tmp_path / value).iterdir()
            }

    @pytest.mark.usefixtures("no_figures")
    def test_each_is_as_if_it_had_been_compared_alone(self, here, recipe, tmp_path):
        swept = compare(recipe(sweep=SWEEP), tmp_path / "swept", 2)
        here.cells.clear()
        alone = recipes.with_settings(recipe(), {"parallel.rounds": 1})
        assert compare(alone, tmp_path / "alone", 2) == swept["comparisons"]["1"]
        # The same cells: another name of the folder and of the sweep is no other cell.
        assert (
            compare(alone, tmp_path / "again", 2, cells=tmp_path / "swept/cells") == swept["comparisons"]["1"]
        )

    @pytest.mark.usefixtures("no_figures")
    def test_a_sweep_may_be_called_again(self, here, recipe, tmp_path):
        first = compare(recipe(sweep=SWEEP), tmp_path, 2)
        written, made = files(tmp_path), len(here.cells)
        assert compare(recipe(sweep=SWEEP), tmp_path, 2) == first
        assert (files(tmp_path), len(here.cells)) == (written, made)

    def test_unseen_devices_have_a_figure_of_their_own(self, here, recipe, tmp_path):
        sweep = {"key": "fleet.unseen.samples", "values": [4, 8]}
        held_out = recipes.with_settings(recipe(methods=["majority"]), {"fleet.unseen.count": 1})
        asked = recipes.with_settings(held_out, {"compare.sweep": sweep})
        found = compare(asked, tmp_path, 1)
        assert [each["unseen"] for each in found["comparisons"].values()] == [["milling-02"]] * 2
        assert {"sweep.svg", "sweep-unseen.svg"} <= {path.name for path in tmp_path.iterdir()}

    @pytest.mark.usefixtures("no_figures")
    def test_values_that_are_no_folders_names_keep_apart(self, here, recipe, tmp_path):
        sweep = {"key": "model.hidden", "values": [[4], [4, 2]]}
        found = compare(recipe(methods=["majority"], sweep=sweep), tmp_path, 1)
        assert list(found["comparisons"]) == ["[4]", "[4, 2]"]
        assert json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8")) == found
        for value, folder in (("[4]", "_4_"), ("[4, 2]", "_4_2_")):
            written = json.loads((tmp_path / folder / "compare.json").read_text(encoding="utf-8"))
            assert written == found["comparisons"][value]


class TestEverySeedsFleet:
    """What cannot be built for the last seed is known before the first cell."""

    def test_one_that_fails_is_named(self, here, recipe, tmp_path, monkeypatch):
        def fails(recipe, **_):
            if recipe.seed == 2:
                raise DataError("Device pump has too few samples: give it more.")
            return build(recipe)

        monkeypatch.setattr("fedmetaalign.comparison.compare.build", fails)
        with pytest.raises(DataError, match=r"^With seed 2: Device pump has too few samples: give it more\.$"):
            compare(recipe(), tmp_path / "out", 3)
        assert not (tmp_path / "out").exists()

    def test_a_device_that_some_seeds_leave_out_ends_it(self, here, recipe, tmp_path, monkeypatch):
        def leaves_out(recipe, **_):
            problem = (Problem("It cannot be used."),)
            return replace(build(recipe), left_out=(LeftOut("pump", problem),) * (recipe.seed == 1))

        monkeypatch.setattr("fedmetaalign.comparison.compare.build", leaves_out)
        with pytest.raises(DataError, match=r"^pump can be used with seed 1 or with seed 0, and not with both"):
            compare(recipe(), tmp_path / "out", 2)

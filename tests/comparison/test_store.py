"""A cell on disk is all that a later call knows of it: whole, distinct, and named after what decides it."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from fedmetaalign.comparison import code
from fedmetaalign.comparison import store as module
from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, Stage
from fedmetaalign.comparison.run_cell import Start
from fedmetaalign.comparison.store import Store, cell_key, check_folder, start_key
from fedmetaalign.recipe import parse, with_settings

METRICS = {"accuracy": 0.1 + 0.2, "mcc": None, "brier": 5e-324}
CELL = Cell(
    method='a "row", ü',
    seed=3,
    learning_rate=3e-4,
    validation=1 / 3,
    stages={
        GLOBAL: Stage({"pump": METRICS}, 9, 80, 0.25),
        FINAL: Stage({"pump": METRICS, "new": {}}, 10, 90, 1.5),
    },
    rounds=({"pump": 0.5}, {"pump": 0.75}),
    unseen=("new",),
)
DIVERGED = Cell("fedavg", 0, 0.1, None, {})
START = Start(np.array([0.1, -1e-30, 3], np.float32), 400, 0.125)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cells")


class TestCells:
    @pytest.mark.parametrize("cell", [CELL, DIVERGED, replace(CELL, learning_rate=None, rounds=(), unseen=())])
    def test_what_is_read_is_what_was_written(self, store, cell):
        store.keep("k", cell)
        assert store.cell("k") == cell
        assert [path.name for path in store.path.iterdir()] == ["k.json"]

    def test_one_that_was_never_kept_is_not_there(self, store):
        assert store.cell("k") is None
        store.keep("k", CELL)
        assert store.cell("other") is None

    def test_a_half_file_is_no_cell(self, store):
        store.keep("k", CELL)
        path = store.path / "k.json"
        whole = path.read_bytes().rstrip()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert store.cell("k") is None
        store.keep("k", CELL)
        assert store.cell("k") == CELL

    @pytest.mark.parametrize(
        "change",
        [
            lambda raw: [],
            lambda raw: None,
            lambda raw: 3,
            lambda raw: {},
            lambda raw: raw | {"stages": None},
            lambda raw: raw | {"stages": []},
            lambda raw: raw | {"stages": {"final": {}}},
            lambda raw: raw | {"stages": {"final": 3}},
            lambda raw: raw | {"rounds": None},
            lambda raw: raw | {"more": 1},
            lambda raw: {key: raw[key] for key in raw if key != "validation"},
        ],
    )
    def test_what_is_not_a_cells_is_none(self, store, change):
        store.keep("k", CELL)
        path = store.path / "k.json"
        path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
        assert store.cell("k") is None

    def test_neither_is_noise_nor_a_folder(self, store):
        (store.path / "folder.json").mkdir(parents=True)
        (store.path / "noise.json").write_bytes(bytes(range(256)))
        assert store.cell("folder") is store.cell("noise") is None


class TestStarts:
    def test_what_is_read_is_what_was_written(self, store):
        store.keep_start("k", START)
        found = store.start("k")
        assert (found.weights.tobytes(), found.weights.dtype) == (START.weights.tobytes(), np.float32)
        assert (found.steps, found.seconds) == (400, 0.125)

    def test_a_half_file_is_no_start(self, store):
        assert store.start("k") is None
        store.keep_start("k", START)
        path = store.path / "start-k.safetensors"
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert store.start("k") is None

    @pytest.mark.parametrize("spent", [None, {}, {"spent": "many"}, {"spent": "{}"}, {"spent": "[]"}])
    def test_one_that_does_not_say_what_it_cost_is_none(self, store, spent):
        store.path.mkdir()
        (store.path / "start-k.safetensors").write_bytes(save({"weights": START.weights}, metadata=spent))
        assert store.start("k") is None


TABLES = {
    "fleet": {
        "devices": [
            {"table": "/one/pump.csv", "label": "y", "features": ["x"]},
            {"table": "/one/fan.csv", "label": "y", "features": ["x"]},
        ]
    },
    "foundation": {"table": "/one/public.csv", "label": "y", "features": ["x"]},
}
RECIPE = parse(TABLES, "here")
DATA = {"/one/fan.csv": "f" * 64, "/one/public.csv": "0" * 64, "/one/pump.csv": "a" * 64}
KEY = cell_key("fedavg", RECIPE, DATA)
START_KEY = start_key(RECIPE, DATA)

DECIDES = {
    "seed": 1,
    "optimizer.learning_rate": 1e-3,
    "splits.test": 0.3,
    "splits.reuse": True,
    "model.hidden": [4],
    "foundation.epochs": 2,
    "foundation.enabled": False,
    "serial.rounds": 3,
    "parallel.floor": 0.2,
    "parallel.cohort": 0.5,
    "personalize.freeze": 0.25,
    "fleet.scaling": "fleet",
    "fleet.encoding": "quantiles",
    "fleet.unseen.count": 1,
}
OF_NO_MATTER = {
    "name": "other",
    "compare.methods": ["fedprox"],
    "compare.learning_rates": [0.1],
    "compare.tune_seeds": 1,
    "deploy.format": "float32",
    "deploy.target": "cortex-m0",
    "evaluation.alone": False,
}


class TestKeys:
    def test_a_key_is_a_files_name(self):
        assert KEY.isalnum()
        assert START_KEY.isalnum()
        assert cell_key("fedavg", parse(TABLES, "there"), dict(DATA)) == KEY

    def test_the_method_decides(self):
        assert cell_key("fedprox", RECIPE, DATA) != KEY

    @pytest.mark.parametrize(("key", "value"), DECIDES.items())
    def test_what_the_recipe_says_of_the_race_decides(self, key, value):
        assert cell_key("fedavg", with_settings(RECIPE, {key: value}), DATA) != KEY

    @pytest.mark.parametrize(("key", "value"), OF_NO_MATTER.items())
    def test_what_else_it_says_does_not(self, key, value):
        other = with_settings(RECIPE, {key: value})
        assert other != RECIPE
        assert cell_key("fedavg", other, DATA) == KEY
        assert start_key(other, DATA) == START_KEY

    def test_of_deployed_models_their_format_decides_too(self):
        deployed = with_settings(RECIPE, {"compare.deployed": True})
        other = with_settings(deployed, {"deploy.format": "int4"})
        assert len({cell_key("fedavg", each, DATA) for each in (RECIPE, deployed, other)}) == 3

    def test_what_the_tables_hold_decides(self):
        spoilt = DATA | {"/one/pump.csv": "b" * 64}
        assert cell_key("fedavg", RECIPE, spoilt) != KEY
        assert start_key(RECIPE, spoilt) != START_KEY

    def test_which_table_holds_it_decides(self):
        swapped = DATA | {"/one/pump.csv": DATA["/one/fan.csv"], "/one/fan.csv": DATA["/one/pump.csv"]}
        assert cell_key("fedavg", RECIPE, swapped) != KEY

    def test_a_device_is_called_after_its_file(self):
        recipe = parse({"fleet": {"table": "/one/*.csv", "label": "y", "features": ["x"]}}, "here")
        keys = {cell_key("fedavg", recipe, {f"/one/{name}.csv": "a" * 64}) for name in ("pump", "fan")}
        assert len(keys) == 2

    def test_the_folder_of_the_tables_does_not(self):
        text = json.dumps(TABLES).replace("/one/", "/two/three/")
        moved = parse(json.loads(text), "here")
        there = {path.replace("/one/", "/two/three/"): digest for path, digest in DATA.items()}
        assert moved != RECIPE
        assert cell_key("fedavg", moved, there) == KEY
        assert start_key(moved, there) == START_KEY

    def test_the_name_of_a_table_does(self):
        text = json.dumps(TABLES).replace("fan.csv", "fan-2.csv")
        assert cell_key("fedavg", parse(json.loads(text), "here"), DATA) != KEY

    def test_the_code_decides(self, monkeypatch):
        monkeypatch.setattr(module, "_code", lambda *more: ["another version"])
        assert cell_key("fedavg", RECIPE, DATA) != KEY
        assert start_key(RECIPE, DATA) != START_KEY

    def test_a_start_depends_on_phase_0_alone(self):
        after = {
            "serial.rounds": 3,
            "parallel.floor": 0.2,
            "personalize.freeze": 0.25,
            "fleet.scaling": "fleet",
        }
        assert start_key(with_settings(RECIPE, after), DATA) == START_KEY
        for key in ("seed", "model.hidden", "foundation.epochs", "optimizer.learning_rate", "splits.query"):
            value = DECIDES.get(key, 0.5)
            assert start_key(with_settings(RECIPE, {key: value}), DATA) != START_KEY

    def test_a_start_depends_on_the_fleet_too_whose_map_the_public_samples_go_through(self):
        encoded = with_settings(RECIPE, {"fleet.encoding": "quantiles"})
        keys = {start_key(recipe, DATA) for recipe in (RECIPE, encoded)}
        for key in ("fleet.scaling", "fleet.unseen.count", "splits.test"):
            keys.add(start_key(with_settings(encoded, {key: DECIDES[key]}), DATA))
        assert len(keys) == 5


class TestFolder:
    def test_a_new_one_an_empty_one_and_a_comparisons_will_do(self, tmp_path):
        check_folder(tmp_path / "new")
        check_folder(tmp_path)
        (tmp_path / "cells").mkdir()
        (tmp_path / "recipe.toml").touch()
        check_folder(tmp_path)


class TestCode:
    def test_a_method_that_is_built_on_another_changes_with_it(self):
        closure = code._closure("fedmetaalign.methods.fedyogi", frozenset({"fedmetaalign"}))
        assert {"fedmetaalign.methods.fedadam", "fedmetaalign.methods._server"} <= set(closure)
        assert "fedmetaalign.methods.ditto" not in closure

    def test_what_runs_a_cell_is_there_and_what_shows_it_is_not(self):
        modules = module._modules(RECIPE, "fed_meta_align")
        closure = {n for each in modules for n in code._closure(each, frozenset({"fedmetaalign"}))}
        run = {"model.online", "operators.dense.training", "fleet.division.splits", "evaluation.metrics"}
        run |= {"comparison.run_cell", "phases.parallel", "aggregation.similarity"}
        assert {f"fedmetaalign.{name}" for name in run} <= closure
        assert not {name for name in closure if name.startswith(("fedmetaalign.report", "fedmetaalign.cli"))}

    @pytest.mark.parametrize(
        ("importing", "followed"),
        [
            ("from stranger.deep import part", True),
            ("def late():\n    from stranger.deep import part", True),
            ("from .deep import part", True),
            ("import stranger.deep", True),
            ("import other", False),
        ],
    )
    def test_what_a_plug_in_imports_of_its_own_package_decides(
        self, tmp_path, monkeypatch, importing, followed
    ):
        folder = tmp_path / "stranger"
        folder.mkdir()
        (tmp_path / "other.py").write_text("x = 1\n")
        (folder / "__init__.py").write_text("")
        (folder / "method.py").write_text(f"{importing}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

        def digest(text):
            (folder / "deep.py").write_text(f"part = {text}\n")
            (tmp_path / "other.py").write_text(f"x = {text}\n")
            for cached in (code._imports, code._file):
                cached.cache_clear()
            return code.digest("stranger.method")

        assert (digest("1") != digest("2")) == followed
        for name in [name for name in sys.modules if name.startswith("stranger")]:
            del sys.modules[name]

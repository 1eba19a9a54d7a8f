"""From a folder of recordings to bundles: a run, its predictions, and the same over Flower."""

import io
import json
import sys
import tracemalloc

import numpy as np
import polars as pl
import pytest
from over_flower import over_flower
from recordings import folder, machine

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.windows.applied import Applied
from fedmetaalign.join import join
from fedmetaalign.model.missing import Missing
from fedmetaalign.run import run
from fedmetaalign.signals import Signal
from fedmetaalign.tinyml import bundle

RECIPE = """
name = "hum"
[fleet]
table = "m*.csv"
label = "state"
normal = ["normal"]
time = "t"
scaling = "fleet"
[fleet.window]
length = 64
stride = 32
by = "run"
channels = ["accel"]
front = ["statistics", "bands"]
bands = 6
[model]
hidden = [8]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 1
[parallel]
rounds = 2
"""
RAW = ["fleet.window.front=['raw']", "fleet.window.bands=16"]


@pytest.fixture(scope="module")
def hum(tmp_path_factory):
    """A folder with the recipe, the recordings and the finished run."""
    path = folder(tmp_path_factory.mktemp("hum"))
    (path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
        run(recipes.load(str(path / "recipe.toml")), path / "run")
    return path


def test_recordings_end_as_bundles_that_know_each_class(hum):
    results = json.loads((hum / "run" / "results.json").read_text(encoding="utf-8"))
    for device in results["devices"].values():
        assert device["stages"]["deployed"]["accuracy"] > 0.9
    kept = bundle.read(hum / "run" / "devices" / "m0")
    assert kept.preparation.signal.channels == ("accel",)
    assert (kept.preparation.signal.length, kept.preparation.signal.stride) == (64, 32)
    assert kept.preparation.signal.rate == 1000


def test_a_table_of_samples_is_judged_window_by_window(hum, cli, here):
    machine({"whine": 1, "normal": 1}, 160, 9).write_csv(here / "new.csv")
    out = cli("predict", hum / "run" / "devices" / "m1", "new.csv", "--by", "run", "--time", "t").out
    found = pl.read_csv(io.StringIO(out))
    assert found["row"].to_list() == [64, 96, 128, 160, 224, 256, 288, 320]
    assert found["recording"].to_list() == ["whine-0"] * 4 + ["normal-0"] * 4
    assert found["time"].to_list()[:2] == [0.063, 0.095]
    assert (found["kind"] == "whine").sum() >= 3
    assert found["alarm"].to_list()[4:].count("normal") >= 3
    as_json = json.loads(cli("predict", hum / "run" / "devices" / "m1", "new.csv", "--by", "run", "--json").out)
    assert as_json["rows"] == found["row"].to_list()
    assert "times" not in as_json


def test_samples_that_are_appended_are_judged_at_each_stride(hum, cli, here, monkeypatch):
    table = machine({"whine": 1}, 200, 9)
    table.write_csv(here / "new.csv")
    whole = cli("predict", hum / "run" / "devices" / "m1", "new.csv").out
    with (here / "new.csv").open(encoding="utf-8") as samples:
        monkeypatch.setattr(sys, "stdin", samples)
        assert cli("predict", hum / "run" / "devices" / "m1", "-", "--follow").out == whole
    assert whole.count("\n") == 6  # a header, and windows that end with rows 64, 96, ..., 192


def test_a_broken_sample_is_a_sensor_fault_or_a_fault_in_the_windows_that_hold_it(hum, cli, here):
    table = machine({"normal": 1}, 192, 9).with_row_index("i")
    broken = table.with_columns(
        pl.when(pl.col("i") == 100).then(None).otherwise(pl.col("accel")).alias("accel")
    )
    broken.write_csv(here / "new.csv")
    outcome = cli("predict", hum / "run" / "devices" / "m1", "new.csv")
    alarms = pl.read_csv(io.StringIO(outcome.out))["alarm"].to_list()
    assert [alarm == "normal" for alarm in alarms] == [True, True, False, False, True]  # 0, 32, 64, 96, 128
    assert outcome.err.startswith("fedmetaalign: Missing values: 1 cell of 'accel' (1 empty).")


@pytest.mark.parametrize(
    "options", [(), ("--by", "run"), ("--by", "run", "--time", "t"), ("--time", "t", "mixed")]
)
@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_signal_that_is_read_in_pieces_is_judged_as_the_whole(hum, cli, here, monkeypatch, options, kind):
    table = machine({"whine": 2, "normal": 2}, 200, 9).with_row_index("i")
    table = table.with_columns(accel=pl.when(pl.col("i") % 97 == 5).then(None).otherwise("accel"))
    if "mixed" in options:
        table, options = table.sample(fraction=1, shuffle=True, seed=3), ("--by", "run", *options[:2])
    table.filter(pl.col("i") % 250 != 77).write_csv(here / "new.csv")
    wanted = ["--json"] if kind == "json" else ["--format", kind, "--out", f"said.{kind}"]
    call = ("predict", hum / "run" / "devices" / "m1", "new.csv", *options, *wanted)
    whole = cli(*call)
    assert whole.status == 0, whole.err
    written = (here / f"said.{kind}").read_bytes() if kind != "json" else b""
    monkeypatch.setattr("fedmetaalign.fleet.files.loading.MOST_CELLS_AT_ONCE", 16 * 23)
    assert cli(*call) == whole
    if kind == "parquet":
        assert pl.read_parquet(here / "said.parquet").equals(pl.read_parquet(io.BytesIO(written)))
    else:
        assert written == ((here / f"said.{kind}").read_bytes() if kind == "csv" else b"")


def test_windows_of_a_long_signal_take_no_more_memory_than_those_of_a_short_one(tmp_path):
    """Measured after a first pass, in which modules are loaded: 40 MB of samples, of which 1 MB at a time."""
    signal = Signal(64, 64, ("accel",), ("statistics",))

    def most(rows):
        pl.DataFrame({"accel": np.zeros(rows)}).write_parquet(tmp_path / "t.parquet", row_group_size=50_000)
        tracemalloc.start()
        windows = sum(len(part.rows) for part in Applied(signal, Missing(), tmp_path / "t.parquet"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert windows == rows // 64
        return peak

    most(1000)
    assert most(2_000_000) < 1.2 * most(200_000)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "new.csv has no window of 64 samples: it has 30 rows; lower"),
        (["--by", "lot"], "new.csv has no column 'lot'"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(hum, cli, here, options, says):
    machine({"normal": 1}, 30, 9).write_csv(here / "new.csv")
    outcome = cli("predict", hum / "run" / "devices" / "m1", "new.csv", *options)
    assert outcome.status == 1
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


def test_raw_samples_share_a_mean_and_a_scale(hum):
    fleet = build(recipes.load(str(hum / "recipe.toml"), RAW))
    preparation = fleet.devices[0].preparation
    assert preparation.features[:2] == ("accel.00", "accel.01")
    assert len(preparation.features) == 64
    assert np.ptp(preparation.mean) == 0
    assert np.ptp(preparation.scale) == 0


@pytest.mark.parametrize("labelled", ["all", "some", "none", "no column"])
def test_a_machine_that_comes_later_gets_a_bundle(hum, tmp_path, labelled):
    table = machine({"normal": 2, "rattle": 2, "whine": 2}, 320, 7)
    if labelled == "some":
        table = table.with_columns(
            pl.when(pl.col("run").str.ends_with("1")).then(pl.col("state")).alias("state")
        )
    if labelled == "none":
        table = table.with_columns(state=pl.lit(None, pl.String))
    if labelled == "no column":
        table = table.drop("state")
    table.write_csv(tmp_path / "m9.csv")
    told, places = join(hum / "run", tmp_path / "m9.csv", test=0.3 if labelled == "all" else 0.0, out=tmp_path)
    assert told["table"]["rows"] == 54  # windows
    assert told["table"]["labelled"] == {"all": 54, "some": 27, "none": 0, "no column": 0}[labelled]
    assert bundle.read(places.bundle).preparation.signal.stride == 32
    if labelled == "all":
        assert told["test"]["samples"] == 27  # a recording of each class
        assert told["test"]["deployed"]["accuracy"] > 0.9


def test_over_flower_it_is_the_same_to_the_last_bit(hum, tmp_path):
    over_flower(recipes.load(str(hum / "recipe.toml")), tmp_path, tmp_path / "run")
    assert (tmp_path / "run" / "results.json").read_bytes() == (hum / "run" / "results.json").read_bytes()

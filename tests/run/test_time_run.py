"""A run over tables that tell the time: what it is tested on, and what it and its bundles tell of drift."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from over_flower import over_flower
from pages import data_of, details_of
from typer.testing import CliRunner

from fedmetaalign import recipe as recipes
from fedmetaalign.cli import app
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.simulators import find
from fedmetaalign.join import join
from fedmetaalign.report.drift import drifted
from fedmetaalign.report.findings import findings
from fedmetaalign.report.reading import read_run
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle
from fedmetaalign.tinyml.firmware_folder import texts

MOVED, LATE, CALM, SHUFFLED = "rotating-01", "rotating-02", "rotating-03", "rotating-00"
"""Sensors read 40 % more in the last fifth; faults in the last fifth alone; none there; rows in any order."""

RECIPE = """
name = "timed"
[fleet]
table = "*.csv"
label = "fault"
time = ["day", "clock"]
features = {}
scaling = "fleet"
[model]
hidden = [16]
[optimizer]
learning_rate = 0.005
[serial]
rounds = 1
[parallel]
rounds = 2
"""


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A folder with the recipe, the tables and the finished run."""
    folder = tmp_path_factory.mktemp("timed")
    devices = find("rotating")(4, 300, 1)
    for device in devices:
        x, y, order = device.x.copy(), device.y.copy(), np.arange(300)
        if device.name == MOVED:
            x[240:] *= 1.4
        if device.name == LATE:
            normal = np.flatnonzero(y == 0)
            order = np.concatenate([normal, np.flatnonzero(y)[: len(normal) // 4]])
        if device.name == CALM:
            order = np.argsort(1 - y, kind="stable")
        start = np.datetime64("2024-03-01T00:00:00")
        rows = []
        for place, row in enumerate(order):
            day, clock = str(start + np.timedelta64(600 * place, "s")).split("T")
            rows.append([day, clock, *x[row].tolist(), y[row]])
        if device.name == SHUFFLED:
            rows = np.random.default_rng(0).permutation(np.array(rows, object)).tolist()
        with (folder / f"{device.name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["day", "clock", *device.features, "fault"], *rows])
    (folder / "recipe.toml").write_text(RECIPE.format(json.dumps(devices[0].features)), encoding="utf-8")
    run(recipes.load(str(folder / "recipe.toml")), folder / "run")
    return folder


def results(folder: Path):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["devices"]


def test_each_device_is_tested_on_its_later_part_in_spans(timed):
    for name, found in results(timed / "run").items():
        if name == LATE:
            continue
        spans = found["over_time"]
        assert spans[0]["start"] == "2024-03-02 16:00:00"  # 240 rows of ten minutes
        assert spans[-1]["end"] == "2024-03-03 01:50:00"
        assert [span["samples"] for span in spans] == [15, 15, 15, 15]
        right = sum(round(15 * span["accuracy"]) for span in spans)
        assert right / 60 == pytest.approx(found["stages"]["deployed"]["accuracy"])


def test_devices_whose_faults_come_only_later_or_earlier_go_through(timed):
    found = results(timed / "run")
    assert "known" not in found[LATE]
    assert found[LATE]["stages"]["deployed"]["recall"] is not None
    assert found[CALM]["known"] == "normal"
    notices = json.loads((timed / "run" / "manifest.json").read_text(encoding="utf-8"))["notices"]
    assert any(LATE in each and "cannot be learnt" in each for each in notices)
    assert any(CALM in each and "has no fault" in each for each in notices)
    assert any(f"{SHUFFLED}: " in each and "earlier than the row before" in each for each in notices)


def test_the_report_names_the_inputs_that_have_drifted(timed):
    read = read_run(timed / "run")
    told = {device.name: drifted(device) for device in read.devices}
    assert told[SHUFFLED] is None
    assert "acceleration kurtosis" in told[MOVED] and "PSI" in told[MOVED]
    assert next(f for f in findings(read) if f.tag == "drift").devices
    page = (timed / "run" / "report.html").read_text(encoding="utf-8")
    assert [each["title"] for each in data_of(page)["panels"]][-1] == "As time went on: accuracy"
    assert details_of(page, MOVED)["drift"][0][-1] is True and len(details_of(page, MOVED)["time"]) > 1


def test_a_bundle_tells_drift_where_there_is_some(timed):
    def predicted(name):
        folder = timed / "run" / "devices" / name
        return CliRunner().invoke(app, ["predict", str(folder), str(timed / f"{name}.csv"), "--json"])

    assert json.loads(predicted(SHUFFLED).stdout)["drift"] == {}
    moved = predicted(MOVED)
    rows = json.loads(moved.stdout)["drift"]
    assert rows["acceleration kurtosis"] in range(241, 291)
    assert "The inputs have drifted from those that the model was trained on" in moved.stderr
    kept = bundle.read(timed / "run" / "devices" / MOVED)
    assert kept.reference is not None
    x = np.full((50, len(kept.preparation.measured)), np.nan)
    assert not len(kept.drift(x, kept.scores(x)).drifted)  # broken sensors are another matter
    firmware = texts(timed / "run" / "devices" / MOVED)
    assert {"fma_drift.c", "fma_drift.h", "fma_reference.h"} <= set(firmware)


def test_without_the_key_bundles_carry_nothing_and_with_it_rows_are_enough(timed):
    path = str(timed / "recipe.toml")
    assert build(recipes.load(path, ["deploy.drift=false"])).devices[0].raw is None
    rows = build(recipes.load("demo", ["deploy.drift=true"])).devices[0]
    assert rows.period is None
    assert len(rows.raw) == len(rows.train)


def test_a_device_that_joins_is_tested_on_its_later_part(timed, tmp_path):
    told, places = join(timed / "run", timed / f"{SHUFFLED}.csv", "new", None, 0.2, tmp_path / "new")
    assert told["test"]["samples"] == 60
    assert bundle.read(places.bundle).reference is not None


def test_over_flower_it_is_the_same_to_the_last_bit(timed, tmp_path):
    over_flower(recipes.load(str(timed / "recipe.toml")), tmp_path, tmp_path / "run")
    assert (tmp_path / "run" / "results.json").read_bytes() == (timed / "run" / "results.json").read_bytes()

"""A device whose table has another unit than its fleet: its bundle takes that, and says the same."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.drift.reference import BINS
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.table_file import load_table, save_table
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle

RECIPE = """
name = "units"
[fleet]
table = "*.csv"
label = "fault"
features = ["heat", "load"]
scaling = "fleet"
missing_values = "median"
ranges = { heat = [-40, 200] }
[fleet.conversions]
F = { to = "degC", factor = 0.5555555555555556, offset = -17.77777777777778 }
[model]
hidden = [8]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 1
[parallel]
rounds = 2
[personalize]
epochs = 2
[evaluation]
alone = false
[deploy]
drift = true
"""


@dataclass(frozen=True)
class Twins:
    """The runs of a fleet in which mill's heat is in degrees Celsius, and in degrees Fahrenheit."""

    celsius: Path
    fahrenheit: Path

    def bundles(self):
        return (bundle.read(folder / "run" / "devices" / "mill") for folder in (self.celsius, self.fahrenheit))


def write(folder: Path, unit: str) -> None:
    folder.mkdir()
    for seed, name in enumerate(("fan", "mill", "pump")):
        random = np.random.default_rng(seed)
        heat, load = random.normal([60, 5], [8, 1], (200, 2)).round(2).T
        fault = heat + 4 * load > 86
        celsius = name != "mill" or unit == "degC"
        header = {"fan": "heat", "pump": "heat [degC]", "mill": f"heat [{unit}]"}[name]
        cells = [f"{h:.2f}" if celsius else f"{h * 1.8 + 32:.3f}" for h in heat]
        cells[3] = ""
        rows = zip(cells, load, fault.astype(int), strict=True)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[header, "load", "fault"], *rows])
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")


@pytest.fixture(scope="module", params=["linear", "quantiles"])
def twins(request, tmp_path_factory) -> Twins:
    folders = [tmp_path_factory.mktemp("units") / unit[-1] for unit in ("degC", "°F")]
    for folder, unit in zip(folders, ("degC", "°F"), strict=True):
        write(folder, unit)
        run(recipes.load(str(folder / "recipe.toml"), [f"fleet.encoding={request.param}"]), folder / "run")
    return Twins(*folders)


def test_its_bundle_says_of_its_own_table_what_it_said_before_it_was_converted(twins, cli):
    said = []
    for folder in (twins.celsius, twins.fahrenheit):
        ended = cli("predict", folder / "run" / "devices" / "mill", folder / "mill.csv")
        assert ended.status == 0 and "lie outside" not in ended.err
        said.append([*csv.DictReader(io.StringIO(ended.out))])
    celsius, fahrenheit = said
    assert [row["alarm"] for row in celsius] == [row["alarm"] for row in fahrenheit]
    assert {row["alarm"] for row in celsius} == {"normal", "fault", "sensor fault"}
    apart = [abs(float(a["score"]) - float(b["score"])) for a, b in zip(celsius, fahrenheit, strict=True)]
    assert max(apart) <= 2 / 256 and np.mean(np.array(apart) > 0) < 0.05  # where a value rounds otherwise


def test_every_part_of_the_preparation_is_in_its_own_unit(twins):
    celsius, fahrenheit = (each.preparation for each in twins.bundles())
    assert (celsius.units, fahrenheit.units) == (("degC", ""), ("°F", ""))
    assert fahrenheit.mean[0] == pytest.approx(1.8 * celsius.mean[0] + 32)
    assert fahrenheit.scale[0] == pytest.approx(1.8 * celsius.scale[0])
    assert fahrenheit.fill[0] == pytest.approx(1.8 * celsius.fill[0] + 32)
    assert fahrenheit.mean[1] == pytest.approx(celsius.mean[1])
    assert fahrenheit.missing.ranges["heat"] == pytest.approx((-40, 200))  # of the sensor, as the table has it
    for own, other in zip(celsius.curves, fahrenheit.curves, strict=True):
        assert other.levels == pytest.approx(own.levels)
    if celsius.curves:
        knots = np.array(celsius.curves[0].knots)
        assert fahrenheit.curves[0].knots == pytest.approx(1.8 * knots + 32)


def test_the_distribution_that_tells_drift_is_in_its_own_unit(twins):
    celsius, fahrenheit = (each.reference for each in twins.bundles())
    assert fahrenheit.edges[:, 0] == pytest.approx(1.8 * celsius.edges[:, 0] + 32, rel=1e-5)
    assert fahrenheit.counts.shape[2] == BINS


def test_the_run_says_so(twins):
    told = json.loads((twins.fahrenheit / "run" / "manifest.json").read_text(encoding="utf-8"))["notices"]
    assert "'heat' is turned from °F into degC on mill: a bundle there takes it in °F." in told
    assert any("'heat' in degC on fan; correct it with units." in each for each in told)


def test_a_table_that_goes_to_a_device_as_a_file_remembers_it(twins, tmp_path):
    recipe = recipes.load(str(twins.fahrenheit / "recipe.toml"))
    [mill] = [table for table in raw_tables(recipe) if table.name == "mill"]
    save_table(mill, tmp_path / "mill.safetensors")
    again = load_table(tmp_path / "mill.safetensors", "mill")
    assert again.converted == mill.converted and again.converted["heat"].unit == "°F"

import csv

import numpy as np
import pytest

from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.fleet.simulators import SIMULATORS
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.recipe import Window, load
from fedmetaalign.recipe.simulated import WINDOWS

ALL = pytest.mark.parametrize("simulator", sorted(SIMULATORS))


@ALL
def test_a_file_a_device_and_a_recipe_are_written(simulator, tmp_path):
    path = write_devices(simulator, 3, 60, 7, tmp_path / "new/fleet")
    assert path == tmp_path / "new/fleet/recipe.toml"
    names = [f"{simulator}-0{i}.csv" for i in range(3)]
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([*names, "recipe.toml"])


@ALL
def test_the_files_hold_every_bit_of_the_samples(simulator, tmp_path):
    write_devices(simulator, 2, 60, 7, tmp_path)
    for device in SIMULATORS[simulator](2, 60, 7):
        columns = Columns(label="fault", features=device.features)
        table = read(tmp_path / f"{device.name}.csv", columns, device.name)
        assert table.x.tobytes() == np.ascontiguousarray(device.x).tobytes()
        assert np.array_equal(table.y, device.y)


@ALL
def test_the_columns_are_the_features_the_label_and_what_is_known_of_the_sample(simulator, tmp_path):
    write_devices(simulator, 1, 60, 7, tmp_path)
    (device,) = SIMULATORS[simulator](1, 60, 7)
    with (tmp_path / f"{device.name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    more = [name for name, known in (("kind", device.kinds), ("event", device.groups)) if known is not None]
    assert header == [*device.features, "fault", *more]
    assert len(rows) == len(device)
    if device.kinds is not None:
        assert [row[header.index("kind")] for row in rows] == device.kinds.tolist()
    if device.groups is not None:
        assert [row[header.index("event")] for row in rows] == device.groups.tolist()


@ALL
def test_the_recipe_builds_the_fleet_that_was_simulated(simulator, tmp_path):
    recipe = load(str(write_devices(simulator, 2, 200, 7, tmp_path)))
    assert (recipe.name, recipe.seed) == (simulator, 7)
    fleet = build(recipe)
    simulated = SIMULATORS[simulator](2, 200, 7)
    if simulator in WINDOWS:
        simulated = [windowed(device, Window(**WINDOWS[simulator])) for device in simulated]
    assert [device.name for device in fleet.devices] == [device.name for device in simulated]
    for device, original in zip(fleet.devices, simulated, strict=True):
        assert device.preparation.features == original.features
        assert device.preparation.units == original.units
        used = len(device.train) + len(fleet.test[device.name])
        # Of a recording that phases share, a few windows across borders are left out.
        assert used == 200 if original.windows is None else 180 < used <= 200


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_devices("feeder", 2, 60, seed, tmp_path / folder)
    a, b, c = ((tmp_path / folder / "feeder-01.csv").read_bytes() for folder in "abc")
    assert a == b != c


def test_a_recipe_in_a_folder_with_special_characters_runs(tmp_path):
    recipe = load(str(write_devices("feeder", 2, 200, 7, tmp_path / "hall [1] * what?")))
    assert len(build(recipe).devices) == 2

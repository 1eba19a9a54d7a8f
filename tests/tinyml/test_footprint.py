import json

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.proof import footprint as footprints
from fedmetaalign.proof.footprint import footprint, latencies
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model

PREPARATION = Preparation(("a", "b", "c"), ("", "", ""), {}, (0.0,) * 3, (1.0,) * 3, (0, 1, 2))


@pytest.fixture
def write(network, samples):
    """Writes a bundle of a 3-16-8-1 network in a format into a folder."""

    def make(folder, **options):
        layers, x = network(0, (3, 16, 8, 1)), samples(40, 3)
        deployed = layers if options.get("edges") == "none" else quantize(layers, x, **options)
        bundle = Bundle(folder.name, PREPARATION, 0.5, None, "cortex-m4", "firmware", write_model(deployed))
        bundles.write(folder, bundle, layers, x.astype(np.float64), {})
        return folder

    return make


@pytest.fixture
def no_emulator(monkeypatch):
    monkeypatch.setattr(footprints, "installed", lambda *_: False)


def test_sizes_are_those_of_the_files(write, tmp_path, no_emulator, network, samples):
    float32, uint8 = footprint(write(tmp_path / "pump"))
    assert float32.bytes == len(write_model(network(0, (3, 16, 8, 1))))
    assert uint8.bytes == (tmp_path / "pump/model.tflite").stat().st_size
    assert (float32.device, float32.format, float32.deployed) == ("pump", "float32", False)
    assert (uint8.device, uint8.format, uint8.deployed) == ("pump", "uint8", True)


def test_speed_up_is_the_share_of_the_time_that_is_saved(write, tmp_path, no_emulator, monkeypatch):
    # The paper's: (242 - 164) / 242 = 32.23 %.
    monkeypatch.setattr(footprints, "latencies", lambda models: {"float32": 242.0, "uint8": 164.0})
    float32, uint8 = footprint(write(tmp_path / "pump"))
    assert float32.speedup is None
    assert uint8.speedup == pytest.approx(0.3223, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "formats"),
    [
        ({"edges": "none"}, ["float32*", "uint8"]),
        ({}, ["float32", "uint8*"]),
        ({"edges": "int8"}, ["float32", "uint8", "int8*"]),
        ({"bits": 4}, ["float32", "uint8", "int4*"]),
        ({"head": 1}, ["float32", "uint8", "int8-float-head*"]),
    ],
)
def test_what_is_deployed_stands_beside_float32_and_uint8(write, tmp_path, no_emulator, options, formats):
    rows = footprint(write(tmp_path / "pump", **options))
    assert [row.format + "*" * row.deployed for row in rows] == formats
    deployed = next(row for row in rows if row.deployed)
    assert deployed.bytes == (tmp_path / "pump/model.tflite").stat().st_size


@pytest.mark.firmware
def test_instructions_and_time_are_those_of_the_firmware(write, tmp_path):
    float32, uint8 = footprint(write(tmp_path / "pump"))
    weights = 3 * 16 + 16 * 8 + 8
    assert weights < float32.instructions < 40 * weights
    assert weights < uint8.instructions < 40 * weights
    # One to three cycles an instruction, at 64 cycles a microsecond.
    assert uint8.instructions / 64e3 < uint8.milliseconds < 3 * uint8.instructions / 64e3
    assert weights < uint8.flash < float32.flash < 4 * weights + 4000
    assert 3 * 16 < uint8.ram < float32.ram < 1000


def test_without_the_extra_there_are_no_instructions(write, tmp_path, no_emulator):
    rows = footprint(write(tmp_path / "pump"))
    assert {(row.instructions, row.milliseconds, row.flash, row.ram) for row in rows} == {(None,) * 4}


def test_models_take_turns(network):
    times = latencies({"small": network(0, (3, 4, 1)), "large": network(0, (9, 512, 512, 512, 1))}, turns=50)
    assert set(times) == {"small", "large"}
    assert 0 < times["small"] < times["large"]


def test_the_table_has_a_line_for_each_device_and_format(write, tmp_path, no_emulator, cli):
    for name in ("pump-1", "pump-0"):
        write(tmp_path / "run/devices" / name)
    outcome = cli("footprint", tmp_path / "run")
    assert outcome.status == 0
    lines = [line.split()[:2] for line in outcome.out.splitlines() if line.startswith("pump")]
    assert lines == [["pump-0", "float32"], ["pump-0", "uint8"], ["pump-1", "float32"], ["pump-1", "uint8"]]
    assert outcome.out.endswith("\nNothing ran on a Cortex-M4: install fedmetaalign[firmware].\n")
    rows = json.loads(cli("footprint", tmp_path / "run", "--json").out)
    assert [row["device"] for row in rows] == ["pump-0", "pump-0", "pump-1", "pump-1"]
    assert rows[0]["speedup"] is None


def test_a_folder_of_something_else_is_reported(tmp_path):
    with pytest.raises(BundleError, match=r"is neither a bundle nor a finished run: "):
        footprint(tmp_path)

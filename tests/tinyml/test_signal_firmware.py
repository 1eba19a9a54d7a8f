"""Bundles of signals: the same features and decisions in Python and in C, on every machine; streams; RAM."""

import dataclasses
import json
import shutil
from pathlib import Path

import networks_over_time
import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.c_text import real
from fedmetaalign.proof import qemu, replay
from fedmetaalign.proof.case import load
from fedmetaalign.proof.footprint import footprint
from fedmetaalign.proof.verify import check, qemu_row, stream_row, windows_row
from fedmetaalign.signals import Signal, features, names
from fedmetaalign.signals.fourier import cosines
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml import compiled, golden, memory, windows
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.firmware_folder import unpack
from fedmetaalign.tinyml.head import split
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE

pytestmark = pytest.mark.firmware

LEARN = Path(__file__).with_name("learn_windows.c")
USUAL = {"length": 1024, "stride": 512, "channels": ("accel",), "rate": 12000.0}
BAND = (2000.0, 4000.0)
SIGNALS = {
    "usual": Signal(**USUAL, front=("statistics", "bands")),
    "all": Signal(**USUAL, front=("statistics", "bands", "envelope"), envelope=BAND),
    "two channels": Signal(
        **USUAL | {"length": 300, "stride": 100, "channels": ("x", "y")},
        front=("envelope", "raw", "bands"),
        envelope=BAND,
        taper="none",
        ranges={"x": (-4.0, 9.0)},
    ),
    "orders": Signal(
        **USUAL | {"length": 600, "stride": 700}, front=("bands", "envelope"), envelope=BAND, speed="rpm"
    ),
    "raw": Signal(**USUAL | {"length": 64, "stride": 1, "channels": ("x", "y", "z")}, front=("raw",)),
}


def preparation_of(signal, rule="reject"):
    """By the moments of made up windows, of raw samples by channel."""
    found = features(signal, windows.made(signal)).astype(np.float64)
    mean, scale = np.nan_to_num(np.nanmean(found, axis=0)), np.nan_to_num(np.nanstd(found, axis=0)) + 0.1
    if "raw" in signal.front:
        mean, scale = np.zeros(len(mean)), np.ones(len(scale))
    fill = tuple(mean + 0.1) if Missing(rule).fills else ()
    inputs = tuple(range(len(mean)))
    parts = (names(signal), ("",) * len(mean), {}, tuple(mean), tuple(scale), inputs)
    return Preparation(*parts, missing=Missing(rule), fill=fill, signal=signal)


@pytest.fixture(scope="module")
def make(tmp_path_factory, network):
    """Writes the bundle of a small network on a signal, and returns its folder."""

    def write(kind, rule="reject", outputs=1):
        preparation = preparation_of(SIGNALS[kind], rule)
        raw = np.random.default_rng(0).normal(size=(40, len(preparation.mean)))
        raw = raw * np.array(preparation.scale) + np.array(preparation.mean)
        layers = network(1, (len(preparation.mean), 16, outputs))
        deployed = quantize(layers, preparation.apply(raw))
        folder = tmp_path_factory.mktemp("signal") / "pump"
        labels = bundles.BINARY if outputs == 1 else bundles.Target(("fine", "ball", "race"), (0,))
        bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", write_model(deployed), labels)
        bundles.write(folder, bundle, layers, raw, {})
        unpack(folder, folder / "firmware")
        return folder

    return write


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        *((where, kind) for where in ("zig", "cortex-m4") for kind in SIGNALS),
        ("gcc", "all"),
        ("cortex-m0", "orders"),
        ("rv32imc", "orders"),
    ],
)
def test_features_and_decisions_are_the_same_to_the_last_bit(kind, where, make):
    row = stream_row(load(make(kind), 0), "x", CORES.get(where, where))
    assert (row.wrong, row.agreeing, row.deciding) == (False, row.samples, row.samples)


@pytest.mark.parametrize("rule", ["reject", "median", "last"])
def test_a_broken_sample_of_a_raw_window_is_filled_by_the_rule(rule, make):
    case = load(make("raw", rule), 0)
    assert ("#define FMA_RAW_WINDOW" in (case.firmware / "fma_model.h").read_text()) == (rule != "last")
    found = replay.stream(case.firmware, case.bundle.preparation, case.network, case.windows, "zig")
    assert not stream_row(case, "x", "zig").wrong
    assert 0 not in found.decisions[[1, -1]]


@pytest.mark.parametrize(("kind", "rule"), [("raw", "median"), ("two channels", "reject")])
def test_what_samples_of_a_raw_window_share_stands_once_a_channel(kind, rule, make, tmp_path):
    folder = tmp_path / "pump"
    shutil.copytree(make(kind, rule), folder)
    path, expected = folder / "bundle.json", bundles.read(folder).preparation
    facts = json.loads(path.read_text(encoding="utf-8"))
    said = facts["preparation"]
    assert said["columns"] == len(expected.features)
    assert {*SIGNALS[kind].channels} <= {*said["features"]}
    assert len(said["mean"]) == len(said["features"]) == (3 if kind == "raw" else len(expected.mean) - 598)
    assert expected == preparation_of(SIGNALS[kind], rule)

    # Before, it stood there of every sample.
    whole = {k: getattr(expected, k) for k in ("features", "units", "mean", "scale", "columns", "fill")}
    facts |= {"preparation": said | whole}
    path.write_text(json.dumps(facts | {"digest": bundles.digest(facts)}), encoding="utf-8")
    assert bundles.read(folder).preparation == expected

    facts |= {"preparation": said | {"mean": said["mean"][1:]}}
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(BundleError, match="is not of the signal's channels"):
        bundles.read(folder)


@pytest.mark.parametrize("rule", ["reject", "median", "last"])
def test_a_broken_sample_is_a_sensor_fault_or_filled_by_the_rule(rule, make):
    case = load(make("usual", rule, outputs=3), 0)
    found = replay.stream(case.firmware, case.bundle.preparation, case.network, case.windows, "zig")
    assert not stream_row(case, "x", "zig").wrong
    assert np.isnan(found.features).any(axis=1).tolist() == [False, True, *[False] * 5, True]
    assert 0 not in found.decisions[[1, -1]]
    assert rule != "reject" or (found.decisions[[1, -1]] == 2).all()


def test_a_stream_decides_every_stride_as_python_does_of_each_window(make):
    case = load(make("usual"), 0)
    samples = np.random.default_rng(0).normal(size=(1024 + 3 * 512, 1)).astype(np.float32)
    samples[1500] = np.nan
    on = compiled.host([case.firmware / "fma_front.c", case.firmware / "fma_infer.c"], [case.firmware], "zig")
    state, at, score, found = map(
        on.allocate, (memory.stream(case.bundle.preparation, case.network), 4, 1, 4 * 24)
    )
    on.call("fma_stream_init", state)
    said, rows = {}, []
    for i, sample in enumerate(samples):
        on.write(at, sample.tobytes())
        if (decision := on.call("fma_push", state, at, score).result) >= 0:
            on.call("fma_features", state, found)
            said[i] = decision
            rows.append(on.read(found, 4 * 24))
    expected = np.stack([samples[512 * i : 512 * i + 1024] for i in range(4)])
    assert b"".join(rows) == features(case.bundle.preparation.signal, expected).tobytes()
    assert [*said] == [1023, 1535, 2047, 2559]
    assert [decision == 2 for decision in said.values()] == [False, True, True, False]


@pytest.mark.parametrize("where", ["zig", "cortex-m4"])
def test_a_convolutional_network_takes_the_samples_as_they_come(where, tmp_path):
    layers, x = networks_over_time.network("odd")
    signal = Signal(50, 25, ("x", "y", "z"), ("raw",))
    mean, scale = np.tile([5.0, -3.0, 0.1], 50), np.tile([2.0, 0.5, 0.01], 50)
    parts = (names(signal), ("",) * 150, {}, tuple(mean), tuple(scale), tuple(range(150)))
    preparation = Preparation(*parts, signal=signal)
    model = write_model(quantize(layers, x))
    bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", model)
    bundles.write(tmp_path / "pump", bundle, layers, x * scale + mean, {})
    unpack(tmp_path / "pump", tmp_path / "pump/firmware")
    case = load(tmp_path / "pump", 0)
    row = stream_row(case, "x", CORES.get(where, where))
    assert (row.wrong, row.agreeing, row.deciding) == (False, row.samples, row.samples)
    stated = memory.stream(preparation, case.network) + memory.buffers(preparation, case.network)
    assert memory.stream(preparation, case.network) == 152 + 4 * 4  # a byte a sample, not four
    assert row.cost is None or stated <= row.cost.ram < stated + 8


def test_a_device_learns_from_the_windows_of_a_stream(make):
    case = load(make("usual"), 0)
    firmware, preparation = case.firmware, case.bundle.preparation
    random = np.random.default_rng(0)
    samples = random.normal(size=(1024 + 39 * 512, 1)).astype(np.float32)
    samples[3000] = np.nan  # of two windows, from which nothing is learned
    labels = random.integers(0, 2, 40)
    sources = [firmware / name for name in ("fma_front.c", "fma_infer.c", "fma_adapt.c")]
    on = compiled.host([*sources, LEARN, FIRMWARE / "replay.c"], [firmware], "zig")
    size = on.call("replay_size").result
    state, at, of = map(on.allocate, (size, samples.nbytes, 40))
    on.write(at, samples.tobytes())
    on.write(of, labels.astype(np.uint8).tobytes())
    assert on.call("learn_windows", state, at, of, len(samples)).result == 38
    rows = features(preparation.signal, np.stack([samples[512 * i : 512 * i + 1024] for i in range(40)]))
    good = ~np.isnan(rows).any(axis=1)
    inputs = case.inputs_of(rows[good].astype(np.float64))
    units = split(case.network).trunk[-1].outputs
    expected = replay.learn(firmware, units, inputs, labels[good], "zig").states[-1]
    assert on.read(state, size) == expected[units:]


def spoil(folder):
    """Changes a cosine of the FFT by one unit in the last place."""
    path = folder / "firmware" / "fma_signal.h"
    text = path.read_text()
    cosine = real(cosines(256)[20])
    assert text.count(cosine) == 1
    path.write_text(text.replace(cosine, real(np.nextafter(cosines(256)[20], np.float32(1)))))


@pytest.mark.parametrize("board", ["mps2-an386", "microbit"])
def test_the_firmwares_own_check_knows_the_windows(board, make, needs):
    needs("arm-none-eabi-gcc")
    needs("qemu-system-arm")
    case = load(make("usual", "last"), 0)
    row = qemu_row(case, "x", qemu.BOARDS[board])
    assert (row.wrong, row.samples, row.agreeing) == (False, 40 + 8 + 3 + 4, 55)
    spoil(case.folder)
    assert qemu_row(case, "x", qemu.BOARDS[board]).wrong


def test_a_board_that_has_too_little_memory_is_left_out(network, needs, tmp_path):
    needs("arm-none-eabi-gcc")
    signal = Signal(3900, 3900, ("a",), ("statistics",))
    parts = (names(signal), ("",) * 8, {}, (0.0,) * 8, (1.0,) * 8, tuple(range(8)))
    layers, x = network(1, (8, 4, 1)), np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    model = write_model(quantize(layers, x))
    preparation = Preparation(*parts, signal=signal)
    bundle = Bundle("pump", preparation, 0.5, None, "cortex-m4", "firmware", model)
    bundles.write(tmp_path / "pump", bundle, layers, x.astype(np.float64), {})
    unpack(tmp_path / "pump", tmp_path / "pump/firmware")
    row = qemu_row(load(tmp_path / "pump", 0), "x", qemu.BOARDS["microbit"])
    assert (row.samples, row.wrong) == (0, False)
    assert row.note == "not run: the board microbit has too little memory for it"


def test_a_wrong_cosine_is_found(make):
    case = load(make("usual"), 0)
    spoil(case.folder)
    row = stream_row(case, "signal here", "zig")
    assert row.wrong
    assert row.agreeing < row.samples
    with pytest.raises(BundleError, match="came out right in signal here"):
        check(case.folder, [row])


def test_a_promise_of_windows_is_held_against_the_front_end(make):
    case = load(make("all"), 0)
    assert windows_row(case, "windows.csv").agreeing == 4
    other = case.windows.copy()
    other[2, 7] += np.float32(1 / 128)
    assert windows_row(dataclasses.replace(case, windows=other), "windows.csv").agreeing == 3


@pytest.mark.parametrize(
    ("kind", "rule"), [("all", "median"), ("raw", "reject"), ("raw", "last"), ("orders", "last")]
)
def test_ram_is_stated_before_anything_is_compiled(kind, rule, make):
    case = load(make(kind, rule), 0)
    preparation, network = case.bundle.preparation, case.network
    text = (case.firmware / "fma_signal.h").read_text()
    stated = memory.stream(preparation, network) + memory.buffers(preparation, network)
    assert f"#define FMA_RAM {stated} " in text
    cost = stream_row(case, "x", CORES["cortex-m4"]).cost
    assert stated <= cost.ram < stated + 8  # the linker aligns
    assert cost.stack <= memory.stack(preparation, network)


def test_the_footprint_is_of_a_whole_window(make):
    folder = make("usual")
    case = load(folder, 0)
    deployed = next(row for row in footprint(folder) if row.deployed)
    assert 150_000 < deployed.instructions < 300_000
    assert 3000 < deployed.flash < 10 * 1024
    assert 4096 + 1024 < deployed.ram <= 4096 + 1024 + 8 + 600
    assert golden.samples(folder, case.bundle.preparation, case.bundle.labels).shape == (40 + 8 + 3, 24)

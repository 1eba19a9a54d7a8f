import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from fedmetaalign.errors import BundleError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.tables import Columns
from fedmetaalign.fleet.tables import read as read_table
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml import codegen
from fedmetaalign.tinyml.bundle import Bundle, digest, read, read_weights, write
from fedmetaalign.tinyml.features import device_inputs
from fedmetaalign.tinyml.firmware_folder import texts, unpack
from fedmetaalign.tinyml.golden import on_broken
from fedmetaalign.tinyml.head import header
from fedmetaalign.tinyml.integer import firmware_scores
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import run
from fedmetaalign.tinyml.tflite import write as write_model

PREPARATION = Preparation(
    features=("current", "voltage"),
    units=("A", ""),
    categories={},
    mean=(100.0, -3.0),
    scale=(20.0, 0.5),
    columns=(0, 1, -1, 0),
)
VERSIONS = {"fedmetaalign": "0.1.0"}
OUTSIDE = {"../secret": hashlib.sha256(b"x").hexdigest()}


@pytest.fixture
def layers():
    rng = np.random.default_rng(5)
    return [
        Dense(rng.normal(size=(i, o)).astype(np.float32), rng.normal(size=o).astype(np.float32), relu=o > 1)
        for i, o in ((4, 6), (6, 3), (3, 1))
    ]


@pytest.fixture
def samples():
    """(50, 2) float64 raw samples."""
    return np.random.default_rng(4).normal([100, -3], [20, 0.5], (50, 2))


@pytest.fixture
def bundle(kind, layers, samples, every_format):
    model = write_model(every_format(layers, PREPARATION.apply(samples))[kind])
    return Bundle("pump", PREPARATION, 0.375, None, "cortex-m4", "firmware", model)


@pytest.fixture
def quantized(layers, samples):
    model = write_model(quantize(layers, PREPARATION.apply(samples)))
    return Bundle("pump", PREPARATION, 0.375, None, "cortex-m4", "firmware", model)


@pytest.fixture
def written(bundle, layers, samples, tmp_path):
    write(tmp_path / "pump", bundle, layers, samples, VERSIONS)
    return tmp_path / "pump"


@pytest.fixture
def ordinary(quantized, layers, samples, tmp_path):
    """The folder of a uint8 bundle."""
    write(tmp_path / "pump", quantized, layers, samples, VERSIONS)
    return tmp_path / "pump"


def golden(folder):
    """The columns of golden.csv, by name, as text."""
    text = (folder / "golden.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def facts(folder):
    return json.loads((folder / "bundle.json").read_text(encoding="utf-8"))


# What is written is read


def test_a_bundle_is_read_as_it_was_written(written, bundle):
    assert read(written) == bundle


def test_a_bundle_that_cannot_take_the_place_of_the_old_one_leaves_that(
    ordinary, quantized, layers, samples, contents, monkeypatch
):
    before, move = contents(ordinary.parent), Path.replace

    def fail(path, target):
        if path.name == ".pump.partial":
            raise OSError("no")
        return move(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no"):
        write(ordinary, replace(quantized, threshold=0.25), layers, samples, VERSIONS)
    assert contents(ordinary.parent) == before


def test_what_a_power_cut_moved_away_is_put_back_before_anything_else(
    ordinary, quantized, layers, samples, contents, monkeypatch
):
    before = contents(ordinary.parent)
    ordinary.rename(ordinary.parent / ".pump.old")
    monkeypatch.setattr(Path, "write_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(ordinary, quantized, layers, samples, VERSIONS)
    assert contents(ordinary.parent) == before


def test_the_reason_of_a_fallback_threshold_survives(quantized, layers, samples, tmp_path):
    noted = replace(quantized, threshold_note="7 samples are too few.")
    write(tmp_path / "pump", noted, layers, samples, VERSIONS)
    assert read(tmp_path / "pump").threshold_note == "7 samples are too few."


def test_every_file_is_described_with_its_size_and_sha256(written):
    described = facts(written)
    files = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert {*described["sha256"], "bundle.json"} == {*described["bytes"], "bundle.json"} == files
    assert {"model.tflite", "golden.csv", "weights.safetensors", "bundle.json"} == files
    for name, promised in described["sha256"].items():
        data = (written / name).read_bytes()
        assert promised == hashlib.sha256(data).hexdigest()
        assert described["bytes"][name] == len(data)


def test_the_firmware_is_that_of_the_model(written, bundle, samples):
    network = bundle.network
    raw = np.concatenate([samples, on_broken(PREPARATION, samples)])
    made = codegen.files("pump", network, PREPARATION, 0.375, raw, header(network))
    assert unpack(written, written / "code") is None
    found = {path.name: path.read_text(encoding="utf-8") for path in (written / "code").iterdir()}
    assert found == made
    assert facts(written)["firmware"] == codegen.sources_digest()
    learns = isinstance(network, QuantizedNetwork)
    assert ("fma_adapt.c" in found) == ("fma_head.h" in found) == learns


def test_the_description_holds_the_schema_and_the_scaler(ordinary):
    described = facts(ordinary)
    assert described["device"] == "pump"
    assert described["preparation"]["features"] == ["current", "voltage"]
    assert described["preparation"]["units"] == ["A", ""]
    assert described["preparation"]["mean"] == [100.0, -3.0]
    assert described["preparation"]["scale"] == [20.0, 0.5]
    assert described["preparation"]["columns"] == [0, 1, -1, 0]
    assert described["threshold"] == 0.375
    assert (described["target"], described["runtime"]) == ("cortex-m4", "firmware")
    assert described["versions"] == VERSIONS


UNSIGNED = {"edges": "uint8", "score": {"scale": 1 / 256, "zero_point": 0}}
SIGNED = {"edges": "int8", "score": {"scale": 1 / 256, "zero_point": -128}}
WHOLE = {"bits": [8, 8, 8], "per_channel": False, "head": 0}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("float32", {"format": "float32", "edges": "float32"}),
        ("uint8", {"format": "uint8"} | UNSIGNED | WHOLE),
        ("int8", {"format": "int8"} | SIGNED | WHOLE),
        ("float io", {"format": "int8-float-io"} | SIGNED | WHOLE | {"edges": "float32"}),
        ("uint8 per channel", {"format": "uint8"} | UNSIGNED | WHOLE | {"per_channel": True}),
        (
            "float head",
            {"format": "int8-float-head", "edges": "uint8", "bits": [8], "per_channel": False, "head": 2},
        ),
        ("int4, some", {"format": "int4"} | UNSIGNED | WHOLE | {"bits": [8, 4, 8]}),
        ("low rank", {"format": "uint8"} | UNSIGNED | WHOLE | {"bits": [8] * 4}),
    ],
)
def test_the_quantisation_is_that_of_the_model(bundle, layers, samples, tmp_path, kind, expected):
    write(tmp_path / "pump", bundle, layers, samples, VERSIONS)
    told = facts(tmp_path / "pump")["quantization"]
    model = bundle.network
    if kind != "float32":
        grid = model.input.unsigned if expected["edges"] == "uint8" else model.input
        expected = expected | {"input": {"scale": grid.scale, "zero_point": grid.zero_point}}
    assert told == expected


# Golden vectors


def numbers(found, names):
    """(rows, names) of golden.csv's cells."""
    return np.array([[float(cell) for cell in found[name]] for name in names]).T


def test_golden_vectors_are_what_the_device_makes_of_the_samples(written, bundle, samples):
    found, network = golden(written), bundle.network
    assert numbers(found, ["current", "voltage"])[:50].tolist() == samples.tolist()  # to the last bit
    samples = numbers(found, ["current", "voltage"])
    expected = device_inputs(PREPARATION, network, samples)
    letter = "z" if expected.dtype == np.float32 else "q"
    inputs = numbers(found, [f"{letter}{i}" for i in range(4)]).astype(expected.dtype)
    assert inputs.tolist() == expected.tolist()
    scores = numbers(found, ["score"])[:, 0].tolist()
    assert read(written).scores(samples).tolist() == firmware_scores(network, inputs).tolist() == scores
    assert [int(cell) for cell in found["fault"]][:50] == [int(score > 0.375) for score in scores[:50]]
    assert set(found["fault"][:50]) == {"0", "1"}


def test_golden_vectors_end_with_broken_sensors(written):
    found = golden(written)
    nan, inf = [["nan", found["voltage"][0]], [found["current"][1], "nan"], ["nan", "nan"]], ["inf", "-inf"]
    assert list(map(list, zip(found["current"][50:], found["voltage"][50:], strict=True))) == [
        *nan,
        *([each] * 2 for each in inf),
    ]
    assert found["fault"][50:] == ["2"] * 5  # PREPARATION has no rule that fills


@pytest.mark.parametrize("name", ["feeder-00", "feeder-01", "feeder-02"])
def test_the_golden_vectors_of_a_run_come_out_again(finished, name):
    folder = finished.folder / "devices" / name
    found, content = golden(folder), read(folder)
    features = content.preparation.features
    assert features == ("Ia", "Ib", "Ic", "Va", "Vb", "Vc")
    x = numbers(found, features)
    assert content.scores(x, "firmware").tolist() == [float(cell) for cell in found["score"]]
    good = np.isfinite(x).all(axis=1)
    alarms = [float(cell) > content.threshold for cell in found["score"]]
    assert good.sum() < len(good)
    for cell, alarm, whole in zip(found["fault"], alarms, good, strict=True):
        assert cell == ("1" if alarm else "0" if whole else "2")
    expected = device_inputs(content.preparation, content.network, x)
    assert numbers(found, [f"q{i}" for i in range(9)]).tolist() == expected.tolist()


def test_the_golden_vectors_of_a_run_are_training_samples(finished, csv_fleet):
    folder = finished.folder / "devices" / "feeder-00"
    columns = Columns(label="fault", features=finished.recipe.fleet.features)
    fleet = build(finished.recipe)
    table = read_table(csv_fleet / "feeder-00.csv", columns, "feeder-00")
    found = golden(folder)
    x = numbers(found, columns.features)
    x = x[np.isfinite(x).all(axis=1)]
    test = fleet.devices[0].preparation.raw(fleet.test["feeder-00"].x)
    for row in x:
        assert np.isclose(table.x, row, rtol=1e-5, atol=1e-5).all(axis=1).any()
        assert not np.isclose(test, row, rtol=1e-5, atol=1e-5).all(axis=1).any()


def test_the_bundles_own_runtime_is_used_unless_another_is_named(quantized, samples):
    other = replace(quantized, runtime="litert-reference")
    network = quantized.network
    inputs = device_inputs(PREPARATION, network, samples)
    assert other.scores(samples).tolist() == run(network, inputs, "litert-reference").tolist()
    assert quantized.scores(samples).tolist() == run(network, inputs, "firmware").tolist()


def test_code_beside_other_c_sources_than_the_bundles_is_told(ordinary, tmp_path):
    described = facts(ordinary) | {"firmware": "0" * 64}
    described["digest"] = digest(described)
    (ordinary / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    warning = unpack(ordinary, tmp_path / "code")
    assert warning and "made by fedmetaalign 0.1.0, whose C sources are others than this version's" in warning


def test_a_bundle_that_brings_code_keeps_to_it(ordinary, tmp_path):
    code = texts(ordinary) | {"main.c": "int main(void) { return 7; }\n"}
    described = facts(ordinary) | {"version": 4}
    (ordinary / "firmware").mkdir()
    for name, text in code.items():
        (ordinary / "firmware" / name).write_text(text, encoding="utf-8")
        described["sha256"][f"firmware/{name}"] = hashlib.sha256(text.encode()).hexdigest()
    described["digest"] = digest(described)
    (ordinary / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    unpack(ordinary, tmp_path / "code")
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "code").iterdir()} == code
    (ordinary / "firmware/main.c").write_text("altered", encoding="utf-8")
    with pytest.raises(BundleError, match=r"firmware/main\.c is not the file that bundle.json describes"):
        unpack(ordinary, tmp_path / "other")


# Weights


def test_the_float_weights_are_kept_for_further_training(written, layers):
    found = load_file(written / "weights.safetensors")
    assert set(found) == {f"{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    for i, (layer, again) in enumerate(zip(layers, read_weights(written), strict=True)):
        assert found[f"{i}.weight"].dtype == np.float32
        assert found[f"{i}.weight"].tobytes() == again.weights.tobytes() == layer.weights.tobytes()
        assert found[f"{i}.bias"].tobytes() == again.biases.tobytes() == layer.biases.tobytes()
        assert again.relu == layer.relu
    with safe_open(written / "weights.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["relu"]) == [True, True, False]


def test_the_last_layers_alone_are_kept_where_that_is_asked_for(quantized, layers, samples, tmp_path):
    write(tmp_path / "pump", quantized, layers, samples, VERSIONS, first=1)
    assert set(load_file(tmp_path / "pump/weights.safetensors")) == {
        *("1.weight", "1.bias"),
        *("2.weight", "2.bias"),
    }
    kept = read_weights(tmp_path / "pump")
    assert [layer.weights.tobytes() for layer in kept] == [layer.weights.tobytes() for layer in layers[1:]]
    assert [layer.relu for layer in kept] == [True, False]


def test_the_kept_weights_and_the_runs_are_the_network_that_the_model_was_made_of(finished):
    folder = finished.folder / "devices" / "feeder-02"
    kept = load_file(folder / "weights.safetensors")
    assert {name[0] for name in kept} == {"1", "2"}  # the first layer is frozen, and the fleet's
    content = read(folder)
    found = golden(folder)
    x = numbers(found, content.preparation.features)
    good = np.isfinite(x).all(axis=1)
    h = content.preparation.apply(x[good])
    inputs, units = h.shape[1], len(kept["1.weight"])
    fleets = load_file(finished.folder / "checkpoint.safetensors")["weights"]
    frozen = fleets[: (inputs + 1) * units].reshape(inputs + 1, units)
    h = np.maximum(h @ frozen[:-1] + frozen[-1], 0)
    h = np.maximum(h @ kept["1.weight"] + kept["1.bias"], 0)
    z = (h @ kept["2.weight"] + kept["2.bias"])[:, 0]
    quantised = np.array([float(cell) for cell in found["score"]])[good]
    assert np.abs(1 / (1 + np.exp(-z)) - quantised).max() < 0.05


# Bundles that say the same of everything


@pytest.mark.parametrize(("threshold", "says"), [(-0.5, "fault"), (1.0, "normal"), (0.375, None)])
def test_a_bundle_that_says_the_same_of_everything_says_so(
    quantized, layers, samples, tmp_path, threshold, says
):
    write(tmp_path / "pump", replace(quantized, threshold=threshold), layers, samples, VERSIONS)
    assert read(tmp_path / "pump").constant == facts(tmp_path / "pump").get("constant") == says
    readme = texts(tmp_path / "pump")["README.md"]
    assert ("Do not deploy it" in readme) == (says is not None)
    assert says is None or f"says {says} of every sample" in readme


# Samples out of range


def test_samples_beyond_the_calibrated_range_are_counted(quantized, samples, layers):
    far = np.array([[1e5, -3.0], [100.0, 1e5], [100.0, -1e5], [100.0, -3.0]])
    assert quantized.outside(far) == 3
    assert quantized.outside(samples) == 0
    assert replace(quantized, model=write_model(layers)).outside(far) == 0  # a float model has no range


# Whole or not at all


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_write_that_fails_leaves_the_old_bundle_and_nothing_else(
    quantized, layers, samples, tmp_path, monkeypatch, contents, nth
):
    write(tmp_path / "pump", quantized, layers, samples, VERSIONS)
    before = contents(tmp_path)
    calls = []
    original = Path.write_bytes

    def full(path, data):
        calls.append(path)
        if len(calls) == nth:
            raise OSError(28, "No space left on device")
        return original(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises((OSError, BundleError)):
        write(tmp_path / "pump", quantized, layers, samples + 1, VERSIONS)
    assert contents(tmp_path) == before


def test_a_bundle_replaces_the_one_before_and_what_a_crash_has_left(quantized, layers, samples, tmp_path):
    (tmp_path / ".pump.partial").mkdir()
    (tmp_path / ".pump.partial/model.tflite").write_bytes(b"half")
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump/old.txt").touch()
    write(tmp_path / "pump", quantized, layers, samples, VERSIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["pump"]
    assert not (tmp_path / "pump/old.txt").exists()
    assert read(tmp_path / "pump") == quantized


# Altered bundles


@pytest.mark.parametrize("name", ["model.tflite", "golden.csv", "weights.safetensors"])
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_flipped_bit_is_noticed(ordinary, name, where):
    data = bytearray((ordinary / name).read_bytes())
    data[int(where * len(data)) if where >= 0 else -1] ^= 4
    (ordinary / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is not the file that bundle.json describes"):
        read(ordinary)


@pytest.mark.parametrize(
    "key", ["version", "device", "preparation", "threshold", "threshold_note", "target", "runtime", "sha256"]
)
def test_a_description_without_one_of_its_keys_is_reported(ordinary, key):
    described = facts(ordinary)
    del described[key]
    (ordinary / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
        read(ordinary)


@pytest.mark.parametrize(
    "change", [lambda files: files.pop("model.tflite"), lambda files: files.update(OUTSIDE)]
)
def test_a_description_of_other_files_is_reported(ordinary, tmp_path, change):
    (tmp_path / "secret").write_bytes(b"x")  # is never read: it lies outside the bundle
    described = facts(ordinary)
    change(described["sha256"])
    (ordinary / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(BundleError):
        read(ordinary)

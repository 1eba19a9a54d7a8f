"""Bundles and samples that do not fit or are damaged."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from fedmetaalign.tinyml.bundle import digest


@pytest.fixture
def bundle(here, finished):
    """A copy of a device's bundle, and a table for it."""
    source = finished.folder / "devices" / "feeder-00"
    shutil.copytree(source, here / "bundle")
    (here / "new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,0.2,-0.3\n", encoding="utf-8")
    return here / "bundle"


def test_a_bundle_that_is_not_there(refused, bundle):
    assert refused("predict", "elsewhere", "new.csv").startswith("elsewhere/bundle.json is missing")


def test_samples_that_are_not_there(refused, bundle):
    assert "old.csv does not exist" in refused("predict", "bundle", "old.csv")


FILES = ["model.tflite", "golden.csv", "weights.safetensors", "firmware/fma_model.h", "firmware/README.md"]
VERBS = [("predict", "bundle", "new.csv"), ("verify", "bundle"), ("footprint", "bundle")]


@pytest.mark.parametrize("name", [*FILES, "bundle.json"])
def test_a_bundle_that_lacks_a_file(refused, bundle, name):
    (bundle / name).unlink()
    assert f"bundle/{name} is missing" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_with_an_altered_file(refused, bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    for verb in VERBS:
        assert refused(*verb).startswith(f"bundle/{name} is not the file that bundle.json")


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_with_a_file_that_is_cut_short(refused, bundle, name):
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-1])
    assert refused("verify", "bundle").startswith(f"bundle/{name} is not the file that bundle.json")


@pytest.mark.parametrize("verb", ["verify", "footprint"])
def test_what_is_no_bundle_cannot_be_measured(refused, here, verb):
    (here / "elsewhere").mkdir()
    assert "elsewhere" in refused(verb, "elsewhere")


def golden_of_other_features(bundle):
    """Writes a golden.csv that is described, but not the bundle's."""
    (bundle / "golden.csv").write_text("a,b,score,fault\n1,2,0.5,1\n", encoding="utf-8")
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    facts["sha256"]["golden.csv"] = sha256((bundle / "golden.csv").read_bytes()).hexdigest()
    (bundle / "bundle.json").write_text(json.dumps(facts | {"digest": digest(facts)}), encoding="utf-8")


@pytest.mark.parametrize("verb", ["verify", "footprint"])
def test_golden_vectors_of_other_features(refused, bundle, verb):
    golden_of_other_features(bundle)
    assert refused(verb, "bundle") == (
        "bundle/golden.csv cannot be read (its columns are not the bundle's features): copy the bundle again."
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "Not an exported state: it begins with b'' instead of b'FMAS'; export it again."),
        (b"FMAS", "The exported state of 4 bytes is damaged or cut short"),
        (b"FMAS" + bytes(100), "The exported state of 104 bytes is damaged or cut short"),
    ],
)
def test_a_state_that_no_device_exported(refused, bundle, data, sentence):
    Path("state.bin").write_bytes(data)
    assert refused("adapt", "bundle", "state.bin", "--out", "new").startswith(sentence)


def test_a_state_that_is_not_there(refused, bundle):
    assert refused("adapt", "bundle", "state.bin", "--out", "new").startswith("state.bin cannot be read (")


def test_a_new_bundle_over_something_else(refused, bundle):
    Path("state.bin").write_bytes(b"FMAS")
    assert refused("adapt", "bundle", "state.bin", "--out", "bundle").startswith("bundle is not empty")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1000], lambda data: data[:500] + bytes(len(data) - 500)]
)
def test_a_model_that_was_damaged_before_it_was_described(refused, bundle, damage):
    model, path = bundle / "model.tflite", bundle / "bundle.json"
    model.write_bytes(damage(model.read_bytes()))
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["sha256"]["model.tflite"] = sha256(model.read_bytes()).hexdigest()
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("The .tflite file ")


@pytest.mark.parametrize(
    "verb", [("predict", "bundle", "new.csv"), ("verify", "bundle"), ("footprint", "bundle")]
)
@pytest.mark.parametrize(("key", "value"), [("threshold", 0.75), ("device", "another"), ("versions", {})])
def test_an_altered_description(refused, bundle, verb, key, value):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    (bundle / "bundle.json").write_text(json.dumps(facts | {key: value}), encoding="utf-8")
    assert refused(*verb) == "bundle/bundle.json has been altered: copy the bundle again, or make it anew."


def test_a_scale_that_the_device_cannot_hold(refused, bundle):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    facts["preparation"]["scale"][2] = 1e-50
    (bundle / "bundle.json").write_text(json.dumps(facts | {"digest": digest(facts)}), encoding="utf-8")
    sentence = refused("predict", "bundle", "new.csv")
    assert sentence.startswith("Feature 'Ic' has mean ")
    assert sentence.endswith("and scale 1e-50, which float32 cannot hold; give it in another unit.")


def test_a_bundle_of_another_version(refused, bundle):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    (bundle / "bundle.json").write_text(json.dumps(facts | {"version": 99}), encoding="utf-8")
    assert "bundle/bundle.json has layout 99, this version reads 2" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "{}", '{"version": 2}', "\x00"])
def test_a_description_that_is_no_description(refused, bundle, text):
    (bundle / "bundle.json").write_text(text, encoding="utf-8")
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


def test_a_description_that_is_not_utf_8(refused, bundle):
    (bundle / "bundle.json").write_bytes(b'{"version": 2, "device": "\xff"}')
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [0.0]),
        ("scale", [1.0] * 7),
        ("scale", [0.0] * 6),
        ("columns", [0, 1, 2, 3, 4, 99, -1, -1, -1]),
        ("columns", [0, 1, 2, 3, 4, -9, -1, -1, -1]),
        ("columns", [0, 1]),
        ("mean", ["x"] * 6),
        ("mean", [float("nan")] * 6),
        ("mean", None),
        ("features", ["Ia"]),
        ("features", [1, 2, 3, 4, 5, 6]),
        ("units", [1, 2, 3, 4, 5, 6]),
        ("columns", [0, 1, 2, 3, 4, 5, float("inf")]),
        ("categories", []),
        ("units", None),
    ],
)
def test_a_preparation_that_does_not_fit_together(refused, bundle, key, value):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    facts["preparation"][key] = value
    (bundle / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    assert "bundle" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", None),
        ("threshold", "high"),
        ("threshold", float("nan")),
        ("threshold", 10**400),
        ("device", ["pump"]),
        ("runtime", "abacus"),
        ("runtime", None),
        ("sha256", {}),
        ("sha256", []),
        ("preparation", None),
    ],
)
def test_a_description_with_a_damaged_value(refused, bundle, key, value):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8")) | {key: value}
    (bundle / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    refused("predict", "bundle", "new.csv")


def test_a_description_of_brackets(refused, bundle):
    (bundle / "bundle.json").write_text("[" * 100_000, encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("bundle/bundle.json cannot be read")


def test_samples_that_lack_a_feature(refused, bundle):
    Path("new.csv").write_text("Ia,Ib,Ic,Va,Vb\n1,2,3,0.1,0.2\n", encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("new.csv has no column 'Vc'")


def test_samples_with_a_cell_that_is_no_number(refused, bundle):
    Path("new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,?,-0.3\n", encoding="utf-8")
    assert "new.csv, line 2, column 'Vb' holds '?'" in refused("predict", "bundle", "new.csv")


def test_a_prediction_that_cannot_be_written(refused, bundle):
    Path("file").touch()
    assert refused("predict", "bundle", "new.csv", "--out", "file/scores.csv").startswith(
        "Cannot write file/scores.csv"
    )
    Path("folder").mkdir()
    assert refused("predict", "bundle", "new.csv", "--out", "folder").startswith("Cannot write folder")

"""Bundles and samples that do not fit or are damaged."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def bundle(here, finished):
    """A copy of a device's bundle, and a table for it."""
    source = finished.folder / "devices" / "feeder-00"
    (here / "bundle").mkdir()
    for file in source.iterdir():
        (here / "bundle" / file.name).write_bytes(file.read_bytes())
    (here / "new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,0.2,-0.3\n", encoding="utf-8")
    return here / "bundle"


def test_a_bundle_that_is_not_there(refused, bundle):
    assert refused("predict", "elsewhere", "new.csv").startswith("elsewhere/bundle.json is missing")


def test_samples_that_are_not_there(refused, bundle):
    assert "old.csv does not exist" in refused("predict", "bundle", "old.csv")


@pytest.mark.parametrize("name", ["model.tflite", "golden.csv", "weights.safetensors", "bundle.json"])
def test_a_bundle_that_lacks_a_file(refused, bundle, name):
    (bundle / name).unlink()
    assert f"bundle/{name} is missing" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("name", ["model.tflite", "golden.csv", "weights.safetensors"])
def test_a_bundle_with_an_altered_file(refused, bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert refused("predict", "bundle", "new.csv").startswith(f"bundle/{name} is not the file that bundle.json")


def test_a_bundle_of_another_version(refused, bundle):
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    (bundle / "bundle.json").write_text(json.dumps(facts | {"version": 99}), encoding="utf-8")
    assert "bundle/bundle.json has layout 99, this version reads 1" in refused("predict", "bundle", "new.csv")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "{}", '{"version": 1}', "\x00"])
def test_a_description_that_is_no_description(refused, bundle, text):
    (bundle / "bundle.json").write_text(text, encoding="utf-8")
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


def test_a_description_that_is_not_utf_8(refused, bundle):
    (bundle / "bundle.json").write_bytes(b'{"version": 1, "device": "\xff"}')
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

"""Bundles that were damaged before they were described, or by more than a text can say."""

import json
import shutil
from hashlib import sha256

import pytest

from fedmetaalign.tinyml.bundle import digest


@pytest.fixture
def bundle(here, finished):
    """A copy of a device's bundle, and a table for it."""
    source = finished.folder / "devices" / "feeder-00"
    shutil.copytree(source, here / "bundle")
    (here / "new.csv").write_text("Ia,Ib,Ic,Va,Vb,Vc\n1,2,3,0.1,0.2,-0.3\n", encoding="utf-8")
    return here / "bundle"


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
    "damage", [lambda data: data[:-1000], lambda data: data[:500] + bytes(len(data) - 500)]
)
def test_a_model_that_was_damaged_before_it_was_described(refused, bundle, damage):
    model, path = bundle / "model.tflite", bundle / "bundle.json"
    model.write_bytes(damage(model.read_bytes()))
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["sha256"]["model.tflite"] = sha256(model.read_bytes()).hexdigest()
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("The .tflite file ")


def test_a_description_that_is_not_utf_8(refused, bundle):
    (bundle / "bundle.json").write_bytes(b'{"version": 2, "device": "\xff"}')
    assert "bundle/bundle.json" in refused("predict", "bundle", "new.csv")


def test_a_description_of_brackets(refused, bundle):
    (bundle / "bundle.json").write_text("[" * 100_000, encoding="utf-8")
    assert refused("predict", "bundle", "new.csv").startswith("bundle/bundle.json cannot be read")

"""The recipe's formats, from a personal model to a device's bundle."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_engine import client_of

from fedmetaalign import recipe as recipes
from fedmetaalign.evaluation.thresholds import best_f1
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.build import build
from fedmetaalign.model.mlp import Network, initialize, logits
from fedmetaalign.phases.conversion import calibration_rows, convert, trained_layers
from fedmetaalign.phases.deploy import deploy
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.recipe import Deploy, Personalize
from fedmetaalign.run import run
from fedmetaalign.tinyml.bundle import read
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.runtimes import scores
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read as read_model

FORMATS = ("uint8", "int8", "int8-float-io", "int8-float-head", "int4", "float32")
PAPER = Network(9, (256, 128, 64, 32, 16, 12, 8))


@pytest.fixture(scope="module")
def layers():
    return float_layers(PAPER, initialize(PAPER, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def calibration():
    return np.random.default_rng(1).normal(size=(100, 9)).astype(np.float32)


@pytest.fixture(scope="module")
def device(finished):
    return build(finished.recipe).devices[0]


def test_the_layers_are_the_network(calibration):
    weights = initialize(PAPER, np.random.default_rng(2))
    h = calibration.astype(np.float64)
    for layer in float_layers(PAPER, weights):
        h = h @ layer.weights + layer.biases
        h = np.maximum(h, 0) if layer.relu else h
    np.testing.assert_allclose(h[:, 0], logits(PAPER, weights, calibration), atol=1e-5)


def test_what_each_format_makes_of_the_papers_network(layers, calibration):
    made = {name: convert(layers, 4, calibration, Deploy(format=name)) for name in FORMATS}
    assert made["float32"] is layers
    found = {
        name: (network.edges, [layer.bits for layer in network.layers], len(network.head))
        for name, network in made.items()
        if isinstance(network, QuantizedNetwork)
    }
    assert found == {
        "uint8": ("uint8", [8] * 8, 0),
        "int8": ("int8", [8] * 8, 0),
        "int8-float-io": ("float32", [8] * 8, 0),
        "int8-float-head": ("uint8", [8] * 4, 4),
        "int4": ("uint8", [8, 4, 4, 4, 8, 8, 8, 8], 0),
    }


@pytest.mark.parametrize("name", ["uint8", "int8", "int8-float-io", "int8-float-head", "int4"])
def test_ranges_are_clipped_where_the_recipe_says_so(layers, calibration, name):
    x = np.concatenate([calibration, np.full((1, 9), 200.0, np.float32)])
    last = replace(layers[-1], weights=30 * layers[-1].weights)  # scores from 0 to 1
    plain, clipped = (
        convert([*layers[:-1], last], 4, x, Deploy(format=name, calibration=by)) for by in ("range", "error")
    )
    assert plain.input.scale > 0.7
    assert clipped.input.scale < 0.1


def test_inputs_by_quantiles_are_calibrated_as_far_as_they_reach(calibration):
    curves = SimpleNamespace(preparation=SimpleNamespace(curves=(1,)), inputs=calibration)
    linear = SimpleNamespace(preparation=SimpleNamespace(curves=()), inputs=calibration)
    reach, error = Deploy(calibration="reach"), Deploy(calibration="error")
    assert np.abs(calibration).max() < 3.96
    assert np.abs(calibration_rows(curves, reach)).max() == pytest.approx(3.96)
    for device, settings in ((curves, error), (linear, reach)):
        assert calibration_rows(device, settings) is calibration


@pytest.mark.parametrize("name", ["uint8", "int8", "int8-float-io", "int8-float-head"])
def test_scales_per_output(layers, calibration, name):
    network = convert(layers, 4, calibration, Deploy(format=name, per_channel=True))
    assert [len(layer.weight_scales) for layer in network.layers[:3]] == [256, 128, 64]


def test_the_head_is_what_phase_3_trains():
    assert trained_layers(PAPER, Personalize()) == 4
    assert trained_layers(Network(9, (8, 4)), Personalize()) == 2  # of three, one is frozen
    assert trained_layers(PAPER, Personalize(freeze=0.0)) == 8


@pytest.mark.parametrize("name", FORMATS)
def test_the_threshold_is_chosen_on_the_firmwares_scores(device, name):
    network = Network(9, (8, 4))
    weights = initialize(network, np.random.default_rng(3))
    personal = Personal(None, weights=weights, threshold=best_f1(np.int8([0, 1]), np.array([0.2, 0.8])))
    found = deploy(client_of(device, deploy={"format": name}), network, personal)
    validation = device.parts["personalize"].query
    assert write(found.network) == found.model
    on_device = scores(found.model, validation.x, "firmware")
    assert found.threshold == best_f1(validation.y.astype(np.int8), on_device)
    kept = deploy(client_of(device, deploy={"format": name, "threshold": "personalized"}), network, personal)
    assert kept == replace(found, threshold=personal.threshold, network=kept.network, layers=kept.layers)
    assert found.head == 2
    assert all(
        (a.weights == b.weights).all()
        for a, b in zip(found.layers, float_layers(network, weights), strict=True)
    )


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("name", FORMATS)
def test_a_run_in_every_format(finished, tmp_path, name):
    small = {"deploy.format": name, "evaluation.alone": False, "serial.rounds": 0, "parallel.rounds": 1}
    recipe = recipes.with_settings(finished.recipe, small)
    results = run(recipe, tmp_path / "run")
    for device in results["devices"]:
        folder = tmp_path / "run" / "devices" / device
        content, facts = read(folder), json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        assert facts["quantization"]["format"] == name
        assert facts["runtime"] == content.runtime == "firmware"
        assert isinstance(read_model(content.model), QuantizedNetwork) == (name != "float32")

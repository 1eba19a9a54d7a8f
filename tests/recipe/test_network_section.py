"""`[model] kind = "cnn"`: what a recipe may ask for, what is filled in, and what has no room in its windows."""

import tomllib

import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.phases.layers import network_of
from fedmetaalign.recipe import dump, parse, with_settings

WINDOW = {"length": 1024, "channels": ["a"], "front": ["raw"]}
MAX = {"kind": "max", "size": 128}
TABLE = {"table": "machines.csv", "label": "fault"}


def recipe(model=None, window=WINDOW, fleet=None, **more):
    sections = {
        "fleet": {**TABLE, "window": window, **(fleet or {})},
        "model": {"kind": "cnn", **(model or {})},
    }
    return parse({**sections, **more}, "here")


def said(**given):
    with pytest.raises(RecipeError) as caught:
        recipe(**given)
    return str(caught.value)


def test_the_default_has_a_few_thousand_parameters():
    model = recipe().model
    network = network_of(model, 1)
    assert (model.inputs, model.channels, model.hidden, model.layers) == (1024, 1, (16,), 4)
    assert network.shapes == ((33, 16), (113, 16), (17, 16), (17, 1))
    assert network.parameters == 528 + 1808 + 272 + 17
    assert (
        network_of(recipe(window={**WINDOW, "channels": ["x", "y", "z"]}).model, 1).parameters == 2625 + 2 * 512
    )


def test_layers_are_what_has_parameters():
    convolutions = [
        {"filters": 4, "kernel": 9, "stride": 4},
        {"kind": "max", "size": 2},
        {"kind": "depthwise", "kernel": 3},
        {"filters": 6, "kernel": 1},
        {"kind": "average", "size": 0},
    ]
    model = recipe({"convolutions": convolutions, "hidden": []}).model
    network = network_of(model, 3)
    assert network.shapes == ((10, 4), (4, 4), (5, 6), (7, 3))
    assert model.layers == len(network.operators) == 4
    assert [operator.parts for operator in network.operators] == [2, 1, 2, 1]
    # 1,024 samples: 254 places of the kernel, 127 after the pool, 125, and their mean of six channels.
    assert [operator.inputs for operator in network.operators] == [1024, 127 * 4, 125 * 4, 6]


def test_it_is_the_same_when_it_is_read_again():
    first = recipe({"convolutions": [{"filters": 4, "kernel": 9}, {"kind": "max", "size": 8, "stride": 4}]})
    assert parse(tomllib.loads(dump(first)), "here") == first
    assert with_settings(first, {"seed": 3}).model == first.model


def test_a_table_of_windows_tells_its_points_later():
    wide = recipe(window={"points": "t*", "front": ["raw"]})
    assert wide.model.channels is None
    told = wide.model_copy(
        update={"fleet": wide.fleet.model_copy(update={"features": tuple(f"t{i}" for i in range(152))})}
    )
    again = with_settings(told, {"model.inputs": 152})
    assert (again.model.inputs, again.model.channels) == (152, 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"model": {"convolutions": [{"filters": 4, "kernel": 9, "stride": 0}]}},
            "here: model.convolutions.0.stride = 0 must be greater than or equal to 1.",
        ),
        (
            {"model": {"convolutions": [{"filters": 4, "kernel": 1000}, {"filters": 4, "kernel": 26}]}},
            "here: model has convolutions of which number 2 (convolution) takes 26 steps at a time with"
            " stride 1, which 25 steps have no room for: take longer windows, or shorter kernels and strides.",
        ),
        (
            {
                "model": {
                    "convolutions": [{"filters": 4, "kernel": 9, "stride": 8}, {"kind": "max", "size": 128}]
                }
            },
            "here: model has convolutions of which number 2 (max) takes 128 steps at a time with stride 128,"
            " which 127 steps have no room for: take longer windows, or shorter kernels and strides.",
        ),
        (
            {"window": {**WINDOW, "length": 64}},
            "here: model has convolutions of which number 2 (convolution) takes 7 steps at a time with"
            " stride 2, which 5 steps have no room for: take longer windows, or shorter kernels and strides.",
        ),
        (
            {"model": {"convolutions": [{"kind": "average", "kernel": 4}]}},
            'here: model.convolutions.0 of the kind "average" takes no kernel: it has size.',
        ),
        (
            {"model": {"convolutions": [{"kernel": 4}]}},
            'here: model.convolutions.0 of the kind "convolution" needs filters: it has filters and kernel.',
        ),
        (
            {"model": {"convolutions": []}},
            'here: model has kind = "cnn" and no convolutions: name some, or leave the key out.',
        ),
        (
            {"window": {"length": 1024, "channels": ["a"]}},
            'here: model has kind = "cnn", which takes the samples of windows, and machines.csv gives other'
            ' features: add a [fleet.window] with front = ["raw"], or take kind = "mlp".',
        ),
        (
            {"model": {"inputs": 2048}},
            "here: model has inputs = 2048, and its windows have 1024 samples of 1 channel: leave the key out.",
        ),
        (
            {"model": {"channels": 3}},
            "here: model has channels = 3, and its windows have 1: leave the key out.",
        ),
        (
            {"model": {"padding": "repeat"}},
            'here: model has padding = "repeat", and every device fills all inputs of a cnn: drop it.',
        ),
        (
            {"model": {"kind": "mlp", "convolutions": [{"filters": 4, "kernel": 3}]}},
            'here: model has convolutions, which only kind = "cnn" uses: set that, or take convolutions out.',
        ),
        (
            {"fleet": {"missing": "regression", "scaling": "fleet"}},
            'here: fleet.missing = "regression" makes up for features that a device lacks, and with'
            ' model.kind = "cnn" every device has them all: drop it.',
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_said_in_a_sentence(given, sentence):
    assert said(**given) == sentence


def test_devices_have_windows_of_one_shape():
    windows = [{**WINDOW, "length": length} for length in (512, 1024)]
    devices = [{**TABLE, "name": f"m{i}", "window": window} for i, window in enumerate(windows)]
    with pytest.raises(RecipeError) as caught:
        parse({"fleet": {"devices": devices}, "model": {"kind": "cnn"}}, "here")
    assert str(caught.value) == (
        'here: model has kind = "cnn", which takes windows of one shape, and there are some of 512 and of 1024'
        " samples: cut them alike."
    )

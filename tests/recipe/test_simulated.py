"""A simulator of signals brings its window, and a recipe replaces what it wants to."""

import tomllib

import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.recipe import dump, parse
from fedmetaalign.recipe.simulated import SIMULATORS, WINDOWS


def window(simulator="vibration", **keys):
    more = {"window": keys} if keys else {}
    return parse({"fleet": {"simulator": simulator, "count": 2, **more}}, "here").fleet.window


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_window_is_there_without_a_word(name):
    found = window(name)
    assert (found is None) == (name not in WINDOWS)
    if found is not None:
        assert {key: getattr(found, key) for key in WINDOWS[name]} == WINDOWS[name]


def test_what_a_recipe_says_holds_and_the_rest_stays():
    assert (window().length, window().stride, window().rate) == (1024, 512, 12_000)
    assert window().front == ("statistics", "bands")
    longer = window(length=2048, front=["bands"])
    assert (longer.length, longer.stride, longer.front, longer.channels) == (
        2048,
        512,
        ("bands",),
        ("acceleration",),
    )


def test_a_band_to_demodulate_goes_with_its_front_end():
    assert window("motor_current").envelope == (20, 80)
    assert window("motor_current", front=["bands"]).envelope is None
    assert window("motor_current", front=["envelope"]).envelope == (20, 80)


def test_a_recipe_that_was_written_down_reads_the_same():
    recipe = parse(
        {"fleet": {"devices": [{"simulator": "motor_current", "window": {"front": ["raw"]}}]}}, "here"
    )
    again = parse(tomllib.loads(dump(recipe)), "there")
    assert again.fleet.devices[0].window == recipe.fleet.devices[0].window


def test_features_are_named_by_channel_and_devices_have_as_many_windows_as_samples():
    recipe = parse({"fleet": {"simulator": "waveform", "count": 2, "samples": 60}}, "here")
    for table in raw_tables(recipe):
        assert table.x.shape == (60, 6 * (8 + 16))
        assert table.features[0] == "Ia.mean"
        assert table.features[-1] == "Vc.band_15"
        assert set(table.kinds) - {"normal"}


def test_a_wrong_window_is_one_sentence():
    with pytest.raises(RecipeError, match="length"):
        window(length=0)

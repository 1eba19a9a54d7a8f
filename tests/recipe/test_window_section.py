"""The recipe's section on windows: what goes together, and one sentence on what does not."""

import tomllib

import pytest

from fedmetaalign import recipe
from fedmetaalign.errors import RecipeError

HEAD = 'name = "hum"\n[fleet]\ntable = "*.csv"\nlabel = "state"\n'


def parsed(window, fleet="", more=""):
    return recipe.parse(tomllib.loads(f"{HEAD}{fleet}\n[fleet.window]\n{window}\n{more}"), "r.toml")


def test_channels_are_the_features_and_windows_give_the_network_its_inputs():
    found = parsed('length = 64\nchannels = ["x", "y"]\nfront = ["raw"]')
    assert found.fleet.features == ("x", "y")
    assert found.model.inputs == 128
    assert parsed('length = 64\nchannels = ["x", "y"]\nfront = ["bands"]\nbands = 6').model.inputs == 12


def test_what_is_written_down_is_read_again():
    found = parsed('points = "t*"', 'features = ["t0", "t1"]', "[splits]\nkind = 'units'\nunit = 'lot'")
    assert recipe.parse(tomllib.loads(recipe.dump(found)), "again") == found


def test_every_device_has_the_windows_of_the_fleet_but_for_one_with_its_own():
    found = recipe.parse(
        tomllib.loads(
            'name = "two"\n[fleet.window]\nlength = 64\nchannels = ["x"]\nfront = ["raw"]\n'
            '[[fleet.devices]]\ntable = "a.csv"\nlabel = "y"\n'
            '[[fleet.devices]]\ntable = "b.csv"\nlabel = "y"\n[fleet.devices.window]\nlength = 32\n'
            'channels = ["z"]\nfront = ["raw"]\n'
        ),
        "r.toml",
    )
    assert [(each.window.length, each.features) for each in found.fleet.sources] == [(64, ("x",)), (32, ("z",))]


def test_a_source_with_a_time_is_not_split_by_it_where_recordings_are_whole():
    assert parsed('length = 64\nchannels = ["x"]', 'time = "t"').splits.kind == "rows"


@pytest.mark.parametrize(
    ("window", "says"),
    [
        (
            'length = 9\nstride = 0\nchannels = ["x"]',
            "fleet.window.stride = 0 must be greater than or equal to 1.",
        ),
        (
            'points = "t*"\nlength = 9',
            "fleet.window has points, which says that a row is a window, and length, which is of rows that are"
            " samples: drop one of them.",
        ),
        (
            "stride = 9",
            'fleet.window needs length, the samples of a window; or points, such as "t*", where a row is a'
            " window.",
        ),
        (
            'length = 64\nchannels = ["x"]\nbands = 32',
            "fleet.window cannot be used: 64 numbers in segments of 256 points have 31 frequencies, too few for"
            " 32 bands: give fewer bands, or longer windows or segments.",
        ),
        (
            'length = 64\nchannels = ["x"]\nfront = ["raw"]\nbands = 8',
            "fleet.window has bands, which its front end 'raw' has no use for: drop it.",
        ),
        (
            'length = 64\nchannels = ["x"]\nfront = ["envelope"]',
            'fleet.window has the front end "envelope", and not the band that it demodulates: add envelope ='
            " [low, high], in Hz.",
        ),
        (
            'length = 64\nchannels = ["x", "x"]',
            "fleet.window names 'x' twice: drop one of them.",
        ),
        (
            'length = 64\nchannels = ["x"]\nspeed = "state"',
            "fleet has window.speed = 'state', a column with another meaning: drop one.",
        ),
        (
            'length = 64\nchannels = ["x"]\nwindow = "hann"',
            "unknown key fleet.window.window; the nearest known one is bands.",
        ),
        (
            'length = 64\nchannels = ["x"]\nlabel = "first"',
            "fleet.window.label = 'first' must be 'any', 'last', 'majority' or 'all'.",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(window, says):
    with pytest.raises(RecipeError) as caught:
        parsed(window)
    assert str(caught.value) == f"r.toml: {says}"


@pytest.mark.parametrize(
    ("fleet", "more", "says"),
    [
        (
            'missing_values = "flag"',
            "",
            'fleet has missing_values = "flag", and a window, whose features have no input to say so: take'
            ' "drop", "median" or "last".',
        ),
        (
            'features = ["y"]',
            "",
            "fleet has the feature 'y', and in its window channels that are others: with a window these are all"
            " its features.",
        ),
        (
            "partition = { gain = 0.1 }",
            "",
            "fleet has partition.gain, by which sensors read too much or too little, and windows, whose"
            " features do not grow with it: drop one of them.",
        ),
        (
            "partition = { count = 3 }",
            "",
            "fleet has a partition, which deals out rows, and a window of several rows: cut the table by"
            " `device`.",
        ),
        (
            "",
            "[splits]\ntest_units = [21]",
            'splits has test_units, values of a column: name it as unit, with kind = "units".',
        ),
    ],
)
def test_what_does_not_go_with_windows_is_one_sentence(fleet, more, says):
    with pytest.raises(RecipeError) as caught:
        parsed('length = 64\nchannels = ["x"]', fleet, more)
    assert str(caught.value) == f"r.toml: {says}"

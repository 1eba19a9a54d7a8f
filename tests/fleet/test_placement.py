"""Features of one name and unit share an input, whatever the order of columns and devices."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.fleet.placement import Layout, agreed, as_known, layout, notices, relatives
from fedmetaalign.recipe import Model

NINE = Model()


def features(names):
    """Features without a unit, each named by a letter."""
    return tuple((name, "") for name in names)


def placed(devices, model=NINE):
    """What each input of each device takes, by letter, "." for none."""
    named = {name: features(names) for name, names in devices.items()}
    found = layout(named, model.inputs)
    columns = {name: found.columns(named[name], model) for name in devices}
    return {name: "".join("." if i < 0 else devices[name][i] for i in columns[name]) for name in devices}


@pytest.mark.parametrize(
    ("count", "padding", "expected"),
    [
        (6, "zeros", [0, 1, 2, 3, 4, 5, -1, -1, -1]),
        (6, "repeat", [0, 1, 2, 3, 4, 5, 0, 1, 2]),
        (4, "repeat", [0, 1, 2, 3, 0, 1, 2, 3, 0]),
        (1, "zeros", [0, -1, -1, -1, -1, -1, -1, -1, -1]),
        (9, "zeros", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (9, "repeat", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_a_device_that_shares_nothing_is_laid_from_the_first_input_on(count, padding, expected):
    own, model = features("abcdefghi"[:count]), Model(padding=padding)
    assert layout({"one": own}, 9).columns(own, model).tolist() == expected
    assert layout({"one": own, "other": features("uvwxyz")}, 9).columns(own, model).tolist() == expected
    assert Layout().columns(own, model).tolist() == expected


def test_a_known_feature_takes_the_known_input_and_a_new_one_the_first_that_nobody_has():
    devices = {"a": "vt", "b": "tv", "c": "xtv", "d": "yt", "e": "uw"}
    assert placed(devices, Model(inputs=5)) == {
        "a": "vt...",
        "b": "vt...",
        "c": "vtx..",
        "d": ".t.y.",
        "e": "uw...",  # shares nothing: over the others
    }


def test_two_kinds_that_a_third_device_joins_keep_apart():
    # By itself each would begin at the first input, and "c" would have two features for one.
    assert placed({"a": "pq", "b": "rs", "c": "pr"}, Model(inputs=4)) == {"a": "pq..", "b": "..rs", "c": "p.r."}


def test_where_no_input_is_left_features_of_another_family_and_then_of_the_own_share_one():
    apart = {"a": "pqr", "b": "xy", "c": "xyz"}
    assert placed(apart, Model(inputs=3)) == {"a": "pqr", "b": "xy.", "c": "xyz"}
    crowded = {"a": "pqr", "b": "pst"}
    assert placed(crowded, Model(inputs=3)) == {"a": "pqr", "b": "pst"}
    # "q" and "s" share an input, and "c" has both: who came first stays.
    assert placed({**crowded, "c": "sqp"}, Model(inputs=3))["c"] == "pqs"


def test_a_missing_feature_s_input_is_zero_also_where_features_are_repeated():
    repeat = Model(inputs=6, padding="repeat")
    assert placed({"a": "xyz", "b": "zx"}, repeat) == {"a": "xyzxyz", "b": "x.zxzx"}


def test_a_feature_in_another_unit_is_another_feature():
    devices = {"a": (("t", "K"), ("v", "mm")), "b": (("v", "mm"), ("t", "°C"))}
    found = layout(devices, 9)
    assert found.columns(devices["b"], NINE).tolist() == [-1, 0, 1, -1, -1, -1, -1, -1, -1]
    assert tuple(notices(devices, 9)) == (
        "The same name in unlike units is not the same feature: 't' in K on a, in °C on b; use one"
        " unit, or say in fleet.conversions how to turn them into one.",
    )


def test_a_feature_whose_unit_nobody_states_or_all_spell_otherwise_is_the_same_feature():
    told = {"a": [("t", "degC"), ("v", "")], "b": [("t", ""), ("v", "mm")], "c": [("v", "mm"), ("t", "°C")]}
    assert agreed(told) == {
        "a": (("t", "degC"), ("v", "mm")),
        "b": (("t", "degC"), ("v", "mm")),
        "c": (("v", "mm"), ("t", "degC")),
    }
    assert relatives({"a": [("t", "K")], "b": [("t", "")]}) == {"a": 0, "b": 0}
    # Two units that differ: nobody can tell which of them the third has.
    apart = {"a": (("t", "K"),), "b": (("t", "°C"),), "c": (("t", ""),)}
    assert agreed(apart) == apart and len({*relatives(apart).values()}) == 3


def test_a_late_device_s_features_are_called_as_its_fleet_calls_them():
    known = [("t", "degC"), ("v", ""), ("p", "bar"), ("p", "psi")]
    for own, called in (
        (("t", ""), ("t", "degC")),
        (("t", "°C"), ("t", "degC")),
        (("t", "K"), ("t", "K")),
        (("v", "mm"), ("v", "")),
        (("p", ""), ("p", "")),
        (("p", "psi"), ("p", "psi")),
    ):
        assert as_known([own], known) == (called,), own


fleets = st.dictionaries(
    st.sampled_from(["d1", "d2", "d3", "d4", "d5"]),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True).map("".join),
    min_size=1,
)


@settings(max_examples=200, deadline=None)
@given(fleets, st.integers(5, 9), st.sampled_from(["zeros", "repeat"]), st.randoms(use_true_random=False))
def test_a_feature_has_one_input_and_the_order_of_later_columns_is_no_matter(fleet, inputs, padding, random):
    model = Model(inputs=inputs, padding=padding)
    found = placed(fleet, model)
    for name, text in found.items():
        assert set(text) - {"."} == set(fleet[name])
    assert placed(dict(reversed(fleet.items())), model) == found
    if len(set("".join(fleet.values()))) <= inputs and padding == "zeros":
        places = {(letter, text.index(letter)) for text in found.values() for letter in text if letter != "."}
        assert len(places) == len({letter for letter, _ in places})
    first = min(fleet)
    for name in set(fleet) - {first}:
        kin = [other for other in sorted(fleet) if other < name and set(fleet[other]) >= set(fleet[name])]
        if kin:  # all its features are known before it comes
            turned = "".join(random.sample(fleet[name], len(fleet[name])))
            assert placed({**fleet, name: turned}, model) == found


def test_one_that_is_not_of_the_fleet_takes_the_known_inputs_in_any_order():
    found = layout({"a": features("xyz"), "b": features("pq")}, 6)
    for own in permutations("zxp"):  # of both families: x and p would share an input
        columns = found.columns(features(own), Model(inputs=6))
        text = "".join("." if i < 0 else own[i] for i in columns)
        assert text == "x.zp.."


class TestNotices:
    @staticmethod
    def of(devices, inputs=9, public=""):
        return tuple(
            notices({name: features(names) for name, names in devices.items()}, inputs, features(public))
        )

    def test_a_fleet_of_equal_or_of_unlike_devices_says_nothing(self):
        assert self.of({"a": "xy", "b": "yx", "c": "pqr"}, public="xp") == ()

    def test_who_lacks_and_who_adds(self):
        devices = {"a": "xyz", "b": "xyz", "c": "xz", "d": "xzw", "e": "xyz", "f": "xyzv"}
        assert self.of(devices) == (
            "Some devices lack features of others, and have zeros in their place: 'y' on c and d.",
            "Some devices add features, whose inputs are zero on the others: 'w' on d; 'v' on f.",
        )

    def test_long_lists_are_cut(self):
        devices = {f"d{i}": "xyz" for i in range(10)} | {f"e{i}": "x" for i in range(7)}
        assert self.of(devices) == (
            "Some devices lack features of others, and have zeros in their place: 'y' and 'z' on e0,"
            " e1, e2, e3, e4 and 2 more.",
        )

    def test_too_few_inputs(self):
        assert self.of({"a": "xyz", "b": "xuv"}, 4)[-1] == (
            "Devices that share features have 5 between them, and the network takes 4: some input stands for"
            " unlike features until you raise model.inputs to 5."
        )

    def test_units_that_differ_or_are_missing(self):
        devices = {"a": [("t", "K"), ("v", "")], "b": [("t", "K"), ("v", "")], "c": [("v", ""), ("t", "")]}
        assert tuple(notices(devices, 9, [("t", "°C")])) == (
            "Where nothing states the unit of a feature, it is taken for the one that others state: 't' in K on"
            " c; correct it with units.",
            "The same name in unlike units is not the same feature: 't' in K on a, b and c, in °C on the public"
            " table; use one unit, or say in fleet.conversions how to turn them into one.",
        )
        devices |= {"d": [("t", "°C")]}
        assert tuple(notices(devices, 9)) == (
            "The same name in unlike units is not the same feature: 't' in K on a and b, without a unit on c,"
            " in °C on d; use one unit, or say in fleet.conversions how to turn them into one.",
        )


def test_columns_are_whole_numbers():
    assert layout({"a": features("xy")}, 9).columns(features("yx"), NINE).dtype == np.int64

"""The quantiles of a feature, of one device and of several, and the map to normal scores that they make."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.recipe import parse

score = NormalDist().inv_cdf


any_values = st.one_of(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80),
    st.lists(st.integers(-6, 6), min_size=1, max_size=80),
).map(lambda values: np.array(values, np.float64))
"""Samples of a feature: any, or such as often are the same."""


def test_ties_have_the_middle_of_their_ranks():
    # Of eight samples one 2, three 4, two 5, a 7 and a 9: ranks 0.5, 2.5, 5, 6.5 and 7.5.
    sketch = Sketch.of(np.array([5.0, 4, 2, 7, 4, 9, 5, 4]))
    assert (sketch.count, sketch.knots.tolist()) == (8, [2, 4, 5, 7, 9])
    assert sketch.ranks.tolist() == [0.5, 2.5, 5, 6.5, 7.5]
    curve = curve_of([sketch])
    assert curve.knots[1:-1] == (2, 4, 5, 7, 9)
    assert curve.levels[3:-1] == tuple(map(score, (10 / 16, 13 / 16, 15 / 16)))
    assert curve.levels[1:3] == pytest.approx((-1.5341, -0.4888), abs=1e-4)
    # It goes on with the mean slope, 2 * 1.5341 in 7.
    assert curve.knots[0] == pytest.approx(2 - (4 - 1.5341) * 7 / (2 * 1.5341), abs=1e-3)


def test_a_switch_that_is_on_in_one_sample_of_four():
    curve = curve_of([Sketch.of(np.array([0.0, 1, 0, 0]))])
    assert curve.apply(np.array([0.0, 1.0])).tolist() == pytest.approx([-0.3186, 1.1503], abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 5.0, -273.15, 1e6, 1 / 3, 1e-320])
def test_a_constant_feature_becomes_0_whatever_is_measured_later(value):
    noise = value * (1 + np.random.default_rng(0).choice([0, 1.2e-16, -1.2e-16], 99))
    for samples in (np.full(7, value), noise):
        curve = curve_of([Sketch.of(samples)])
        assert curve.apply(np.array([value - 1, value, value + 1])).tolist() == [0, 0, 0]


def test_of_values_beyond_a_score_of_3_the_innermost_stays():
    # Ranks 0.5, 1.5 and 2.5 of 10,000 all have scores below -3.
    samples = np.concatenate([[-9.0, -8.0, -7.0], np.zeros(9996), [1.0]])
    curve = curve_of([Sketch.of(samples)])
    assert curve.knots[1:-1] == (-7.0, 0.0, 1.0)
    assert curve.levels[1] == pytest.approx(-3, abs=1e-4) and curve.levels[-2] == 3


def test_it_is_rank_to_normal_to_a_fifth_with_33_knots():
    x = np.random.default_rng(0).lognormal(0, 2, 5000)
    sketch = Sketch.of(x)
    assert 25 < len(sketch.knots) <= 33 and np.isin(sketch.knots, x).all()
    expected = norm.ppf((rankdata(x) - 0.5) / len(x))
    inside = np.abs(expected) < 3
    assert np.abs(curve_of([sketch]).apply(x) - expected)[inside].max() < 0.2
    assert np.abs(curve_of([sketch]).apply(x)).max() <= 4


@given(any_values)
@settings(max_examples=60, deadline=None)
def test_a_sketch_is_of_values_that_occur_at_their_ranks(values):
    sketch = Sketch.of(values)
    ranks = dict(zip(values.tolist(), (rankdata(values) - 0.5).tolist(), strict=True))
    assert 0 < len(sketch.knots) <= 33 and (np.diff(sketch.knots) > 0).all()
    assert [ranks[knot] for knot in sketch.knots.tolist()] == sketch.ranks.tolist()
    if len(ranks) <= 33:
        assert sketch.knots.tolist() == sorted(ranks)


@given(st.lists(any_values, min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_devices_changes_no_bit(shares, random):
    sketches = [Sketch.of(share) for share in shares]
    turned = random.sample(sketches, len(sketches))
    assert curve_of(turned) == curve_of(sketches)


@given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=60), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_devices_with_few_values_lose_nothing_when_they_are_merged(shares):
    # They have the same values: what lies between those of a device cannot be known.
    shares = [np.array([*share, *range(-9, 10)], np.float64) for share in shares]
    merged = curve_of([Sketch.of(share) for share in shares])
    assert merged == curve_of([Sketch.of(np.concatenate(shares))])


def test_the_merged_map_is_nearly_that_of_all_samples_together():
    random = np.random.default_rng(1)
    shares = [random.normal(10 * i, 1 + i, 80) ** 3 for i in range(6)]
    x = np.concatenate(shares)
    merged = curve_of([Sketch.of(share) for share in shares])
    together = curve_of([Sketch.of(x)])
    assert np.abs(merged.apply(x) - together.apply(x)).max() < 0.25
    assert len(merged.knots) <= 35


# In a fleet


@pytest.fixture
def table(here):
    def write(name, x, faults=None):
        faults = np.arange(len(x)) % 2 if faults is None else faults
        lines = [f"{value!r},{fault}" for value, fault in zip(x.tolist(), faults, strict=True)]
        (here / f"{name}.csv").write_text("a,fault\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return {"name": name, "table": str(here / f"{name}.csv"), "label": "fault", "features": ["a"]}

    return write


def built(*devices, public=None, **fleet):
    foundation = (
        {key: value for key, value in public.items() if key != "name"} if public else {"enabled": False}
    )
    return build(
        parse(
            {"fleet": {"devices": devices, "encoding": "quantiles", **fleet}, "foundation": foundation},
            "here",
        ),
        unseen_devices=True,
    )


def test_a_device_s_own_quantiles_hide_what_the_fleet_s_show(table):
    random = np.random.default_rng(0)
    devices = [table(name, random.lognormal(mean, 1, 200)) for name, mean in (("cold", 0), ("hot", 9))]
    own, fleet = built(*devices), built(*devices, scaling="fleet")
    assert [abs(d.train.x[:, 0].mean()) < 0.02 for d in own.devices] == [True, True]
    assert own.devices[0].train.x[:, 0].std() == pytest.approx(1, abs=0.05)
    cold, hot = fleet.devices
    assert cold.train.x[:, 0].max() < 0.1 and hot.train.x[:, 0].min() > -0.1
    assert cold.preparation == replace(hot.preparation, fill=cold.preparation.fill)


def test_unseen_devices_and_public_samples_take_the_fleet_s_map(table):
    random = np.random.default_rng(0)
    devices = [table(name, random.normal(level, 1, 200)) for name, level in (("a", 0), ("b", 0), ("z", 50))]
    public = table("public", random.normal(-50, 1, 100))
    fleet = built(*devices, public=public, scaling="fleet", unseen={"count": 1})
    unseen, member = fleet.unseen_devices[0].preparation, fleet.devices[0].preparation
    assert unseen == replace(member, fill=unseen.fill)
    assert (fleet.unseen_devices[0].train.x[:, 0] == 4).all()
    assert (fleet.public.support.x[:, 0] == -4).all()
    own = built(*devices, public=public)
    assert own.public.support.x[:, 0].std() == pytest.approx(1, abs=0.05)

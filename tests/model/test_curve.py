"""The map of a feature to a normal score, and a preparation that has one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.model.curve import Curve
from fedmetaalign.model.preparation import Preparation

CURVE = Curve((-10.0, 0.0, 1.0, 3.0), (-4.0, 0.0, 2.0, 4.0))
PREPARATION = Preparation(("a", "b"), ("", ""), {}, (0.0,) * 2, (1.0,) * 2, (1, 0, -1), (CURVE, CURVE))


@st.composite
def curves(draw):
    """A map through rising points, with its ends."""
    knots = sorted(draw(st.sets(st.floats(-1e9, 1e9), min_size=1, max_size=33)))
    levels = draw(st.sets(st.integers(-3000, 3000), min_size=len(knots), max_size=len(knots)))
    return Curve.through(knots, [level / 1000 for level in sorted(levels)])


def test_a_map_goes_on_with_its_mean_slope_and_is_constant_beyond_4():
    # From (0, -1) to (6, 2) it rises by 1/2 on average: -4 is reached at -6, and 4 at 10.
    curve = Curve.through([0.0, 1.0, 6.0], [-1.0, 1.0, 2.0])
    assert curve == Curve((-6.0, 0.0, 1.0, 6.0, 10.0), (-4.0, -1.0, 1.0, 2.0, 4.0))
    x = np.array([-1e300, -7, -6, -3, 0, 0.5, 1, 3.5, 6, 8, 10, 11, np.inf])
    assert curve.apply(x).tolist() == [-4, -4, -4, -2.5, -1, 0, 1, 1.5, 2, 3, 4, 4, 4]
    assert (curve.middle, curve.unit) == (0.5, 2.0)


def test_a_constant_feature_becomes_0():
    curve = Curve.through([5.0], [0.0])
    assert curve.apply(np.array([-1e9, 5.0, 6.0, np.inf])).tolist() == [0, 0, 0, 0]
    assert curve.inverse(np.array([-1.0, 0.0])).tolist() == [5, 5]
    assert (curve.middle, curve.unit) == (5.0, 1.0)


@given(curves(), st.lists(st.floats(-1e10, 1e10), min_size=2))
@settings(max_examples=200, deadline=None)
def test_no_greater_value_has_a_smaller_level(curve, values):
    levels = curve.apply(np.sort([*values, *curve.knots]))
    assert (np.diff(levels) >= 0).all() and np.abs(levels).max() <= 4
    assert curve.apply(np.array(curve.knots)).tolist() == list(curve.levels)


@given(curves(), st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_inverse_undoes_apply_within_the_range(curve, shares):
    low, high = curve.knots[0], curve.knots[-1]
    raw = low + (high - low) * np.array(shares)
    # Where it is flat, as far as a rounded level can tell: of levels at most 4 by 2**-51.
    slopes = np.diff(curve.knots) / np.diff(curve.levels) if len(curve.knots) > 1 else np.zeros(1)
    np.testing.assert_allclose(
        curve.inverse(curve.apply(raw)), raw, rtol=1e-9, atol=1e-9 * (high - low) + slopes.max() * 2.0**-48
    )


def test_a_preparation_maps_each_feature_and_back():
    raw = np.array([[0.5, -5.0], [2.0, 0.0], [99.0, -99.0]])
    inputs = PREPARATION.apply(raw)
    assert inputs.dtype == np.float32
    assert inputs.tolist() == [[-2, 1, 0], [0, 3, 0], [-4, 4, 0]]
    assert PREPARATION.raw(inputs).tolist() == [[0.5, -5], [2, 0], [3, -10]]
    assert PREPARATION.apply(np.zeros((0, 2))).shape == (0, 3)


@pytest.mark.parametrize(
    ("knots", "levels", "wrong"),
    [
        ((), (), "as many levels as knots, and of these 1 to 35"),
        ((0.0, 1.0), (0.0,), "as many levels as knots"),
        (tuple(map(float, range(36))), tuple(i / 10 for i in range(36)), "as many levels as knots"),
        ((0.0, 0.0), (0.0, 1.0), "must be finite, and rise"),
        ((0.0, 1.0), (1.0, 1.0), "must be finite, and rise"),
        ((1.0, 0.0), (0.0, 1.0), "must be finite, and rise"),
        ((0.0, np.nan, 1.0), (0.0, 1.0, 2.0), "must be finite, and rise"),
        ((0.0, 1.0), (np.nan, 1.0), "must be finite, and rise"),
        ((0.0, np.inf), (0.0, 1.0), "must be finite, and rise"),
        ((-1e308, 1e308), (0.0, 1.0), "must be finite, and rise"),
        ((np.nan,), (0.0,), "must be finite, and rise"),
        ((0.0, 1.0), (0.0, 4.1), "lie between -4 and 4"),
    ],
)
def test_what_is_no_map_is_refused(knots, levels, wrong):
    with pytest.raises(ValueError, match=wrong):
        Curve(knots, levels)


def test_a_preparation_has_a_curve_for_each_feature_or_none():
    with pytest.raises(ValueError, match="a curve for each feature, or none at all"):
        replace(PREPARATION, curves=(CURVE,))

"""Intervals of shares, against tables that others have printed and SciPy's search for the same ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from fedmetaalign.evaluation.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("hits", "samples", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (0, 100, 0.0, 0.0362),
        (1, 100, 0.0003, 0.0545),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_known_intervals(hits, samples, low, high):
    assert clopper_pearson(hits, samples) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_scipy_comes_to_the_same(counts):
    expected = binomtest(*counts).proportion_ci(0.95, "exact")
    assert clopper_pearson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_upper_end_holds_for_a_threshold_that_the_samples_chose():
    # Above the third highest of 50 lies a share that follows Beta(3, 48), and two of them are above it.
    assert clopper_pearson(2, 50)[1] == pytest.approx(beta.ppf(0.975, 3, 48), abs=1e-12)


@pytest.mark.parametrize("counts", [(3, 2), (-1, 2)])
def test_no_share(counts):
    with pytest.raises(ValueError, match="is no share"):
        clopper_pearson(*counts)

"""How unlike its fleet a device is, by the normal scores of what it measures."""

import numpy as np
import pytest
from scipy.stats import norm

from fedmetaalign.evaluation.novelty import most_unlike

ALIKE = norm.ppf((np.arange(100) + 0.5) / 100)


def test_the_feature_that_is_most_unlike_is_found():
    apart = np.full(100, 3.0)
    worst, distance = most_unlike(np.stack([ALIKE, apart, ALIKE + 1], axis=1))
    assert worst == 1 and distance == pytest.approx(norm.cdf(3.0))


def test_a_shift_by_one_standard_deviation_by_hand():
    # The largest difference of two unit normals one apart lies halfway: Phi(1/2) - Phi(-1/2).
    _, distance = most_unlike((ALIKE + 1)[:, None])
    assert distance == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.01)


def test_who_is_as_the_fleet_is_not_new():
    assert most_unlike(ALIKE[:, None])[1] < 0.01

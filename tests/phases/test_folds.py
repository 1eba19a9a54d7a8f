"""Folds of a device's samples: each has its share of both kinds, and of a handful none has all."""

import numpy as np
import pytest

from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import BINARY
from fedmetaalign.phases.folds import folds


def dealt(y, count, device="pump"):
    samples = Samples(np.zeros((len(y), 1), np.float32), np.array(y, np.float32))
    return folds(samples, BINARY, count, 0, device)


def test_each_fold_has_its_share_of_both_kinds():
    y = np.array([0] * 30 + [1] * 9)
    found = dealt(y, 3)
    assert [np.bincount(found[y == kind]).tolist() for kind in (0, 1)] == [[10] * 3, [3] * 3]


@pytest.mark.parametrize("y", [[0, 1], [0, 0], [0, 1, 1], [0, 0, 1, 1]])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_fold_has_all_of_a_handful(y, count):
    for device in "abcdefghij":
        assert len(set(dealt(y, count, device).tolist())) > 1

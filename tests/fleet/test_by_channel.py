"""Raw windows are scaled by channel."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.by_channel import groups_of, medians
from fedmetaalign.fleet.prepare import moments_of
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Window


def windows(front, rule="reject"):
    x = np.random.default_rng(0).normal([3, 50], [1, 9], (64, 2))
    table = Table("pump", ("flow", "heat"), x, np.zeros(64, np.int8), ("l/s", "K"), missing=Missing(rule))
    return x, windowed(table, Window(length=8, stride=8, front=front))


def test_the_samples_of_a_channel_share_its_moments_and_its_median():
    x, table = windows(("statistics", "raw"))
    mean, scale = moments_of(table, np.arange(8)).standardization()
    raw = [name.rpartition(".")[2].isdigit() for name in table.features]
    assert sum(raw) == 16
    np.testing.assert_allclose(mean[raw].reshape(8, 2), np.tile(x.mean(axis=0), (8, 1)), rtol=1e-6)
    np.testing.assert_allclose(scale[raw].reshape(8, 2), np.tile(x.std(axis=0), (8, 1)), rtol=1e-6)
    assert len(set(mean[raw].tolist())) == len(set(scale[raw].tolist())) == 2
    others = ~np.array(raw)
    np.testing.assert_allclose(scale[others], table.x[:, others].std(axis=0), rtol=1e-12)
    middle = medians(table.x, groups_of(table))
    np.testing.assert_allclose(middle[raw].reshape(8, 2), np.tile(np.median(x, axis=0), (8, 1)), rtol=1e-6)


def test_other_front_ends_share_nothing():
    assert groups_of(windows(("statistics",))[1]) is None


def test_raw_windows_have_no_flags():
    with pytest.raises(
        DataError, match='its windows are raw, and missing_values = "flag" would add an input for'
    ):
        groups_of(windows(("raw",), "flag")[1])

"""Forests that are grown side by side."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fedmetaalign.model.online import Samples
from fedmetaalign.phases.trees import forest, of_every_class


def test_forests_of_two_threads_leave_the_filters_of_warnings_as_they_are():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3)).astype(np.float32)
    samples = Samples(x, (x[:, 0] > 0).astype(np.float32))
    before = [*warnings.filters]
    with ThreadPoolExecutor(2) as pool:
        each = [*pool.map(lambda seed: of_every_class(forest(samples, seed), 2, x), [0] * 6)]
    assert [*warnings.filters] == before
    assert all((one == each[0]).all() for one in each)

"""Windows that are moved in time."""

import numpy as np
import pytest

from fedmetaalign.errors import RecipeError
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.shifting import shifted
from fedmetaalign.recipe import parse


def test_each_window_moves_as_a_whole_by_at_most_so_many_steps():
    x = np.tile(np.arange(12, dtype=np.float32), (50, 1))  # six steps of two channels: 0 1, 2 3, ...
    found = shifted(Samples(x, np.zeros(50, np.float32)), 1, 2, np.random.default_rng(0)).x.tolist()
    by = {-1: [*range(2, 12), 0, 1], 0: [*range(12)], 1: [10, 11, *range(10)]}
    assert all(row in by.values() for row in found)
    assert all(row in found for row in by.values())


def test_who_has_no_windows_is_told_so():
    with pytest.raises(RecipeError, match=r"serial\.shift = 2 moves windows in time, .* drop it"):
        parse({"method": "fleet", "fleet": {"simulator": "feeder", "count": 2}, "serial": {"shift": 2}}, "here")

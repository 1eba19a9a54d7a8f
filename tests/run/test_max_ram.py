"""`deploy.max_ram`: what a device has no room for is said before training."""

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.run import checked_fleet

SETTINGS = ("fleet.count=2", "fleet.samples=80")


def recipe_of(ram, *more):
    return recipes.load("vibration", (*SETTINGS, f"deploy.max_ram={ram}", *more))


def test_ram_that_suffices_is_accepted_and_one_byte_less_is_not():
    with pytest.raises(RunError) as caught:
        checked_fleet(recipe_of(4000))
    sentence = str(caught.value)
    assert sentence.startswith("deploy.max_ram = 4000 cannot be met: device vibration-")
    assert "4,108 for a window" in sentence
    needed = int(sentence.split(" takes ")[1].split(" bytes")[0].replace(",", ""))
    assert np.ptp([needed, 5_700]) < 100
    checked_fleet(recipe_of(needed))
    with pytest.raises(RunError, match=f"max_ram = {needed - 1} cannot be met"):
        checked_fleet(recipe_of(needed - 1))

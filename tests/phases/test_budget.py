"""The budget of a comparison is what the paper's phases take."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedmetaalign.fleet.device import Part
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.budget import own_steps, shared_steps
from fedmetaalign.recipe import parse


def part(rows):
    return Part(Samples(np.zeros((rows, 9)), np.zeros(rows)), Samples(np.zeros((99, 9)), np.zeros(99)))


DEVICE = SimpleNamespace(parts={"serial": part(3), "parallel": part(50), "personalize": part(700)})


def budget(**sections):
    recipe = parse({"fleet": {"simulator": "feeder"}, **sections}, "here")
    return shared_steps(recipe, DEVICE, 5), own_steps(recipe, DEVICE)


@pytest.mark.parametrize(
    ("sections", "shared", "own"),
    [
        ({}, 10 * 3 + 10 * 50, 10 * 700),
        ({"serial": {"rounds": 2, "tours": 5, "epochs": 7}}, 2 * 5 * 7 * 3 + 10 * 50, 10 * 700),
        ({"parallel": {"rounds": 2, "epochs": 7}}, 10 * 3 + 2 * 7 * 50, 10 * 700),
        # A device expects to be asked in a fifth of the parallel rounds; the tour visits all.
        ({"parallel": {"rounds": 4, "cohort": 0.2}}, 10 * 3 + 0.2 * 4 * 50, 10 * 700),
        ({"personalize": {"epochs": 1}}, 10 * 3 + 10 * 50, 700),
        ({"serial": {"rounds": 0}, "parallel": {"rounds": 0}}, 0, 10 * 700),
    ],
)
def test_by_hand(sections, shared, own):
    assert budget(**sections) == (pytest.approx(shared), own)

"""The budget of a comparison is what the paper's phases take."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.fleet.device import Part
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.budget import cohort_size, own_steps, participation, shared_steps
from fedmetaalign.phases.server import cohort
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
        # Of five devices, 0.5 asks two (2.5, half to even) and 0.01 asks one.
        ({"parallel": {"rounds": 4, "cohort": 0.5}}, 10 * 3 + 0.4 * 4 * 50, 10 * 700),
        ({"parallel": {"rounds": 4, "cohort": 0.01}}, 10 * 3 + 0.2 * 4 * 50, 10 * 700),
        ({"personalize": {"epochs": 1}}, 10 * 3 + 10 * 50, 700),
        ({"serial": {"rounds": 0}, "parallel": {"rounds": 0}}, 0, 10 * 700),
    ],
)
def test_by_hand(sections, shared, own):
    assert budget(**sections) == (pytest.approx(shared), own)


@pytest.mark.parametrize(
    ("share", "devices", "size"),
    [
        (1.0, 3, 3),
        (0.34, 3, 1),
        (0.5, 3, 2),  # 1.5, half to even
        (0.5, 2, 1),
        (0.01, 3, 1),
        (0.9, 3, 3),
        (0.3, 10, 3),
        (0.2, 1, 1),
    ],
)
def test_a_cohort_is_a_whole_number_of_devices(share, devices, size):
    assert cohort_size(share, devices) == size
    recipe = parse({"fleet": {"simulator": "feeder"}, "parallel": {"cohort": share}}, "here")
    assert participation(recipe, devices) == size / devices


def test_of_rounds_of_two_deltas_a_device_expects_two_fifths_in_a_fleet_of_five():
    recipe = parse({"fleet": {"simulator": "feeder"}, "parallel": {"asynchronous": 2}}, "here")
    assert participation(recipe, 5) == 0.4


@given(st.floats(0.001, 1), st.integers(1, 60))
def test_as_many_are_drawn_in_every_round(share, devices):
    names = tuple(f"d{i}" for i in range(devices))
    drawn = [len(cohort(names, number, share, 0)) for number in (1, 2)]
    assert drawn == [cohort_size(share, devices)] * 2

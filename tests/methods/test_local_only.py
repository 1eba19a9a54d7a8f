"""The baseline that stands in every result: a device alone, with the steps that the federation spends."""

import numpy as np
import pytest

from fedmetaalign.fleet.build import build
from fedmetaalign.methods.local_only import epochs, train_alone
from fedmetaalign.model.mlp import Network, initialize, scores
from fedmetaalign.recipe import parse

NETWORK = Network(9, (8, 6))
WEIGHTS = initialize(NETWORK, np.random.default_rng(0))


def small(**sections):
    return parse(
        {
            "fleet": {"simulator": "feeder", "count": 1, "samples": 1000},
            "model": {"hidden": [8, 6]},
            "optimizer": {"learning_rate": 1e-3},
            **sections,
        },
        "here",
    )


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        # Of 1,000 samples 128, 320 and 192 support the phases, and 752 are its own but for the validation.
        ({}, 9),  # 10*128 + 10*320 + 10*192 = 6,400 steps: 8.5 passes
        ({"serial": {"rounds": 0}, "parallel": {"rounds": 0}}, 3),  # 1,920: 2.6
        ({"serial": {"rounds": 4, "tours": 3, "epochs": 2}, "parallel": {"rounds": 1}}, 7),  # 5,312: 7.06
        (
            {"serial": {"rounds": 0}, "parallel": {"rounds": 0}, "personalize": {"epochs": 1}},
            1,
        ),  # 192: at least 1
    ],
)
def test_it_takes_about_as_many_steps_as_the_federation_asks_of_the_device(sections, expected):
    recipe = small(**sections)
    device = build(recipe).devices[0]
    assert len(device.own.support) == pytest.approx(752, abs=2)
    assert epochs(recipe, device) == expected
    told = []
    train_alone(recipe, NETWORK, device, WEIGHTS, told.append)
    assert sum(told) == expected * len(device.own.support)


def test_rounds_that_a_device_sits_out_are_not_steps_that_it_takes():
    # One of ten devices a round: of 100 rounds of 320 steps a device takes part in about 10. Alone it
    # gets as many: (10*320 + 192)/752 = 4.5 passes, not (100*320 + 192)/752 = 43.
    few = small(
        fleet={"simulator": "feeder", "count": 10, "samples": 1000},
        serial={"rounds": 0},
        parallel={"rounds": 100, "cohort": 0.1},
        personalize={"epochs": 1},
    )
    passes = [epochs(few, device) for device in build(few).devices]
    assert np.mean(passes) == pytest.approx(4.5, abs=1.5)


def test_it_learns_and_repeats():
    recipe = small()
    device = build(recipe).devices[0]
    one, again = (train_alone(recipe, NETWORK, device, WEIGHTS) for _ in range(2))
    assert one.weights.tobytes() == again.weights.tobytes()

    def wrong(weights):
        return np.mean((scores(NETWORK, weights, device.own.support.x) > 0.5) != device.own.support.y)

    assert wrong(one.weights) < wrong(WEIGHTS)
    assert one.threshold.reason is None

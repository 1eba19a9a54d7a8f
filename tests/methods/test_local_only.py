"""The baseline that stands in every result: a device alone, with the steps that the federation spends."""

import numpy as np
import pytest
from two_classes import fault_probabilities

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.local_only import METHOD
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.phases.alone import train_alone
from fedmetaalign.phases.client import Client
from fedmetaalign.recipe import parse

NETWORK = Network(9, (8, 6))
LEARNER = NetworkLearner(NETWORK, 1e-3, 0)
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


def alone(recipe, unseen_devices=0):
    devices = build(recipe).devices
    cut = len(devices) - unseen_devices
    return CellRun(recipe, LEARNER, devices[:cut], devices[cut:], None, WEIGHTS)


def steps(given, device):
    """What a federated device may take in all."""
    return Client(given.recipe, device, given.learner).all_steps(len(given.federated))


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        # Of 1,000 samples 128, 320 and 192 support the phases.
        ({}, 10 * 128 + 10 * 320 + 10 * 192),
        ({"serial": {"rounds": 0}, "parallel": {"rounds": 0}}, 10 * 192),
        (
            {"serial": {"rounds": 4, "tours": 3, "epochs": 2}, "parallel": {"rounds": 1}},
            24 * 128 + 320 + 10 * 192,
        ),
        ({"serial": {"rounds": 0}, "parallel": {"rounds": 0}, "personalize": {"epochs": 1}}, 192),
    ],
)
def test_it_takes_the_steps_that_the_federation_asks_of_the_device(sections, expected):
    given = alone(small(**sections))
    given.run(METHOD)
    # How many of 1,000 samples support a phase is known to a sample or two, of the hundreds that it has.
    assert given.spent.steps == pytest.approx(expected, rel=0.01)
    assert given.spent.steps == steps(given, given.federated[0])
    assert given.spent.bytes == 0


def test_rounds_that_a_device_sits_out_are_not_steps_that_it_takes():
    # One of ten devices a round: of 100 rounds of 320 steps a device takes part in about 10. Alone it gets as
    # many: 10 * 320 + 192, not 100 * 320 + 192.
    few = small(
        fleet={"simulator": "feeder", "count": 10, "samples": 1000},
        serial={"rounds": 0},
        parallel={"rounds": 100, "cohort": 0.1},
        personalize={"epochs": 1},
    )
    given = alone(few)
    assert np.mean([steps(given, device) for device in given.federated]) == pytest.approx(3392, rel=0.01)


def test_an_unseen_device_trains_as_long_as_a_federated_one():
    few = small(fleet={"simulator": "feeder", "count": 2, "samples": 200})
    given = alone(few, unseen_devices=1)
    outcome = given.run(METHOD)
    assert list(outcome.models) == [device.name for device in given.devices]
    assert given.spent.steps == 2 * steps(given, given.federated[0])


def test_a_device_does_not_notice_the_others():
    recipe = small(fleet={"simulator": "feeder", "count": 2, "samples": 200})
    given = alone(recipe)
    single = CellRun(recipe, LEARNER, given.federated[1:], (), None, WEIGHTS)
    name = given.federated[1].name
    one, other = (each.run(METHOD).models[name].weights for each in (given, single))
    assert one.tobytes() == other.tobytes()


def test_it_learns_and_repeats():
    recipe = small()
    device = build(recipe).devices[0]
    client = Client(recipe, device, LEARNER)
    one, other = (train_alone(client, WEIGHTS, client.all_steps(1)) for _ in range(2))
    assert one.weights.tobytes() == other.weights.tobytes()

    def wrong(weights):
        return np.mean(
            (fault_probabilities(NETWORK, weights, device.own.support.x) > 0.5) != device.own.support.y
        )

    assert wrong(one.weights) < wrong(WEIGHTS)
    assert one.threshold.reason is None

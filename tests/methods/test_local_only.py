"""The baseline that stands in every result: a device alone, with the steps that the federation spends."""

import numpy as np
import pytest

from fedmetaalign.fleet.build import build
from fedmetaalign.methods._learner import Perceptron
from fedmetaalign.methods._task import Task
from fedmetaalign.methods.local_only import local_only, train_alone
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


def alone(recipe, newcomers=0):
    devices = build(recipe).devices
    cut = len(devices) - newcomers
    return Task(recipe, Perceptron(NETWORK), devices[:cut], devices[cut:], None, WEIGHTS)


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
    task = alone(small(**sections))
    told = []
    task.ledger.watch = told.append
    train_alone(task, task.members[0], task.all_steps(task.members[0]))
    # How many of 1,000 samples support a phase is known to a sample or two, of the hundreds that it has.
    assert task.ledger.steps == pytest.approx(expected, rel=0.01)
    assert task.ledger.steps == sum(told) == task.all_steps(task.members[0])
    assert task.ledger.bytes == 0


def test_rounds_that_a_device_sits_out_are_not_steps_that_it_takes():
    # One of ten devices a round: of 100 rounds of 320 steps a device takes part in about 10. Alone it gets as
    # many: 10 * 320 + 192, not 100 * 320 + 192.
    few = small(
        fleet={"simulator": "feeder", "count": 10, "samples": 1000},
        serial={"rounds": 0},
        parallel={"rounds": 100, "cohort": 0.1},
        personalize={"epochs": 1},
    )
    task = alone(few)
    assert np.mean([task.all_steps(device) for device in task.members]) == pytest.approx(3392, rel=0.01)


def test_a_newcomer_trains_as_long_as_a_member():
    few = small(fleet={"simulator": "feeder", "count": 2, "samples": 200})
    task = alone(few, newcomers=1)
    outcome = local_only(task)
    assert list(outcome.models) == [device.name for device in task.devices]
    assert task.ledger.steps == 2 * task.all_steps(task.members[0])


def test_a_device_does_not_notice_the_others():
    recipe = small(fleet={"simulator": "feeder", "count": 2, "samples": 200})
    task = alone(recipe)
    single = Task(recipe, task.learner, task.members[1:], (), None, WEIGHTS)
    name = task.members[1].name
    assert local_only(task).models[name].weights.tobytes() == local_only(single).models[name].weights.tobytes()


def test_it_learns_and_repeats():
    recipe = small()
    task, again = alone(recipe), alone(recipe)
    device = task.members[0]
    steps = task.all_steps(device)
    one, other = train_alone(task, device, steps), train_alone(again, again.members[0], steps)
    assert one.weights.tobytes() == other.weights.tobytes()

    def wrong(weights):
        return np.mean((scores(NETWORK, weights, device.own.support.x) > 0.5) != device.own.support.y)

    assert wrong(one.weights) < wrong(WEIGHTS)
    assert one.threshold.reason is None

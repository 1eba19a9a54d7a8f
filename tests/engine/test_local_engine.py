"""The fleet in this process: neither threads nor the order of the devices change a bit."""

import numpy as np
import pytest

from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.fleet.build import build
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.phases import parallel, personalize, serial
from fedmetaalign.recipe import parse

RECIPE = parse(
    {
        "fleet": {
            "devices": [
                {"simulator": "feeder", "count": 3, "samples": 300},
                {"simulator": "rotating", "count": 2, "samples": 100},
            ]
        },
        "model": {"hidden": [8, 6]},
        "optimizer": {"learning_rate": 1e-3},
        "serial": {"rounds": 1},
        "parallel": {"rounds": 2},
        "personalize": {"epochs": 2},
    },
    "here",
)
NETWORK = Network(9, (8, 6))
WEIGHTS = initialize(NETWORK, np.random.default_rng(0))
NAMES = ("feeder-00", "feeder-01", "feeder-02", "rotating-00", "rotating-01")


@pytest.fixture(scope="module")
def devices():
    return build(RECIPE).devices


def answers(devices, workers, order):
    """What every method of the engine answers, as bytes and numbers that can be compared."""
    engine = LocalEngine(RECIPE, [devices[i] for i in order], workers=workers)
    assert engine.names == NAMES
    updates = engine.train([NAMES[i] for i in order], WEIGHTS, 3)
    personal = engine.personalize(WEIGHTS)
    alone = engine.alone(WEIGHTS)
    visits = {name: engine.visit(name, WEIGHTS, 2) for name in NAMES}
    assert set(updates) == set(personal) == set(NAMES)
    return {
        name: (
            updates[name].delta.tobytes(),
            updates[name].score,
            personal[name].weights.tobytes(),
            personal[name].threshold,
            alone[name].weights.tobytes(),
            visits[name].weights.tobytes(),
            visits[name].query_loss,
        )
        for name in NAMES
    }


def test_workers_and_order_change_no_bit(devices):
    expected = answers(devices, 1, [0, 1, 2, 3, 4])
    assert len({answer[0] for answer in expected.values()}) == 5
    for workers in (1, 2, 4):
        for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
            assert answers(devices, workers, order) == expected


def test_it_carries_the_devices_steps_and_adds_nothing(devices):
    engine = LocalEngine(RECIPE, devices)
    device = devices[3]
    r = RECIPE
    visit = serial.visit(NETWORK, device, WEIGHTS, 2, r.serial, r.optimizer, r.seed)
    assert engine.visit(device.name, WEIGHTS, 2).weights.tobytes() == visit.weights.tobytes()
    update = parallel.local_update(NETWORK, device, WEIGHTS, 3, r.parallel, r.optimizer, r.seed)
    assert engine.train([device.name], WEIGHTS, 3)[device.name].delta.tobytes() == update.delta.tobytes()
    own = personalize.personalize(NETWORK, device, WEIGHTS, r.personalize, r.optimizer, r.seed)
    assert engine.personalize(WEIGHTS)[device.name].weights.tobytes() == own.weights.tobytes()


def test_only_the_named_devices_train(devices):
    told = []
    engine = LocalEngine(RECIPE, devices, told.append)
    assert set(engine.train(["rotating-01", "feeder-00"], WEIGHTS, 1)) == {"rotating-01", "feeder-00"}
    assert sum(told) == sum(len(devices[i].parts["parallel"].support) for i in (0, 4))


def test_a_device_is_not_changed_by_the_company_it_keeps(devices):
    alone = LocalEngine(RECIPE, devices[:1]).train(["feeder-00"], WEIGHTS, 1)["feeder-00"]
    together = LocalEngine(RECIPE, devices).train(NAMES, WEIGHTS, 1)["feeder-00"]
    assert alone.delta.tobytes() == together.delta.tobytes()


def test_steps_told_from_all_threads_add_up(devices):
    told = []
    LocalEngine(RECIPE, devices, told.append, workers=4).personalize(WEIGHTS)
    assert sum(told) == 2 * sum(len(device.parts["personalize"].support) for device in devices)


def test_a_failing_device_is_heard_of(devices):
    with pytest.raises(KeyError):
        LocalEngine(RECIPE, devices).train(["feeder-00", "nobody"], WEIGHTS, 1)

"""The fleet in this process: neither threads nor the order of the devices change a bit."""

import numpy as np
import pytest

from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.engine.participant import Outputs, Participant, learner_of
from fedmetaalign.federation.messages import Finish, Train, Visit
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.fed_meta_align import METHOD
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases import parallel, serial
from fedmetaalign.phases.client import Client
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
def fleet():
    return build(RECIPE)


@pytest.fixture(scope="module")
def devices(fleet):
    return fleet.devices


def client_of(device, on_steps=ignore_steps):
    return Client(RECIPE, device, learner_of(RECIPE, on_steps=on_steps))


def engine_of(devices, told=None, workers=None):
    on_steps = ignore_steps if told is None else told.append
    return LocalEngine([Participant(client_of(device, on_steps), METHOD) for device in devices], workers)


def answers(fleet, folder, workers, order):
    """What the engine answers to every request, as bytes and numbers that can be compared."""
    devices = [fleet.devices[i] for i in order]
    outputs = {device.name: Outputs(fleet.test[device.name], folder / device.name) for device in devices}
    engine = LocalEngine(
        [Participant(client_of(each), METHOD, outputs[each.name]) for each in devices], workers
    )
    assert engine.names == NAMES
    names = [NAMES[i] for i in order]
    updates = engine.exchange(names, Train(WEIGHTS, 3, 5)).answers
    finished = engine.exchange(names, Finish(WEIGHTS, 1, len(NAMES), {"serial": WEIGHTS})).answers
    visits = engine.exchange(names, Visit(WEIGHTS, 1, 5, 2)).answers
    assert list(updates) == list(finished) == list(visits) == list(NAMES)
    return {
        name: (
            updates[name].delta.tobytes(),
            updates[name].query_score,
            finished[name].result,
            finished[name].records,
            (folder / name / "weights.safetensors").read_bytes(),
            visits[name].weights.tobytes(),
            visits[name].query_loss,
        )
        for name in NAMES
    }


def test_workers_and_order_change_no_bit(fleet, tmp_path):
    expected = answers(fleet, tmp_path / "first", 1, [0, 1, 2, 3, 4])
    assert len({answer[0] for answer in expected.values()}) == 5
    for workers in (1, 2, 4):
        for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
            assert answers(fleet, tmp_path / f"{workers}{order}", workers, order) == expected


def test_it_carries_the_devices_steps_and_adds_nothing(devices):
    engine = engine_of(devices)
    device = devices[3]
    visit = serial.visit(client_of(device), Visit(WEIGHTS, 1, 5, 2))
    carried = engine.exchange([device.name], Visit(WEIGHTS, 1, 5, 2)).answers[device.name]
    assert carried.weights.tobytes() == visit.weights.tobytes()
    update = parallel.local_update(client_of(device), Train(WEIGHTS, 3, 5))
    carried = engine.exchange([device.name], Train(WEIGHTS, 3, 5)).answers[device.name]
    assert carried.delta.tobytes() == update.delta.tobytes()


def test_only_the_named_devices_train(devices):
    told = []
    engine = engine_of(devices, told)
    replies = engine.exchange(["rotating-01", "feeder-00"], Train(WEIGHTS, 1, 5))
    assert list(replies.answers) == ["feeder-00", "rotating-01"]
    assert replies.missed == ()
    assert sum(told) == sum(len(devices[i].parts["parallel"].support) for i in (0, 4))


def test_a_device_is_not_changed_by_the_company_it_keeps(devices):
    alone = engine_of(devices[:1]).exchange(["feeder-00"], Train(WEIGHTS, 1, 5)).answers["feeder-00"]
    together = engine_of(devices).exchange(NAMES, Train(WEIGHTS, 1, 5)).answers["feeder-00"]
    assert alone.delta.tobytes() == together.delta.tobytes()


def test_steps_told_from_all_threads_add_up(devices):
    told = []
    engine_of(devices, told, workers=4).exchange(NAMES, Train(WEIGHTS, 1, 5))
    assert sum(told) == sum(len(device.parts["parallel"].support) for device in devices)


def test_a_failing_device_is_heard_of(devices):
    with pytest.raises(KeyError):
        engine_of(devices).exchange(["feeder-00", "nobody"], Train(WEIGHTS, 1, 5))


def test_a_device_without_a_home_finishes_nothing(devices):
    with pytest.raises(TypeError, match="feeder-00 was not made to finish"):
        engine_of(devices).exchange(["feeder-00"], Finish(WEIGHTS, 1, 5, {}))


def test_everybody_is_present(devices):
    liveness = engine_of(devices).liveness()
    assert list(liveness) == list(NAMES)
    assert all(each.online and each.last_seen > 1.7e9 for each in liveness.values())

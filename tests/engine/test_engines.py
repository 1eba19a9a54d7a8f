"""What every engine promises the phases, with the devices in this process or behind Flower's messages."""

import json
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from over_flower import nodes_of
from small_run import RUN
from toy_fleet import called

from fedmetaalign.engine.device_runner import DeviceRunner, Outputs, learner_of
from fedmetaalign.engine.flower.client_app import app
from fedmetaalign.engine.flower.engine import FlowerEngine
from fedmetaalign.engine.flower.node_registry import NodeRegistry
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.compression import pack_with_feedback, unpack
from fedmetaalign.federation.messages import Finish, Train, Visit
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.shared import share
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.methods.fed_meta_align import METHOD
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.phases import parallel, serial
from fedmetaalign.phases.client import Client
from fedmetaalign.recipe import parse, with_settings

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
ROUNDED = with_settings(RECIPE, {"transport.send": "int8"})
QUANTILES = with_settings(RECIPE, {"fleet.encoding": "quantiles", "fleet.scaling": "fleet"})
NETWORK = Network(9, (8, 6))
WEIGHTS = initialize(NETWORK, np.random.default_rng(0))
NAMES = ("feeder-00", "feeder-01", "feeder-02", "rotating-00", "rotating-01")
TRAIN, VISIT = Train(WEIGHTS, 3, 5), Visit(WEIGHTS, 1, 5, 2)
FINISH = Finish(WEIGHTS, 1, 5, {"serial": WEIGHTS})


@pytest.fixture(scope="module")
def fleet():
    return build(RECIPE)


def client_of(device, recipe=RECIPE, on_steps=lambda _: None):
    return Client(recipe, device, learner_of(recipe, on_steps=on_steps))


def local(fleet, folder, recipe=RECIPE, workers=None, order=slice(None)):
    """The fleet in this process, given in some order, on so many threads."""
    return LocalEngine(
        [
            DeviceRunner(
                client_of(device, recipe), METHOD, Outputs(fleet.test[device.name], folder / device.name)
            )
            for device in list(fleet.devices)[order]
        ],
        workers,
    )


@contextmanager
def flower(fleet, folder, recipe=RECIPE):
    """The fleet behind Flower's messages, where each device reads a table of its own."""
    with InProcessGrid(app, nodes_of(recipe, folder)) as grid:
        registry = NodeRegistry(grid, Header("", RUN, recipe), lambda: NAMES[::-1], 600.0, pause=0.01)
        engine = FlowerEngine(registry, poll_interval=0.01)
        called(registry, *NAMES)
        engine.shared = share(registry.hellos, recipe)
        yield engine


ENGINES = {
    "local": lambda *more: nullcontext(local(*more)),
    "local, one thread, backwards": lambda *more: nullcontext(
        local(*more, workers=1, order=slice(None, None, -1))
    ),
    "local, four threads": lambda *more: nullcontext(local(*more, workers=4)),
    "flower": flower,
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, fleet, tmp_path_factory):
    """Each in turn; what is asked for again changes nothing, so that all tests may share it."""
    with ENGINES[request.param](fleet, tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def expected(fleet, tmp_path_factory):
    """What each device's own steps come to, with no engine between."""
    clients = {device.name: client_of(device) for device in fleet.devices}
    folder = tmp_path_factory.mktemp("alone")
    return {
        name: (
            parallel.local_update(client, TRAIN).delta.tobytes(),
            serial.visit(client, VISIT).weights.tobytes(),
            DeviceRunner(client, METHOD, Outputs(fleet.test[name], folder / name)).answer(FINISH),
        )
        for name, client in clients.items()
    }


def test_names_are_sorted_and_everybody_is_there(engine):
    assert engine.names == NAMES
    liveness = engine.liveness()
    assert sorted(liveness) == list(NAMES)
    assert all(each.online and each.last_seen > 1.7e9 for each in liveness.values())


@pytest.mark.parametrize("asked", [NAMES[::-1], ("rotating-01", "feeder-00"), NAMES[2:3], ()], ids=len)
def test_whoever_is_asked_answers_sorted_by_name_and_nobody_else(engine, asked):
    replies = engine.exchange(asked, TRAIN)
    assert list(replies.answers) == sorted(asked) and replies.failed == ()


def test_an_engine_carries_the_devices_steps_and_adds_nothing_however_often(engine, expected):
    for asked in (NAMES, NAMES[::-1], NAMES[3:]):  # neither the company nor the times it was asked before count
        updates, visits = (engine.exchange(asked, request).answers for request in (TRAIN, VISIT))
        finished = engine.exchange(asked, FINISH).answers
        for name in asked:
            found = updates[name].delta.tobytes(), visits[name].weights.tobytes(), finished[name]
            assert found == expected[name]
    assert len({delta for delta, *_ in expected.values()}) == 5


@pytest.mark.parametrize("kind", ["local", "flower"])
def test_what_a_round_loses_is_kept_for_the_next_and_a_round_asked_for_again_is_the_same(fleet, tmp_path, kind):
    client = client_of(fleet.devices[0], ROUNDED)
    sizes, lost, sent = client.learner.layer_sizes, np.zeros(len(WEIGHTS), np.float32), {}
    for number in (1, 2):
        delta = parallel.local_update(client, Train(WEIGHTS, number, 5)).delta
        packed, lost = pack_with_feedback(delta, lost, "int8", sizes)
        sent[number] = unpack(packed, sizes).tobytes()
    with ENGINES[kind](fleet, tmp_path, ROUNDED) as engine:
        for number in (1, 2, 2):
            answers = engine.exchange(["feeder-00"], Train(WEIGHTS, number, 5)).answers
            assert answers["feeder-00"].delta.tobytes() == sent[number]
    assert lost.any()


def test_a_fleet_s_quantiles_are_the_same_on_every_engine(tmp_path):
    told = {}
    for kind in ("local", "flower"):
        with ENGINES[kind](build(QUANTILES), tmp_path / kind, QUANTILES) as engine:
            updates, finished = (engine.exchange(NAMES, request).answers for request in (TRAIN, FINISH))
            told[kind] = {name: (updates[name].delta.tobytes(), finished[name]) for name in NAMES}
    assert told["flower"] == told["local"]
    facts = json.loads((tmp_path / "local/feeder-00/bundle.json").read_text(encoding="utf-8"))
    assert facts["preparation"]["curves"]


# In this process alone


def test_steps_reported_from_all_threads_add_up(fleet):
    told = []
    LocalEngine(
        [DeviceRunner(client_of(each, RECIPE, told.append), METHOD) for each in fleet.devices], 4
    ).exchange(NAMES, TRAIN)
    assert sum(told) == sum(len(device.parts["parallel"].support) for device in fleet.devices)


def test_who_is_not_there_or_was_not_made_to_finish_is_heard_of(fleet, tmp_path):
    with pytest.raises(KeyError):
        local(fleet, tmp_path).exchange(["feeder-00", "nobody"], TRAIN)
    with pytest.raises(TypeError, match="feeder-00 was not made to finish"):
        LocalEngine([DeviceRunner(client_of(fleet.devices[0]), METHOD)]).exchange(["feeder-00"], FINISH)


def test_the_first_answers_are_enough_and_nobody_is_asked_twice(engine, expected):
    found = {}
    while len(found) < len(NAMES):  # over Flower more than two may have come at one look
        replies = engine.first({name: TRAIN for name in reversed(NAMES) if name not in found}, 2)
        assert not replies.failed and replies.answers and not found.keys() & replies.answers.keys()
        found |= replies.answers
    assert {n: reply.delta.tobytes() for n, reply in found.items()} == {n: expected[n][0] for n in NAMES}


def test_a_round_whose_deltas_wait_in_a_file_has_the_same_answers(fleet, tmp_path, monkeypatch):
    engine = local(fleet, tmp_path)
    held = engine.exchange(NAMES, TRAIN).answers
    monkeypatch.setattr("fedmetaalign.engine.local.MOST", 4 * WEIGHTS.nbytes)
    spooled = engine.exchange(NAMES, TRAIN).answers
    assert {type(update).__name__ for update in spooled.values()} == {"Spooled"}
    for name in NAMES:
        assert spooled[name].delta.tobytes() == held[name].delta.tobytes()
        assert spooled[name].query_score == held[name].query_score
    assert type(engine.exchange(NAMES[:3], TRAIN).answers[NAMES[0]]).__name__ == "Update"

"""The method fleet: groups, tours beside those of the folds, and devices that teachers teach."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.hostile import Hostile
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.engine import Around, FailedReply, Replies
from fedmetaalign.federation.messages import Personalize, Score, Train, Visit
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import fleet
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.folds import folds
from fedmetaalign.phases.server import Server, State, rounds
from fedmetaalign.recipe import parse
from fedmetaalign.run import run

pytestmark = pytest.mark.usefixtures("few_trees")


def recipe(**sections):
    given = {
        "method": "fleet",
        "fleet": {
            "scaling": "fleet",
            "devices": [
                {"simulator": "feeder", "count": 4, "samples": 150},
                {"simulator": "milling", "count": 3, "samples": 150},
            ],
        },
        "model": {"hidden": [8, 4]},
        "optimizer": {"learning_rate": 3e-3},
        "serial": {"rounds": 2, "decay": "cosine"},
        "parallel": {"rounds": 0},
        "personalize": {"epochs": 2, "threshold": 0.5},
        "teaching": {"samples": 500},
    }
    return parse(given | sections, "here")


def federation(of):
    """The server of a recipe's devices in this process."""
    built = build(of)
    learner = learner_of(of, built.target)
    clients = {device.name: Client(of, device, learner) for device in built.devices}
    engine = LocalEngine([DeviceRunner(client, fleet.METHOD) for client in clients.values()])
    return Server(of, engine, learner), clients


@pytest.fixture(scope="module")
def toured():
    server, clients = federation(recipe())
    *_, (_, state, _) = rounds(fleet.rounds(server), State(server.learner.initial()))
    return server, clients, state


def test_feeders_and_mills_are_two_groups(toured):
    server, _, state = toured
    feeders, mills = fleet.members(server.engine.names, state).values()
    assert {name[:6] for name in feeders} == {"feeder"} and len(feeders) == 4
    assert {name[:7] for name in mills} == {"milling"} and len(mills) == 3


def test_each_group_is_sent_its_own_model_and_folds(toured):
    server, _, state = toured
    first, second = fleet.finals(server.engine.names, state)
    assert len(first.names) == 4 and (first.weights == state.weights).all()
    assert (second.weights != first.weights).any() and (second.stages["serial"] == second.weights).all()
    assert set(first.vectors) == {"fold.0", "fold.1", "fold.2"}


def test_one_group_is_all_devices_of_a_family_where_the_recipe_says_so():
    server, _ = federation(recipe(groups={"alignment": -1.0}, serial={"rounds": 1}))
    *_, (_, state, _) = rounds(fleet.rounds(server), State(server.learner.initial()))
    feeders, mills = fleet.finals(server.engine.names, state)
    assert feeders.names + mills.names == server.engine.names
    assert feeders.names == ("feeder-00", "feeder-01", "feeder-02", "feeder-03")


def spoilt(client, rows):
    """The client with other inputs in some of its training samples."""
    own, x = client.device.own, client.device.train.x.copy()
    x[rows] = -x[rows]
    count = len(own.support)
    parts = replace(own, support=Samples(x[:count], own.support.y), query=Samples(x[count:], own.query.y))
    return replace(client, device=replace(client.device, own=parts))


def test_the_weights_of_a_fold_never_meet_its_samples(toured):
    server, clients, _ = toured
    client, start = clients["feeder-01"], server.learner.initial()
    request = Visit(start, 1, 7, 1, 1.0, 0, {f"fold.{k}": start for k in range(3)})
    dealt = folds(client.device.train, server.learner.target, 3, 0, client.name)
    before, after = fleet.hop(client, request), fleet.hop(spoilt(client, dealt == 1), request)
    same = [(before.vectors[f"fold.{k}"] == after.vectors[f"fold.{k}"]).all() for k in range(3)]
    assert same == [False, True, False]
    assert (before.weights != after.weights).any() and before.query_loss != after.query_loss


def test_the_one_teacher_that_is_a_network_is_the_devices_model(toured):
    server, clients, _ = toured
    start = server.learner.initial()
    request = Personalize(start, 1, 7, {}, {f"fold.{k}": start for k in range(3)})
    own = {}
    for teachers in (["fleet"], ["tuned"], ["forest"]):
        alone = recipe(teaching={"teachers": teachers, "samples": 500})
        own[teachers[0]] = fleet.METHOD.personal(replace(clients["feeder-00"], recipe=alone), request).weights
    assert (own["fleet"] == start).all()
    body = server.learner.split(0.5).parameters
    assert (own["tuned"][:body] == start[:body]).all() and (own["tuned"] != start).any()
    assert (own["forest"][:body] != start[:body]).any()  # a forest has to be learnt


def test_a_rate_of_a_half_takes_other_steps(toured):
    server, clients, _ = toured
    start = server.learner.initial()
    vectors = {f"fold.{k}": start for k in range(3)}
    whole, half = (fleet.hop(clients["feeder-00"], Visit(start, 1, 7, 1, r, 0, vectors)) for r in (1.0, 0.5))
    assert np.linalg.norm(half.weights - start) < np.linalg.norm(whole.weights - start)


def test_a_device_that_gives_no_update_joins_the_largest_group_of_its_family_and_a_tour_goes_on_without_it():
    server, _ = federation(recipe(serial={"rounds": 1}))

    class Deaf:
        names = server.engine.names
        families = staticmethod(server.engine.families)
        one_sided = staticmethod(server.engine.one_sided)

        def exchange(self, names, request, patience=0.0):
            there = [name for name in names if name != "milling-01"]
            found = server.engine.exchange(there, request) if there else Replies({})
            gone = [name for name in names if name == "milling-01"]
            return Replies(found.answers, tuple(FailedReply(name, "absent", "it is off") for name in gone))

        def exchange_each(self, requests, patience=0.0):
            each = [self.exchange([name], request) for name, request in requests.items()]
            answers = {name: reply for one in each for name, reply in one.answers.items()}
            return Replies(answers, tuple(failed for one in each for failed in one.failed))

    deaf = replace(server, engine=Deaf())
    *_, (_, state, records) = rounds(fleet.rounds(deaf), State(server.learner.initial()))
    assert fleet.group_of(state)["milling-01"] == fleet.group_of(state)["milling-00"]
    assert [r["absent"] for r in records if r["device"] == "milling-01"] == ["it is off"] * 2
    assert sum("support_loss" in r for r in records) == 6


def test_devices_with_one_class_make_no_group_of_their_own():
    server, clients = federation(recipe(groups={"alignment": 1.0}))  # nobody is so like another
    one_sided = {"feeder-01": "normal", "milling-02": "faulty"}
    runners = [
        DeviceRunner(
            replace(c, device=replace(c.device, known=one_sided.get(name, c.device.known))), fleet.METHOD
        )
        for name, c in clients.items()
    ]
    engine = LocalEngine(runners)
    assert engine.one_sided() == one_sided.keys()
    server = replace(server, engine=engine)
    state, _ = fleet.grouped(server, State(server.learner.initial()))
    found = fleet.group_of(state)
    assert len({*found.values()}) == len(found) == 5 and not one_sided.keys() & found.keys()
    found = fleet.group_of(fleet.joined(server, state))
    assert found["feeder-01"] == found["feeder-00"] and found["milling-02"] == found["milling-00"]


def test_the_halves_share_no_sample(toured):
    server, clients, _ = toured
    start = server.learner.initial()
    update = fleet.halves(clients["feeder-00"], Train(start, 1, 7, {fleet.OTHER: start}))
    assert (update.delta != update.vectors[fleet.OTHER]).any()
    assert np.isfinite(update.delta).all()


def test_a_device_of_one_class_takes_its_groups_model(toured):
    server, clients, state = toured
    client = clients["feeder-00"]
    own = client.device.own
    normal = replace(
        own,
        support=Samples(own.support.x, np.zeros_like(own.support.y)),
        query=Samples(own.query.x, np.zeros_like(own.query.y)),
    )
    client = replace(client, device=replace(client.device, own=normal))
    [final, _] = fleet.finals(server.engine.names, state)
    request = Personalize(final.weights, 1, 7, final.stages, final.vectors)
    personal = fleet.personal(client, request)
    assert (personal.weights == final.weights).all() and personal.choice is None


def test_a_run_says_what_each_device_was_taught_by(tmp_path):
    results = run(recipe(), tmp_path / "run")
    blends = {device["blend"]["name"] for device in results["devices"].values()}
    assert blends <= {"joint", "local"}
    written = json.loads((tmp_path / "run" / "results.json").read_text())
    assert written == results
    assert all(d["model_bytes"] < 51_000 for d in results["devices"].values())
    assert not any("threshold_interval" in d for d in results["devices"].values())


def test_a_device_with_far_more_samples_trains_on_a_few_at_a_time():
    devices = [
        {"simulator": "feeder", "count": 3, "samples": 60},
        {"name": "huge", "simulator": "feeder", "count": 1},
    ]
    devices[1]["samples"] = 1500
    steps = []
    of = recipe(fleet={"scaling": "fleet", "devices": devices}, serial={"rounds": 1}, groups={"cap": 2.0})
    server, clients = federation(of)
    counting = {name: replace(c, learner=c.learner.reporting(steps.append)) for name, c in clients.items()}
    start = server.learner.initial()
    state, _ = fleet.grouped(server, State(start))
    assert state.memory[fleet.MEDIAN][0] == 45  # support of three devices; the fourth has a thousand more
    vectors = {f"fold.{k}": start for k in range(3)}
    whole = fleet.hop(counting["huge-00"], Visit(start, 1, 4, 1, 1.0, 96, vectors))
    assert sum(steps) == 96 + 2 * 96  # each of three folds leaves out a third of what is drawn
    again = fleet.hop(counting["huge-00"], Visit(start, 2, 4, 2, 1.0, 96, vectors))
    assert (again.weights != whole.weights).any()


def test_a_threshold_by_f1_is_as_sure_as_it_says(tmp_path):
    by_f1 = recipe(personalize={"epochs": 2, "threshold": "f1"}, deploy={"threshold": "personalized"})
    results = run(by_f1, tmp_path / "run")
    for device in results["devices"].values():
        sure = device["threshold_interval"]
        assert device["threshold_note"] is None
        assert sure["low"] <= sure["high"] and sure["f1_low"] <= sure["f1"] <= sure["f1_high"]


def test_a_device_of_one_class_counts_no_scores(toured):
    server, clients, state = toured
    [final, _] = fleet.finals(server.engine.names, state)
    client = clients["feeder-00"]
    counts = fleet.scores(client, Score(final.weights, 1, 7, final.vectors)).counts
    faults = client.learner.target.faults(client.device.train.y).sum()
    assert counts.sum(axis=1).tolist() == [len(client.device.train) - faults, faults]
    y = np.zeros_like(client.device.own.support.y)
    normal = replace(
        client.device.own,
        support=Samples(client.device.own.support.x, y),
        query=Samples(client.device.own.query.x, y[: len(client.device.own.query)]),
    )
    client = replace(client, device=replace(client.device, own=normal))
    assert not fleet.scores(client, Score(final.weights, 1, 7, final.vectors)).counts.any()


def test_weights_moved_too_far_are_told():
    before = {"model": np.zeros(4, np.float32), "fold.0": np.ones(4, np.float32)}
    after = {**before, "fold.0": np.array([1, 4, 5, 1], np.float32)}
    assert fleet.too_far(before, after, 5.0) == ""
    assert fleet.too_far(before, after, 4.0) == (
        "It moved the weights 1.25 times as far as groups.reach lets a device."
    )


class WithoutVisits(Around):
    """An engine whose first device is not there when a tour comes by."""

    def exchange_each(self, requests, patience=0.0):
        asked = {n: r for n, r in requests.items() if n != "feeder-00" or not isinstance(r, Visit)}
        return super().exchange_each(asked, patience)


def test_a_hostile_device_changes_a_tour_as_if_it_were_not_there(toured):
    server, start = toured[0], State(toured[0].learner.initial())
    ends = []
    for engine in (Hostile(server.engine, frozenset({"feeder-00"}), "huge", 0), WithoutVisits(server.engine)):
        *every, (_, state, records) = rounds(fleet.rounds(replace(server, engine=engine)), start)
        ends.append((state, [r["device"] for r in records if "rejected" in r]))
    (attacked, named), (without, nobody) = ends
    assert (named, nobody) == (["feeder-00"], []) and every
    assert all((attacked.memory[key] == array).all() for key, array in without.memory.items())


def test_honest_devices_stay_within_reach(toured):
    server, _, state = toured
    *_, (_, free, _) = rounds(
        fleet.rounds(replace(server, recipe=recipe(groups={"reach": 1e9}))), State(server.learner.initial())
    )
    assert (free.weights == state.weights).all()

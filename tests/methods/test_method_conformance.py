"""What every method promises, whatever it makes of the devices: one test over all `methods.names()`."""

import re
from dataclasses import replace
from functools import cache
from importlib import import_module

import numpy as np
import pytest

from fedmetaalign.comparison.cell import GLOBAL
from fedmetaalign.comparison.run_cell import CellRun, Spent
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Part
from fedmetaalign.methods import find, names
from fedmetaalign.methods._method import Method
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.budget import all_steps, exchanges
from fedmetaalign.phases.foundation import pretrain
from fedmetaalign.recipe import parse

pytestmark = pytest.mark.usefixtures("few_trees")

NETWORK = Network(9, (8, 6))
LEARNER = NetworkLearner(NETWORK, 3e-3, 0)

RULES = {"majority", "one_rule"}
"""Methods that learn next to nothing."""

TREES = {"forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled", "federated_boosting"}

UNTRAINED = RULES | TREES
"""Methods without a network."""

NEWCOMER_UNTRAINED = UNTRAINED | {"knn_per", "pooled"}
"""Methods that take no step for an unseen device: it remembers its samples, or is handed the weights of all."""

FROM_THE_BEGINNING = {"local_only", "fed_meta_align_guarded"}
"""Methods that train an unseen device as they train a federated one, for it starts from nothing."""

CHOOSES_A_MODEL = {"fed_meta_align_guarded"}
"""Methods whose weights are chosen among several on the validation part."""

OWN_TEXT = {"fleet", "fed_meta_align", "local_only", "majority", "pooled"}
"""Methods that no other paper describes."""

UNBOUNDED = {"fleet"}
"""Methods that take what they need: nothing is tuned on the validation part, and the budget is not theirs."""

USUAL = {"serial": 3, "parallel": 5, "cohort": 1.0}
FEW = {"serial": 1, "parallel": 1, "cohort": 0.34}  # one device a round: some device is never asked
NONE = {"serial": 0, "parallel": 0, "cohort": 1.0}

every_method = pytest.mark.parametrize("name", names())
within_budget = pytest.mark.parametrize("name", [name for name in names() if name not in UNTRAINED | UNBOUNDED])


def recipe(serial, parallel, cohort):
    return parse(
        {
            "fleet": {"simulator": "feeder", "count": 4, "samples": 300},
            "model": {"hidden": [8, 6]},
            "optimizer": {"learning_rate": 3e-3},
            "foundation": {"simulator": "milling", "count": 1, "samples": 100, "epochs": 1},
            "serial": {"rounds": serial},
            "parallel": {"rounds": parallel, "cohort": cohort},
            "personalize": {"epochs": 5},
        },
        "here",
    )


def read_only(samples):
    for array in samples:
        array.flags.writeable = False


@cache
def fleet():
    """Three federated devices, an unseen one, public samples and the common start; nobody may write to them."""
    usual = recipe(**USUAL)
    built = build(usual)
    for part in [p for d in built.devices for p in (*d.parts.values(), d.own)] + [built.public]:
        read_only(part.support)
        read_only(part.query)
    start, _ = pretrain(LEARNER, LEARNER.initial(), built.public, usual.foundation)
    read_only([start])
    return built.devices[:3], built.devices[3:], built.public, start


def cell_run(unseen_devices=True, **rounds):
    federated, new, public, start = fleet()
    return CellRun(
        recipe(**(rounds or USUAL)), LEARNER, federated, new if unseen_devices else (), public, start
    )


def steps(given, device):
    """How many gradient steps a device may take in all: an unseen device as many as the mean federated one."""
    whose = (device,) if device.name in {each.name for each in given.federated} else given.federated
    return all_steps(given.recipe, whose, len(given.federated))


@cache
def ran(name, unseen_devices=True):
    """A cell run and what a method made of it."""
    given = cell_run(unseen_devices)
    return given, given.run(find(name))


def contents(outcome):
    """All that an outcome holds, as bytes."""
    federated, new, _, _ = fleet()
    inputs = {device.name: device.train.x for device in (*federated, *new)}
    return {
        name: (
            model.threshold.threshold,
            model.probabilities(inputs[name]).tobytes(),
            b"" if model.weights is None else model.weights.tobytes(),
        )
        for name, model in outcome.models.items()
    }


@every_method
def test_a_file_is_a_method_that_names_its_paper(name):
    assert isinstance(find(name), Method)
    text = import_module(f"fedmetaalign.methods.{name}").__doc__
    assert name in OWN_TEXT or re.search(r"\b(19|20)\d\d\b", text), "cite the paper"


@every_method
def test_every_device_has_a_model(name):
    given, outcome = ran(name)
    assert set(outcome.models) == {device.name for device in given.devices}
    for device in given.devices:
        model, x = outcome.models[device.name], device.train.x
        scores = model.probabilities(x)
        assert (scores.shape, scores.dtype) == ((len(x),), np.float64)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert isinstance(model.threshold.threshold, float)
        if model.weights is not None:
            assert (model.weights.shape, model.weights.dtype) == (given.start.shape, np.float32)
            assert (given.learner.probabilities(model.weights, x) == scores).all()


@every_method
def test_a_score_does_not_depend_on_the_rows_beside(name):
    given, outcome = ran(name)
    for device in given.devices:
        model, x = outcome.models[device.name], device.train.x
        together = model.probabilities(x)
        assert model.probabilities(x[::-1]).tolist() == together[::-1].tolist()
        assert [model.probabilities(x[i : i + 1])[0] for i in (0, 7, 100)] == together[[0, 7, 100]].tolist()


@every_method
def test_the_same_race_gives_the_same_bytes(name):
    first, outcome = ran(name)
    second = cell_run()
    again = second.run(find(name))
    assert contents(again) == contents(outcome)
    assert [w.tobytes() for w in again.rounds] == [w.tobytes() for w in outcome.rounds]
    assert (second.spent.steps, second.spent.bytes) == (first.spent.steps, first.spent.bytes)


@every_method
def test_federated_devices_do_not_notice_unseen_ones(name):
    _, with_unseen = ran(name)
    _, without = ran(name, unseen_devices=False)
    kept = contents(with_unseen)
    assert contents(without) == {device: kept[device] for device in without.models}
    assert [w.tobytes() for w in with_unseen.rounds] == [w.tobytes() for w in without.rounds]


@pytest.mark.parametrize("name", [name for name in names() if name not in CHOOSES_A_MODEL | UNBOUNDED])
def test_no_method_sees_validation_samples_before_it_chooses(name):
    # Spoilt labels of the validation part may change a threshold, or a choice like kNN-Per's, but no weight.
    given, outcome = ran(name)

    def spoilt(device):
        query = Samples(device.own.query.x, 1 - device.own.query.y)
        parts = {phase: Part(part.support, part.query) for phase, part in device.parts.items()}
        parts["personalize"] = Part(parts["personalize"].support, query)
        return replace(device, own=Part(device.own.support, query), parts=parts)

    other = replace(given, federated=tuple(map(spoilt, given.federated)), spent=Spent()).run(find(name))
    for device in given.federated:
        weights = outcome.models[device.name].weights
        if weights is not None:
            assert other.models[device.name].weights.tobytes() == weights.tobytes()


class TestBudget:
    @within_budget
    def test_it_is_spent_and_not_exceeded(self, name):
        given, _ = ran(name, unseen_devices=False)
        budget = sum(steps(given, device) for device in given.federated)
        # Halved and rounded stretches may be a step off, in a round and on a device.
        assert 0.98 * budget <= given.spent.steps <= budget + len(given.federated)

    @pytest.mark.parametrize("cohort", [0.34, 0.5])
    @within_budget
    def test_it_is_that_of_the_devices_that_are_asked(self, name, cohort):
        # A third is one of three devices a round; a half is two. Which they are is drawn, and they are unlike.
        given = cell_run(unseen_devices=False, **USUAL | {"cohort": cohort})
        given.run(find(name))
        budget = sum(steps(given, device) for device in given.federated)
        assert given.spent.steps == pytest.approx(budget, rel=0.02)

    @pytest.mark.parametrize("name", [name for name in names() if name not in UNBOUNDED])
    def test_an_unseen_device_costs_what_phase_3_costs(self, name):
        given, _ = ran(name)
        before, _ = ran(name, unseen_devices=False)
        [unseen_device] = given.unseen_devices
        phase_3 = given.recipe.personalize.epochs * len(unseen_device.parts["personalize"].support)
        extra = given.spent.steps - before.spent.steps
        if name in FROM_THE_BEGINNING:
            assert phase_3 < extra <= steps(given, unseen_device)
        else:
            assert extra == (0 if name in NEWCOMER_UNTRAINED else phase_3)

    @pytest.mark.parametrize("name", sorted(UNTRAINED))
    def test_who_has_no_network_takes_no_step(self, name):
        given, _ = ran(name)
        assert given.spent.steps == 0

    @every_method
    def test_who_does_not_federate_sends_nothing(self, name):
        given, _ = ran(name)
        assert (given.spent.bytes == 0) == (not find(name).federates)

    @every_method
    def test_weights_that_are_shared_have_travelled(self, name):
        given, outcome = ran(name)
        if outcome.rounds:
            # To and from each of three devices each round, and the end to four.
            assert given.spent.bytes >= 4 * NETWORK.parameters * (2 * 3 * len(outcome.rounds) + 4)


@every_method
def test_stages_are_reached_on_the_way(name):
    given, outcome = ran(name)
    assert bool(outcome.rounds) == (GLOBAL in outcome.stages)
    assert len(outcome.rounds) <= exchanges(given.recipe)
    if outcome.rounds:
        assert outcome.stages[GLOBAL].weights.tobytes() == outcome.rounds[-1].tobytes()
    spent = [(stage.steps, stage.bytes) for stage in outcome.stages.values()]
    assert spent == sorted(spent)
    assert all(steps <= given.spent.steps and sent <= given.spent.bytes for steps, sent in spent)


@pytest.mark.parametrize("name", [name for name in names() if name not in RULES])
def test_it_learns(name):
    given, outcome = ran(name)

    def right(device):
        model = outcome.models[device.name]
        alarms = model.probabilities(device.own.support.x) > model.threshold.threshold
        return np.mean(alarms == (device.own.support.y > 0))

    def majority(device):
        faults = np.mean(device.own.support.y)
        return max(faults, 1 - faults)

    assert np.mean([right(d) for d in given.federated]) > np.mean([majority(d) for d in given.federated]) + 0.05


@pytest.mark.parametrize("rounds", [FEW, NONE], ids=["one device a round", "no rounds"])
@every_method
def test_a_device_that_was_never_asked_has_a_model_too(name, rounds):
    given = cell_run(**rounds)
    if why := find(name).lacking(given.recipe):
        assert (name, why) == ("fleet", "fleet tours the devices: set serial.rounds to 1 at least.")
        return
    outcome = given.run(find(name))
    for device in given.devices:
        assert np.isfinite(outcome.models[device.name].probabilities(device.train.x)).all()

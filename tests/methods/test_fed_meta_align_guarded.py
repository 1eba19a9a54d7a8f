"""Half the budget goes to the federation, half to training alone, and each device keeps what is better."""

from dataclasses import replace

import numpy as np
import pytest
from fake_learner import Learner
from fake_learner import cell_run as obedient
from quadratic import Problem, cell_run

from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.device import Part
from fedmetaalign.methods import fed_meta_align_guarded as guarded
from fedmetaalign.model.online import Samples

HERE = (Problem((0.0,), steps=7, own=20), Problem((1.0,), steps=4, own=11))


def constant(value):
    return Personal(lambda x: np.full(len(x), value), Choice(0.5, None, None))


@pytest.fixture
def made_of(monkeypatch):
    """Lets both halves come to what a test says; tells which recipe and how many steps they were given."""

    def make(federated, alone):
        told = {}

        def fine_tune(client, weights):
            told["recipe"] = client.recipe
            return constant(federated[client.name])

        def train_alone(client, start, steps):
            told[client.name] = steps
            return client.own(np.array([alone[client.name]] * 2, np.float32))

        monkeypatch.setattr(guarded, "fine_tune", fine_tune)
        monkeypatch.setattr(guarded, "train_alone", train_alone)
        return told

    return make


def zeros(given):
    return {device.name: 0.0 for device in given.devices}


class TestChoice:
    def test_each_device_keeps_the_model_with_the_smaller_brier_score(self, made_of):
        given = obedient(Learner())
        first, second = given.federated
        # Of scores that are the same for all samples, the share of faults has the least Brier score.
        shares = [float(np.mean(device.own.query.y)) for device in given.federated]
        made_of({first.name: shares[0], second.name: 1 - shares[1]}, {first.name: -9.0, second.name: 0.0})
        models = given.run(guarded.METHOD).models
        assert models[first.name].probabilities(first.own.query.x)[0] == shares[0]
        assert models[second.name].probabilities(second.own.query.x)[0] == 0.5  # a logit of 0

    def test_of_equals_it_is_the_federations(self, made_of):
        given = obedient(Learner())
        made_of(dict.fromkeys(zeros(given), 0.5), zeros(given))  # a logit of 0 is a score of 0.5
        models = given.run(guarded.METHOD).models
        assert all(model.weights is None for model in models.values())

    @pytest.mark.parametrize("fault", [0, 1])
    def test_the_samples_that_were_trained_on_have_no_say(self, made_of, fault):
        given = obedient(Learner())
        first = given.federated[0]
        support = Samples(first.own.support.x, np.full_like(first.own.support.y, 1 - fault))
        query = Samples(first.own.query.x, np.full_like(first.own.query.y, fault))
        given = replace(given, federated=(replace(first, own=Part(support, query)),))
        made_of({first.name: 0.9}, {first.name: -2.0})  # a score of 0.12
        chosen = given.run(guarded.METHOD).models[first.name]
        assert (chosen.weights is None) == (fault == 1)


class TestBudget:
    @pytest.mark.parametrize(
        ("rounds", "rest"),
        [
            # Ten rounds of 7 and 4 steps, of which the federation has five; phase 3's one epoch is not halved.
            (10, {"d0": 5 * 7, "d1": 5 * 4}),
            (3, {"d0": 2 * 7, "d1": 2 * 4}),
            (1, {"d0": 7, "d1": 4}),
        ],
    )
    def test_training_alone_has_what_the_federation_leaves(self, made_of, rounds, rest):
        given = cell_run(*HERE, rounds=rounds)
        told = made_of(dict.fromkeys(zeros(given), 0.5), zeros(given))
        given.run(guarded.METHOD)
        assert told.pop("recipe").parallel.rounds == rounds // 2
        assert told == rest

    def test_phase_3_is_halved_where_it_can_be(self, made_of):
        given = obedient(Learner(), serial=3, parallel=5)
        told = made_of(dict.fromkeys(zeros(given), 0.5), zeros(given))
        given.run(guarded.METHOD)
        recipe = told["recipe"]
        assert (recipe.serial.rounds, recipe.parallel.rounds, recipe.personalize.epochs) == (1, 2, 5)

    def test_an_unseen_device_chooses_too(self, made_of):
        given = cell_run(*HERE, unseen_devices=[Problem((2.0,), own=30)], rounds=10)
        told = made_of(dict.fromkeys(zeros(given), 0.9), zeros(given))
        outcome = given.run(guarded.METHOD)
        assert list(outcome.models) == ["d0", "d1", "n0"]
        # Of the mean device's steps, (90 + 51) / 2, the federation's half was to take (55 + 31) / 2.
        assert told["n0"] == round((90 + 51) / 2) - round((55 + 31) / 2)

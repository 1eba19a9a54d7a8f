"""The terms of the cell run: what a device may spend, what it trains on, and that all is counted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quadratic import Problem, cell_run, client

from fedmetaalign.comparison.run_cell import Spent
from fedmetaalign.federation.messages import Train
from fedmetaalign.methods import find
from fedmetaalign.methods._device import train
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.objective import Objective
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.budget import shared_steps, stretch
from fedmetaalign.phases.client import DivergenceError, check_finite, passes
from fedmetaalign.phases.server import cohort
from fedmetaalign.recipe import with_settings

HERE = (Problem((0.0,), steps=7, own=20), Problem((1.0,), steps=4, own=11))


def numbered(rows):
    return Samples(np.arange(rows, dtype=np.float32)[:, None], np.arange(rows, dtype=np.float32))


class TestStretch:
    @given(st.integers(1, 40), st.integers(1, 30), st.sampled_from([1.0, 0.5, 0.8, 1.7]))
    def test_the_rounds_share_the_steps_without_gaps(self, steps, rounds, share):
        of = cell_run(Problem((0.0,), steps=steps), rounds=rounds)
        stretches = [stretch(of.recipe, of.federated[0], 1, number, share) for number in range(1, rounds + 1)]
        assert stretches[0].start == 0
        assert all(len(each) >= 1 for each in stretches)
        if share * steps >= 1:
            assert [s.start for s in stretches[1:]] == [s.stop for s in stretches[:-1]]
            # Half a step may be rounded either way: 1.7 is no binary number.
            assert abs(stretches[-1].stop - share * steps * rounds) <= 0.5 + 1e-9
            lengths = [len(each) for each in stretches]
            assert max(lengths) - min(lengths) <= 1

    def test_by_hand(self):
        of = cell_run(*HERE, rounds=3)
        assert stretches_of(of, 3) == [range(7), range(7, 14), range(14, 21)]
        halves = stretches_of(of, 3, 0.5)
        assert halves == [range(4), range(4, 7), range(7, 10)]  # 3.5, 7 and 10.5, halves to even

    def test_where_few_take_part_each_takes_longer(self):
        # One of two devices a round: of 10 rounds a device expects 5, of 7 steps each.
        few = half(cell_run(*HERE, rounds=10))
        assert [len(each) for each in stretches_of(few, 10)] == [7] * 10
        assert cohorts(few, 10) == [1] * 10

    def test_a_share_of_the_devices_counts_as_the_whole_number_that_is_asked(self):
        # Half of three devices is two of them: of 9 rounds a device expects 6, of 7 steps each.
        few = half(cell_run(*HERE, HERE[0], rounds=9))
        assert shared_steps(few.recipe, few.federated[0], 3) == pytest.approx(6 * 7)
        assert [len(each) for each in stretches_of(few, 9)] == [7] * 9
        assert cohorts(few, 9) == [2] * 9

    def test_tours_ask_all_and_rounds_a_few(self):
        # Two tours of one step and two of four rounds of seven: 16 steps, in three of six rounds.
        few = half(cell_run(*HERE, rounds=4))
        few = replace(few, recipe=with_settings(few.recipe, {"serial.rounds": 2}))
        assert shared_steps(few.recipe, few.federated[0], 2) == 2 * 1 + 2 * 7
        taken = [len(each) for each in stretches_of(few, 6)]
        assert sum(taken) == round(6 * 16 / 3)
        assert set(taken) <= {5, 6}


def stretches_of(of, rounds, share=1.0):
    """The first device's stretch of every round."""
    requests = [Train(of.start, number, len(of.federated)) for number in range(1, rounds + 1)]
    return [client(of).stretch(request, share) for request in requests]


def cohorts(of, rounds):
    """How many devices are asked in each round."""
    names = tuple(device.name for device in of.federated)
    return [len(cohort(names, number, of.recipe.parallel.cohort, 0)) for number in range(1, rounds + 1)]


def half(of):
    """The cell run whose rounds ask half of the devices."""
    return replace(of, recipe=with_settings(of.recipe, {"parallel.cohort": 0.5}))


class TestPasses:
    @given(st.integers(1, 20), st.integers(0, 60), st.integers(1, 60))
    def test_a_stretch_is_cut_from_one_stream(self, rows, first, length):
        whole = passes(numbered(rows), 0, first + length, 0, "here")
        cut = passes(numbered(rows), first, first + length, 0, "here")
        assert cut.x.tolist() == whole.x[first:].tolist()
        assert cut.y.tolist() == cut.x[:, 0].tolist()
        assert len(cut) == length

    def test_every_pass_visits_every_sample_once_in_an_order_of_its_own(self):
        seen = passes(numbered(30), 0, 90, 0, "here").y.reshape(3, 30)
        assert all(sorted(order) == list(range(30)) for order in seen.tolist())
        assert len({tuple(order) for order in seen.tolist()}) == 3

    def test_the_address_and_the_seed_decide_the_order(self):
        orders = [
            passes(numbered(30), 0, 30, *address).y.tolist()
            for address in [(0, "here"), (0, "there"), (1, "here"), (0, "here")]
        ]
        assert orders[0] == orders[3]
        assert len({tuple(order) for order in orders}) == 3

    def test_rounds_continue_where_the_last_one_stopped(self):
        of = cell_run(Problem((0.0,), steps=7, samples=21), rounds=3)
        device = of.federated[0]
        at_work = client(of, replace(device, own=replace(device.own, support=numbered(21))))
        requests = [Train(of.start, number, 1) for number in (1, 2, 3)]
        seen = [y for request in requests for y in at_work.stream(request).y.tolist()]
        assert sorted(seen) == list(range(21))

    def test_the_last_stretch_is_as_long_as_phase_3(self):
        of = cell_run(*HERE)
        assert [len(client(of, device).own_stream()) for device in of.federated] == [20, 11]


class TestSteps:
    def test_a_federated_device_may_take_those_of_its_phases(self):
        of = cell_run(*HERE, rounds=10)
        found = [client(of, device).all_steps(2) for device in of.federated]
        assert found == [10 * 7 + 20, 10 * 4 + 11]

    def test_an_unseen_device_as_many_as_the_mean_of_them(self):
        of = cell_run(*HERE, unseen_devices=[Problem((2.0,), steps=1000, own=1000)], rounds=10)
        assert [device.name for device in of.devices] == ["d0", "d1", "n0"]
        of.run(find("local_only"))
        assert of.spent.steps == 90 + 51 + round((90 + 51) / 2)


class TestSpent:
    def test_training_is_counted_as_it_is_done(self):
        of = cell_run(*HERE, rounds=3)
        of.run(find("fedavg"))  # whose fine-tuning counts no step here
        assert of.spent.steps == 3 * (7 + 4)

    def test_a_step_that_looks_ahead_costs_two_gradients(self):
        steps = []
        learner = NetworkLearner(Network(1, (2,)), 0.01, 0, on_steps=steps.append)
        samples = Samples(np.zeros((7, 1), np.float32), np.zeros(7, np.float32))
        learner.train(learner.initial(), samples, "here", objective=Objective(lookahead=0.1))
        learner.train(learner.initial(), samples, "here")
        assert steps == [14, 7]

    def test_a_message_holds_four_bytes_a_weight(self):
        # Down and up to two devices in three rounds, and the end to both.
        of = cell_run(Problem((0.0,) * 10), Problem((1.0,) * 10), rounds=3)
        of.run(find("fedavg"))
        assert of.spent.bytes == 40 * (2 * 2 * 3 + 2)

    def test_a_checkpoint_notes_what_was_spent_before(self):
        of = replace(cell_run(*HERE, rounds=1), spent=Spent(steps=100, bytes=10, seconds=5.0))
        reached = of.run(find("fedavg")).stages["global"]
        assert (reached.steps, reached.bytes) == (100 + 11, 10 + 4 * 2 * 2)
        assert of.spent.bytes == reached.bytes + 4 * 2
        assert 5 <= reached.seconds < 60


class TestThreshold:
    def test_too_few_validation_samples_leave_it_at_one_half(self):
        of = cell_run(*HERE)
        of = replace(of, recipe=with_settings(of.recipe, {"personalize.threshold": "f1"}))
        model = client(of).own(np.ones(1, np.float32))
        assert (model.threshold.threshold, model.weights.tolist()) == (0.5, [1])
        assert model.threshold.reason == "10 samples are too few to choose a threshold (30 needed)."
        assert model.probabilities(np.zeros((3, 1))).tolist() == [0.5] * 3


class TestDiverged:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e4, -1e5])
    def test_weights_that_ran_away_stop_the_method(self, bad):
        sentence = "Training has diverged: on the moon a weight is beyond 10000; lower optimizer.learning_rate"
        with pytest.raises(DivergenceError, match=sentence):
            check_finite(np.array([0, bad], np.float32), "on the moon")

    def test_training_is_watched(self):
        # A step of 1 on a curvature of 3 overshoots twice as far as it came: 2^20 after 20 steps.
        of = cell_run(Problem((1.0,), curvature=3, steps=20), learning_rate=1.0)
        at_work = client(of)
        with pytest.raises(DivergenceError, match="on d0"):
            train(at_work, of.start, at_work.stream(Train(of.start, 1, 1)), "here")
        with pytest.raises(DivergenceError, match="on d0"):
            of.run(find("fedavg"))

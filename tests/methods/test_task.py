"""The terms of the race: what a device may spend, what it trains on, and that all is counted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quadratic import Problem, race

from fedmetaalign.methods._learner import Cut, Perceptron
from fedmetaalign.methods._task import DivergenceError, Ledger, check_finite, passes
from fedmetaalign.model.mlp import Network, features
from fedmetaalign.model.objective import Objective
from fedmetaalign.model.online import Samples

HERE = (Problem((0.0,), steps=7, own=20), Problem((1.0,), steps=4, own=11))


def numbered(rows):
    return Samples(np.arange(rows, dtype=np.float32)[:, None], np.arange(rows, dtype=np.float32))


class TestStretch:
    @given(st.integers(1, 40), st.integers(1, 30), st.sampled_from([1.0, 0.5, 0.8, 1.7]))
    def test_the_rounds_share_the_steps_without_gaps(self, steps, rounds, share):
        task = race(Problem((0.0,), steps=steps), rounds=rounds)
        stretches = [task.stretch(task.members[0], number, share) for number in range(1, rounds + 1)]
        assert stretches[0].start == 0
        assert all(len(stretch) >= 1 for stretch in stretches)
        if share * steps >= 1:
            assert [s.start for s in stretches[1:]] == [s.stop for s in stretches[:-1]]
            # Half a step may be rounded either way: 1.7 is no binary number.
            assert abs(stretches[-1].stop - share * steps * rounds) <= 0.5 + 1e-9
            lengths = [len(stretch) for stretch in stretches]
            assert max(lengths) - min(lengths) <= 1

    def test_by_hand(self):
        task = race(*HERE, rounds=3)
        assert [task.stretch(task.members[0], n) for n in (1, 2, 3)] == [range(7), range(7, 14), range(14, 21)]
        halves = [task.stretch(task.members[0], n, 0.5) for n in (1, 2, 3)]
        assert halves == [range(4), range(4, 7), range(7, 10)]  # 3.5, 7 and 10.5, halves to even

    def test_where_few_take_part_each_takes_longer(self):
        # One of two devices a round: of 10 rounds a device expects 5, of 7 steps each.
        task = race(*HERE, rounds=10)
        few = replace(task, recipe=task.recipe.model_copy(update={"parallel": half(task.recipe.parallel)}))
        assert [len(few.stretch(few.members[0], n)) for n in range(1, 11)] == [7] * 10
        assert [len(few.cohort(n)) for n in range(1, 11)] == [1] * 10

    def test_a_share_of_the_devices_counts_as_the_whole_number_that_is_asked(self):
        # Half of three devices is two of them: of 9 rounds a device expects 6, of 7 steps each.
        task = race(*HERE, HERE[0], rounds=9)
        few = replace(task, recipe=task.recipe.model_copy(update={"parallel": half(task.recipe.parallel)}))
        assert few.shared_steps(few.members[0]) == pytest.approx(6 * 7)
        assert [len(few.stretch(few.members[0], n)) for n in range(1, 10)] == [7] * 9
        assert [len(few.cohort(n)) for n in range(1, 10)] == [2] * 9

    def test_tours_ask_all_and_rounds_a_few(self):
        # Two tours of one step and two of four rounds of seven: 16 steps, in three of six rounds.
        task = race(*HERE, rounds=4)
        sections = {
            "serial": task.recipe.serial.model_copy(update={"rounds": 2}),
            "parallel": half(task.recipe.parallel),
        }
        few = replace(task, recipe=task.recipe.model_copy(update=sections))
        assert few.shared_steps(few.members[0]) == 2 * 1 + 2 * 7
        taken = [len(few.stretch(few.members[0], n)) for n in range(1, 7)]
        assert sum(taken) == round(6 * 16 / 3)
        assert set(taken) <= {5, 6}


def half(parallel):
    return parallel.model_copy(update={"cohort": 0.5})


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
        task = race(Problem((0.0,), steps=7, samples=21), rounds=3)
        device = task.members[0]
        device = replace(device, own=replace(device.own, support=numbered(21)))
        seen = [y for number in (1, 2, 3) for y in task.stream(device, number).y.tolist()]
        assert sorted(seen) == list(range(21))

    def test_the_last_stretch_is_as_long_as_phase_3(self):
        task = race(*HERE)
        assert [len(task.own_stream(device)) for device in task.members] == [20, 11]


class TestSteps:
    def test_a_member_may_take_those_of_its_phases(self):
        task = race(*HERE, rounds=10)
        assert [task.all_steps(device) for device in task.members] == [10 * 7 + 20, 10 * 4 + 11]

    def test_a_newcomer_as_many_as_the_mean_member(self):
        task = race(*HERE, newcomers=[Problem((2.0,), steps=1000, own=1000)], rounds=10)
        assert task.all_steps(task.newcomers[0]) == round((90 + 51) / 2)
        assert [device.name for device in task.devices] == ["d0", "d1", "n0"]


class TestLedger:
    def test_training_is_counted_as_it_is_done(self):
        task = race(*HERE)
        told = []
        task.ledger.watch = told.append
        samples = task.stream(task.members[0], 1)
        task.train(task.start, samples, "here")
        assert (task.ledger.steps, told) == (7, [7])

    def test_a_step_that_looks_ahead_costs_two_gradients(self):
        task = race(*HERE)
        task.train(task.start, task.stream(task.members[0], 1), "here", objective=Objective(lookahead=0.1))
        assert task.ledger.steps == 14

    def test_a_message_holds_four_bytes_a_weight(self):
        task = race(Problem((0.0,) * 10))
        task.send()
        assert task.ledger.bytes == 40
        task.send(messages=3)
        assert task.ledger.bytes == 160
        task.send(0.3, 2)
        assert task.ledger.bytes == 184

    def test_a_milestone_notes_what_was_spent_before(self):
        task = replace(race(*HERE), ledger=Ledger(steps=100, bytes=10, seconds=5.0))
        task.train(task.start, task.stream(task.members[1], 1), "here")
        reached = task.milestone(task.start)
        task.send()
        assert (reached.steps, reached.bytes) == (104, 10)
        assert 5 <= reached.seconds < 60


class TestThreshold:
    def test_too_few_validation_samples_leave_it_at_one_half(self):
        task = race(*HERE)
        model = task.model(task.own(task.members[0], np.ones(1, np.float32)))
        assert (model.threshold, model.weights.tolist()) == (0.5, [1])
        assert model.scores(np.zeros((3, 1))).tolist() == [0.5] * 3


class TestDiverged:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e4, -1e5])
    def test_weights_that_ran_away_stop_the_method(self, bad):
        with pytest.raises(DivergenceError, match="Training has diverged: a weight is beyond 10000"):
            check_finite(np.array([0, bad], np.float32))

    def test_training_is_watched(self):
        # A step of 1 on a curvature of 3 overshoots twice as far as it came: 2^20 after 20 steps.
        task = race(Problem((1.0,), curvature=3, steps=20), learning_rate=1.0)
        with pytest.raises(DivergenceError):
            task.train(task.start, task.stream(task.members[0], 1), "here")


class TestPerceptron:
    LEARNER = Perceptron(Network(3, (5, 4, 2)))

    @pytest.mark.parametrize(
        ("share", "expected"),
        [
            (0.5, Cut(2, 2, 4 * 5 + 6 * 4)),
            (0.0, Cut(0, 4, 0)),
            (0.99, Cut(3, 1, 4 * 5 + 6 * 4 + 5 * 2)),
        ],
    )
    def test_it_is_cut_where_phase_3_freezes(self, share, expected):
        assert self.LEARNER.cut(share) == expected

    def test_its_features_are_what_the_last_layer_is_given(self):
        random = np.random.default_rng(0)
        weights = random.normal(size=self.LEARNER.network.parameters).astype(np.float32)
        x = random.normal(size=(4, 3)).astype(np.float32)
        found = self.LEARNER.features(weights, x)
        assert found.shape == (4, 2)
        assert found.tobytes() == features(self.LEARNER.network, weights, x).tobytes()

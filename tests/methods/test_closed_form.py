"""The methods on quadratic problems, where what they come to can be written down."""

import numpy as np
import pytest
from quadratic import Problem, cell_run, client

from fedmetaalign.methods import apfl, find
from fedmetaalign.methods.apfl import mixture, train_mixed
from fedmetaalign.methods.per_fedavg import ALPHA


def shared(name, given):
    """The global weights that a method ends with."""
    return given.run(find(name)).rounds[-1]


def own(name, given):
    """Every device's weights."""
    return {device: model.weights for device, model in given.run(find(name)).models.items()}


def pull(problem, learning_rate, steps=None):
    """How much of the way to its optimum a device goes in a round."""
    return 1 - (1 - learning_rate * problem.curvature) ** (steps or problem.steps)


# Few steps on a steep loss, many on a flat one, and three times as many samples: F = 1/4 F_0 + 3/4 F_1 is least
# at (1/4 * 4 * 0 + 3/4 * 1 * 10) / (1/4 * 4 + 3/4 * 1) = 7.5 / 1.75 = 4.2857.
UNEVEN = (
    Problem((0.0,), curvature=4, steps=2, samples=10),
    Problem((10.0,), curvature=1, steps=20, samples=30),
)
UNEVEN_OPTIMUM = 30 / 7


class TestGlobal:
    def test_fedavg_goes_where_the_longer_pull_is(self):
        # Where 1/4 p_0 (0 - w) + 3/4 p_1 (10 - w) = 0, with p the pulls.
        steep, flat = (pull(problem, 0.001) for problem in UNEVEN)
        expected = 3 * flat * 10 / (steep + 3 * flat)
        assert expected == pytest.approx(8.81, abs=0.01)
        assert shared("fedavg", cell_run(*UNEVEN, rounds=800, learning_rate=0.001)) == pytest.approx(
            expected, rel=1e-4
        )

    def test_fednova_reaches_the_optimum(self):
        # Each pull counts per step: the fixed point is off the optimum by the order of the learning rate.
        steep, flat = (pull(problem, 0.001) / problem.steps for problem in UNEVEN)
        expected = 3 * flat * 10 / (steep + 3 * flat)
        reached = shared("fednova", cell_run(*UNEVEN, rounds=800, learning_rate=0.001))
        assert reached == pytest.approx(expected, rel=1e-4)
        assert reached == pytest.approx(UNEVEN_OPTIMUM, rel=0.005)

    def test_scaffold_reaches_the_optimum_with_many_local_steps(self):
        # 1/2 * 4 w + 1/2 (w - 10) = 0 at 2; FedAvg stops where 1 - 0.96^20 and 1 - 0.99^40 weigh the devices.
        far = (Problem((0.0,), curvature=4, steps=20), Problem((10.0,), curvature=1, steps=40))
        steep, flat = 1 - 0.96**20, 1 - 0.99**40
        assert shared("fedavg", cell_run(*far)) == pytest.approx(10 * flat / (steep + flat), rel=1e-4)
        assert 10 * flat / (steep + flat) > 3.5
        assert shared("scaffold", cell_run(*far)) == pytest.approx(2, rel=1e-4)

    def test_scaffold_weighs_by_samples(self):
        assert shared("scaffold", cell_run(*UNEVEN)) == pytest.approx(UNEVEN_OPTIMUM, rel=1e-3)

    def test_fedprox_is_pulled_less(self):
        # A step contracts towards (a b + mu w) / (a + mu) by 1 - eta (a + mu).
        mu, rate = 0.01, 0.01
        pulls = [
            (1 - (1 - rate * (p.curvature + mu)) ** p.steps) * p.curvature / (p.curvature + mu) for p in UNEVEN
        ]
        expected = 3 * pulls[1] * 10 / (pulls[0] + 3 * pulls[1])
        assert shared("fedprox", cell_run(*UNEVEN, rounds=200)) == pytest.approx(expected, rel=1e-4)

    def test_per_fedavg_descends_the_loss_after_a_step(self):
        # a (w - alpha a (w - b) - b) = a (1 - alpha a) (w - b): half the gradient at a = 50, in half the steps.
        steep = Problem((0.0,), curvature=50, steps=4)
        flat = Problem((10.0,), curvature=1, steps=20)
        first = 1 - (1 - 0.001 * 50 * (1 - 50 * ALPHA)) ** 2
        second = 1 - (1 - 0.001 * 1 * (1 - ALPHA)) ** 10
        expected = 10 * second / (first + second)
        given = cell_run(steep, flat, rounds=500, learning_rate=0.001)
        assert shared("per_fedavg", given) == pytest.approx(expected, rel=1e-4)
        assert given.spent.steps == 500 * 24


class TestDitto:
    def test_every_model_lies_between_its_own_optimum_and_the_global_weights(self):
        # w is the mean, (5, 2). v = (a b + lambda w) / (a + lambda) with lambda = 1.
        given = cell_run(
            Problem((0.0, 4.0)),
            Problem((10.0, 0.0)),
            unseen_devices=[Problem((2.0, 2.0), curvature=3)],
        )
        models = own("ditto", given)
        assert models["d0"] == pytest.approx([2.5, 3], rel=1e-3)
        assert models["d1"] == pytest.approx([7.5, 1], rel=1e-3)
        assert models["n0"] == pytest.approx([(6 + 5) / 4, (6 + 2) / 4], rel=1e-3)

    def test_where_the_devices_differ_in_curvature(self):
        steep, flat = Problem((0.0,), curvature=4, steps=40), Problem((10.0,), curvature=1, steps=20)
        first, second = pull(steep, 0.01, 20), pull(flat, 0.01, 10)
        w = 10 * second / (first + second)
        models = own("ditto", cell_run(steep, flat))
        assert models["d0"] == pytest.approx([w / 5], rel=1e-3)
        assert models["d1"] == pytest.approx([(10 + w) / 2], rel=1e-3)


FOUR = np.array([4], np.float32)


class TestApfl:
    def test_every_mixture_reaches_its_own_optimum(self):
        given = cell_run(
            Problem((0.0, 4.0), curvature=2),
            Problem((10.0, 0.0), steps=20),
            unseen_devices=[Problem((2.0, 2.0), curvature=3, own=1000)],
            rounds=100,
        )
        models = own("apfl", given)
        assert models["d0"] == pytest.approx([0, 4], abs=0.02)
        assert models["d1"] == pytest.approx([10, 0], abs=0.02)
        assert models["n0"] == pytest.approx([2, 2], abs=0.02)

    @pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
    def test_with_a_fixed_share_the_device_makes_up_for_the_global_weights(self, alpha, monkeypatch):
        # alpha v + (1 - alpha) w = b: with b = 8, w = 4 and alpha = 1/4, v = (8 - 3) / (1/4) = 20.
        monkeypatch.setattr(apfl, "ALPHA_RATE", 0.0)
        given = cell_run(Problem((8.0,), curvature=2, samples=10_000))
        samples = given.federated[0].own.support
        end, share = train_mixed(client(given), np.zeros(1, np.float32), alpha, FOUR, samples, "here")
        assert end.weights == pytest.approx([(8 - (1 - alpha) * 4) / alpha], rel=1e-4)
        assert share == alpha
        assert mixture(share, end.weights, FOUR) == pytest.approx([8], rel=1e-4)

    def test_the_share_moves_down_the_slope(self):
        # One step from v = 6, w = 4, alpha = 1/2: the mixture is 5, its gradient 2 (5 - 8) = -6, of which v
        # sees half: v = 6 + 0.01 * 3 = 6.03. alpha = 0.5 - 0.1 * (6.03 - 4) * -6 = 1.718, at most 1.
        given = cell_run(Problem((8.0,), curvature=2, samples=1))
        begin, samples = np.array([6], np.float32), given.federated[0].own.support
        end, alpha = train_mixed(client(given), begin, 0.5, FOUR, samples, "here")
        assert end.weights == pytest.approx([6.03])
        assert alpha == 1
        # From v = 3.9 the mixture is 3.95, its gradient -8.1, v = 3.9405: alpha = 0.5 - 0.1 * 0.0595 * 8.1.
        _, alpha = train_mixed(client(given), np.array([3.9], np.float32), 0.5, FOUR, samples, "here")
        assert alpha == pytest.approx(0.5 - 0.1 * 0.0595 * 8.1, rel=1e-4)

    def test_a_share_of_one_is_the_device_alone(self):
        assert mixture(1.0, np.array([3.0]), np.array([7.0])).tolist() == [3]
        assert mixture(0.25, np.array([3.0]), np.array([7.0])).tolist() == [6]


class TestFedRep:
    DEVICES = (Problem((0.0, 4.0)), Problem((10.0, 0.0)))

    def test_the_first_half_is_shared_and_the_head_is_the_devices_own(self):
        given = cell_run(*self.DEVICES, unseen_devices=[Problem((2.0, 2.0))], start=[1.0, 7.0])
        models = own("fedrep", given)
        assert models["d0"] == pytest.approx([5, 4], rel=1e-3)
        assert models["d1"] == pytest.approx([5, 0], abs=1e-3)
        # The fine-tuning of these tests does nothing, so the unseen device keeps the head of the start.
        assert models["n0"] == pytest.approx([5, 7], rel=1e-3)

    def test_only_the_first_half_travels(self):
        given = cell_run(*self.DEVICES, unseen_devices=[Problem((2.0, 2.0))], rounds=7)
        own("fedrep", given)
        # Of two weights one, 4 bytes: two devices down and up in 7 rounds, and the end to three.
        assert given.spent.bytes == 4 * (2 * 2 * 7 + 3)

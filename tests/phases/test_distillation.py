"""One network learns what teachers say, from synthetic samples."""

import numpy as np
from scipy.special import expit

from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.distillation import distil, synthetic

OWN = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32) * [1, 1, 0]


def test_synthetic_inputs_are_like_the_devices_and_reach_beyond_them():
    made = synthetic(OWN.astype(np.float32), 5000, np.random.default_rng(1))
    assert made.shape == (5000, 3) and made.dtype == np.float32
    assert (made[:, 2] == 0).all()  # an input that the device has not stays zero
    assert abs(made[:, 0].mean() - OWN[:, 0].mean()) < 0.2
    assert made[:, 0].max() > OWN[:, 0].max()


def test_a_network_learns_to_say_what_its_teacher_says_where_the_device_has_no_sample():
    learner = NetworkLearner(Network(3, (16, 8)), 3e-3, 0)

    def teacher(x):
        p = expit(4 * x[:, 0] * x[:, 1])
        return np.stack([1 - p, p], axis=1)

    own = OWN[OWN[:, 0] > 0].astype(np.float32)
    taught = distil(learner, learner.initial(), teacher, own, 12_000, 3e-3, 0, "pump")
    x = np.random.default_rng(2).standard_normal((500, 3)).astype(np.float32) * np.float32([1, 1, 0])
    agree = (learner.probabilities(taught, x) > 0.5) == (teacher(x)[:, 1] > 0.5)
    assert agree.mean() > 0.9

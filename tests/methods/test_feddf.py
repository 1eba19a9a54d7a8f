"""Ensemble distillation: what the ensemble says, who takes the steps, and that no public label is read."""

import numpy as np
import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods import find
from fedmetaalign.methods.feddf import METHOD, soft_targets


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([3.0, -1.0], 0.7310586),  # sigmoid(1); the mean of the two probabilities would be 0.61
        ([2.0, 2.0, 2.0], 0.8807971),
        ([300.0, -300.0], 0.5),
        ([300.0, 300.0], 1.0),
    ],
)
def test_the_target_is_the_sigmoid_of_the_mean_logit(logits, expected):
    ensemble = [np.array([z, 0], np.float32) for z in logits]
    targets = soft_targets(Learner(), ensemble, np.zeros((3, 9), np.float32))
    assert targets.dtype == np.float32
    assert targets == pytest.approx([expected] * 3, abs=1e-6)


def test_the_server_goes_on_from_the_mean_with_the_ensembles_labels():
    # The devices come to 1 and 3, and the server adds 10 to their mean by samples.
    learner = Learner([1, 3, 10])
    given = cell_run(learner, serial=0, parallel=1, foundation=True)
    # Who has the most samples is asked first.
    a, b = sorted((len(device.own.support) for device in given.federated), reverse=True)
    mean = (a * 1 + b * 3) / (a + b)
    outcome = given.run(METHOD)
    begin, samples, _ = learner.seen[2]
    assert begin == pytest.approx([mean, mean])
    assert samples.y == pytest.approx(np.full(len(samples), 0.8807971))  # sigmoid((1 + 3) / 2)
    assert firsts(outcome) == pytest.approx([mean + 10])
    public = {row.tobytes() for row in given.public.support.x}
    assert {row.tobytes() for row in samples.x} <= public


def test_the_servers_steps_are_a_fifth_and_the_devices_go_without_them():
    learner = Learner()
    given, other = (cell_run(who, foundation=True, parallel=10) for who in (learner, Learner()))
    given.run(METHOD)
    other.run(find("fedavg"))
    assert given.spent.steps == other.spent.steps
    public = sum(len(samples) for i, (_, samples, _) in enumerate(learner.seen) if i % 3 == 2)
    assert public / given.spent.steps == pytest.approx(0.2, abs=0.01)

"""What hostile devices send follows the protocol, and lies as each attack says."""

import numpy as np
import pytest

from fedmetaalign.federation.attacks import forged, hostile
from fedmetaalign.federation.messages import Local, Train, Update, Visit
from fedmetaalign.model.mlp import diverged

WEIGHTS = np.array([1, -2, 3, 4], np.float32)
STEPS = {"a": np.array([3, 0, 4, 0], np.float32), "b": np.array([1, 2, 2, 0], np.float32)}
SIGNED = {"flip": -1, "scale": -100, "nothing": 0, "inflated": -1, "labels": 1}


def updates(attack, number=2):
    honest = {name: Update(step, 0.5, 100, 100, 0.7, 1.0, 0.6) for name, step in STEPS.items()}
    return forged(attack, Train(WEIGHTS, number, 5), honest, 0)


def locals_(attack):
    honest = {
        name: Local(WEIGHTS + step, 0.7, 1.0, 0.6, 100, {"fold": -WEIGHTS + step})
        for name, step in STEPS.items()
    }
    return forged(attack, Visit(WEIGHTS, 1, 5, 1, vectors={"fold": -WEIGHTS}), honest, 0)


@pytest.mark.parametrize(("attack", "sign"), SIGNED.items())
def test_steps_against_their_own(attack, sign):
    for name, step in STEPS.items():
        assert (updates(attack)[name].delta == sign * step).all()
        assert (locals_(attack)[name].weights == WEIGHTS + sign * step).all()
        assert (locals_(attack)[name].vectors["fold"] == -WEIGHTS + sign * step).all()


def test_random_steps_are_as_long_as_honest_ones_and_those_of_copies_the_same():
    for attack, same in (("noise", False), ("copies", True)):
        found = {name: each.delta / np.linalg.norm(STEPS[name]) for name, each in updates(attack).items()}
        assert [np.linalg.norm(each) for each in found.values()] == pytest.approx([1, 1])
        assert np.allclose(found["a"], found["b"]) == same


def test_little_lies_a_standard_deviation_below_the_mean():
    assert np.allclose(updates("little")["a"].delta, [1, 0, 2, 0])


def test_the_largest_weights_are_let_through():
    for reply in locals_("huge").values():
        assert (reply.weights == 9900).all() and not diverged(reply.weights)


def test_some_boast():
    assert {each.query_score for each in updates("inflated").values()} == {1.0}
    assert {each.samples for each in updates("inflated").values()} == {1_000_000}
    assert {(each.query_score, each.samples) for each in updates("nothing").values()} == {(1.0, 100)}
    assert {each.query_score for each in updates("flip").values()} == {0.5}


def test_the_first_delta_is_honest():
    assert all((updates("huge", 1)[name].delta == step).all() for name, step in STEPS.items())


def test_a_share_of_the_devices_is_hostile_whatever_the_seed():
    names = tuple(f"d{i}" for i in range(10))
    assert len(hostile(names, 0.2)) == 2 and len(hostile(names, 0.01)) == 1
    assert set(hostile(names, 0.2)) < set(hostile(names, 0.3))

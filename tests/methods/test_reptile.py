"""Reptile's interpolation, by hand."""

from dataclasses import replace

from fake_learner import Learner, cell_run

from fedmetaalign.methods.reptile import METHOD


def test_a_device_begins_where_the_one_before_has_moved_the_weights():
    learner = Learner()
    cell_run(learner, serial=0).run(METHOD)
    assert [float(weights[0]) for weights, *_ in learner.seen] == [0, 1, 2, 2.5]


def orders(seed):
    """The devices of each of eight rounds in the order of their training."""
    learner = Learner()
    given = cell_run(learner, devices=5, serial=4, parallel=4)
    replace(given, recipe=given.recipe.model_copy(update={"seed": seed})).run(METHOD)
    owner = {row.tobytes(): device.name for device in given.federated for row in device.own.support.x}
    visits = [owner[samples.x[0].tobytes()] for _, samples, _ in learner.seen]
    return [visits[i : i + 5] for i in range(0, 40, 5)]


def test_each_round_visits_every_device_once_in_a_fresh_order():
    one = orders(seed=0)
    assert all(len(set(visits)) == 5 for visits in one)
    assert len({tuple(visits) for visits in one}) > 4
    assert one == orders(seed=0) != orders(seed=1)

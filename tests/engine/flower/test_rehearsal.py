"""What a device does for practice: the training of its first round, of which nothing is kept."""

import numpy as np

from fedmetaalign.engine.flower import rehearsal
from fedmetaalign.fleet.build import build
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.recipe import parse


def test_a_device_trains_once_what_its_first_round_will_and_no_more(monkeypatch):
    trained = []
    train = NetworkLearner.train
    monkeypatch.setattr(
        NetworkLearner, "train", lambda *a, **b: (trained.append((a[2], *a[3:])), train(*a, **b))[1]
    )
    raw = {"fleet": {"simulator": "feeder", "count": 1, "samples": 100}, "model": {"hidden": [4]}}
    for rounds, address in ((1, ("serial", 1, "feeder-00")), (0, ("parallel", 1, "feeder-00"))):
        recipe = parse({**raw, "serial": {"rounds": rounds}}, "here")
        [device] = build(recipe).devices
        rehearsal.note(recipe, device)
        rehearsal.rehearse()
        rehearsal.rehearse()
        [(samples, *found)] = trained
        assert tuple(found) == address
        np.testing.assert_array_equal(samples.x, device.parts[address[0]].support.x)
        trained.clear()


def test_who_has_many_samples_does_not_practise(monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST", 10)
    recipe = parse({"fleet": {"simulator": "feeder", "count": 1, "samples": 100}}, "here")
    rehearsal.note(recipe, build(recipe).devices[0])
    assert rehearsal._next == []

"""All data in one place: how much is trained, on what, and what is sent."""

from fake_learner import Learner, race

from fedmetaalign.methods.pooled import pooled


def test_one_stream_has_all_devices_steps_and_samples():
    learner = Learner()
    task = race(learner)
    outcome = pooled(task)
    [(_, samples, _)] = learner.seen
    assert len(samples) == task.ledger.steps == sum(map(task.all_steps, task.members))
    mine = {row.tobytes() for device in task.members for row in device.own.support.x}
    assert {row.tobytes() for row in samples.x} == mine
    assert set(outcome.models) == {device.name for device in task.devices}


def test_samples_travel_to_the_server_and_weights_back():
    task = race(Learner())
    pooled(task)
    rows = sum(len(device.own.support) for device in task.members)
    # A feeder's six features and the label of each sample; two weights to each of two devices.
    assert task.ledger.bytes == rows * 7 * 4 + 2 * 2 * 4

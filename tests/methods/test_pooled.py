"""All data in one place: how much is trained, on what, and what is sent."""

from fake_learner import Learner, cell_run

from fedmetaalign.methods.pooled import METHOD
from fedmetaalign.phases.budget import all_steps


def test_one_stream_has_all_devices_steps_and_samples():
    learner = Learner()
    given = cell_run(learner)
    outcome = given.run(METHOD)
    [(_, samples, _)] = learner.seen
    assert (
        len(samples)
        == given.spent.steps
        == sum(all_steps(given.recipe, (device,), 2) for device in given.federated)
    )
    mine = {row.tobytes() for device in given.federated for row in device.own.support.x}
    assert {row.tobytes() for row in samples.x} == mine
    assert set(outcome.models) == {device.name for device in given.devices}


def test_samples_travel_to_the_server_and_weights_back():
    given = cell_run(Learner())
    given.run(METHOD)
    rows = sum(len(device.own.support) for device in given.federated)
    # A feeder's six features and the label of each sample; two weights to each of two devices.
    assert given.spent.bytes == rows * 7 * 4 + 2 * 2 * 4

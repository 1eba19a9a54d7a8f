"""Local only: what a device reaches by itself, on its own samples, with the steps that the federation spends.

The paper's first baseline. It is what a device's owner has to give up to join, so it stands in every result.
"""

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._task import Outcome, Task, passes
from fedmetaalign.phases.personalize import Personal


def local_only(task: Task) -> Outcome:
    """Trains every device by itself."""
    every = {device.name: train_alone(task, device, task.all_steps(device)) for device in task.devices}
    return Outcome({name: task.model(own) for name, own in every.items()})


def train_alone(task: Task, device: Device, steps: int) -> Personal:
    """Trains from the common start on all of a device's training samples but the validation part."""
    samples = passes(device.own.support, 0, steps, task.recipe.seed, "alone", device.name)
    return task.own(device, task.train(task.start, samples, "alone", device.name).weights)

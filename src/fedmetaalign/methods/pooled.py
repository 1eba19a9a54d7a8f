"""Pooled: one network trained on all members' samples in one place, which is what the federation avoids.

w  <-  argmin_w  sum_k  n_k / n  L_k(w)

in one stream of as many steps as all members together may take, those of their phase 3 included. All devices
share the weights, and each chooses the threshold on its own validation part. Samples travel instead of weights:
every feature and the label of each as a float32.
"""

import numpy as np

from fedmetaalign.methods._task import Outcome, Task, passes
from fedmetaalign.model.online import Samples


def pooled(task: Task) -> Outcome:
    """Collects the samples, trains, and hands the weights to every device."""
    parts = [device.own.support for device in task.members]
    samples = Samples(*map(np.concatenate, zip(*parts, strict=True)))
    numbers = sum(len(d.own.support) * (len(d.preparation.features) + 1) for d in task.members)
    task.send(vectors=numbers / len(task.start))

    steps = sum(map(task.all_steps, task.members))
    stream = passes(samples, 0, steps, task.recipe.seed, "pooled")
    weights = task.train(task.start, stream, "pooled").weights
    task.send(messages=len(task.devices))
    return Outcome({device.name: task.model(task.own(device, weights)) for device in task.devices})

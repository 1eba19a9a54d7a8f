"""Reptile (Nichol et al., 2018, the paper's [6]): an initialisation from which each device is soon at home.

w  <-  w + eps (w_k - w)    after each device, with w_k trained from w on device k

One device after the other, as in their serial version, in a fresh random order each round; eps falls linearly
from 1 towards 0 over the rounds, as in their experiments. They train with Adam and beta_1 = 0; our stream has
beta_1 = 0.9, and moments that start at zero on every device.
"""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.methods._federated import fine_tuned, tour
from fedmetaalign.methods._task import Outcome, Task


def reptile(task: Task) -> Outcome:
    """Runs Reptile, then fine-tunes on every device."""
    return fine_tuned(task, _rounds(task))


def _rounds(task: Task) -> Iterator[np.ndarray]:
    weights = task.start
    for number in range(1, task.rounds + 1):
        weights = tour(task, weights, number, eps=1 - (number - 1) / task.rounds)
        yield weights

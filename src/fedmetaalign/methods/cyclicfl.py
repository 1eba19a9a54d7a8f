"""CyclicFL (Zhang et al., 2023): the weights tour the devices first, which makes a start for FedAvg.

    tours:   w <- w_k                    after each device in turn, with w_k trained from w on device k
    rounds:  w <- sum_k  n_k / n  w_k

There are as many tours as in the paper's phase 1, and what is left of the rounds is FedAvg's.
"""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.methods._federated import fine_tuned, rounds, tour
from fedmetaalign.methods._task import Outcome, Task


def cyclicfl(task: Task) -> Outcome:
    """Runs the tours and FedAvg, then fine-tunes on every device."""
    return fine_tuned(task, _rounds(task))


def _rounds(task: Task) -> Iterator[np.ndarray]:
    weights, tours = task.start, task.recipe.serial.rounds * task.recipe.serial.tours
    for number in range(1, tours + 1):
        weights = tour(task, weights, number)
        yield weights
    yield from rounds(task, weights, numbers=range(tours + 1, task.rounds + 1))

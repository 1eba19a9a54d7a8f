"""FedProx (Li et al., 2020): FedAvg whose devices are held near the global weights.

w_k  <-  argmin_w  L_k(w) + mu / 2 |w - w_global|^2,    w  <-  sum_k  n_k / n  w_k
"""

from functools import partial

from fedmetaalign.methods._federated import fine_tuned, minimising, rounds
from fedmetaalign.methods._task import Outcome, Task
from fedmetaalign.model.objective import Objective

MU = 0.01
"""The paper's section IV.C."""


def fedprox(task: Task) -> Outcome:
    """Runs FedProx, then fine-tunes on every device."""
    return fine_tuned(
        task, rounds(task, task.start, local=minimising(partial(Objective.proximal, stiffness=MU)))
    )

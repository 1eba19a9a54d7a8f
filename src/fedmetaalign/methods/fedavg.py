"""FedAvg (McMahan et al., 2017, the paper's [2]): train locally, average by samples.

w  <-  sum_k  n_k / n  w_k
"""

from fedmetaalign.methods._federated import fine_tuned, rounds
from fedmetaalign.methods._task import Outcome, Task


def fedavg(task: Task) -> Outcome:
    """Runs FedAvg, then fine-tunes on every device."""
    return fine_tuned(task, rounds(task, task.start))

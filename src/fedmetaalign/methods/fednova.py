"""FedNova (Wang et al., 2020): FedAvg whose deltas are averaged per local step.

w  <-  w + tau sum_k  n_k / n  (w_k - w) / tau_k,    tau = sum_k  n_k / n  tau_k

with tau_k the steps that device k takes in the round; see `aggregation.fednova`.
"""

from fedmetaalign.aggregation.fednova import fednova as rule
from fedmetaalign.methods._federated import fine_tuned, rounds
from fedmetaalign.methods._task import Outcome, Task


def fednova(task: Task) -> Outcome:
    """Runs FedNova, then fine-tunes on every device."""
    return fine_tuned(task, rounds(task, task.start, rule=rule))

"""FedAvgM (Hsu et al., 2019, "Measuring the effects of non-identical data distribution"): FedAvg with momentum.

v  <-  beta v + sum_k  n_k / n  (w_k - w),    w  <-  w + v
"""

import optax

from fedmetaalign.methods._federated import fine_tuned, rounds
from fedmetaalign.methods._task import Outcome, Task

BETA = 0.9
"""As Reddi et al. (2021) run FedAvgM; Hsu et al. try 0.7 to 0.997."""


def fedavgm(task: Task) -> Outcome:
    """Runs FedAvgM, then fine-tunes on every device."""
    return fine_tuned(task, rounds(task, task.start, server=optax.sgd(1.0, momentum=BETA)))

"""FedYogi (Reddi et al., 2021, Algorithm 2): FedAdam whose second moment changes slowly.

    delta = sum_k  n_k / n  (w_k - w)
    m  <-  b1 m + (1 - b1) delta
    v  <-  v - (1 - b2) delta^2 sign(v - delta^2)
    w  <-  w + eta m / (sqrt(v) + tau)

v starts at tau^2, which is optax's initial value. optax corrects the bias of m and v, which Algorithm 2 does
not, and starts m at 1e-6 too: that alone moves a weight by 4e-5 over all rounds.
"""

import optax

from fedmetaalign.methods._federated import fine_tuned, rounds
from fedmetaalign.methods._task import Outcome, Task
from fedmetaalign.methods.fedadam import B1, B2, SERVER_LEARNING_RATE, TAU


def fedyogi(task: Task) -> Outcome:
    """Runs FedYogi, then fine-tunes on every device."""
    server = optax.yogi(SERVER_LEARNING_RATE, b1=B1, b2=B2, eps=TAU)
    return fine_tuned(task, rounds(task, task.start, server=server))

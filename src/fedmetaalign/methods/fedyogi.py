"""FedYogi (Reddi et al., 2021, Algorithm 2): FedAdam whose second moment changes slowly.

    delta = sum_k  n_k / n  (w_k - w)
    m  <-  b1 m + (1 - b1) delta
    v  <-  v - (1 - b2) delta^2 sign(v - delta^2)
    w  <-  w + eta m / (sqrt(v) + tau)

v starts at tau^2, which is optax's initial value. optax corrects the bias of m and v, which Algorithm 2 does
not, and starts m at 1e-6 too: that alone moves a weight by 4e-5 over all rounds.
"""

import optax

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.methods.fedadam import B1, B2, SERVER_LEARNING_RATE, TAU

METHOD = Method(parallel_rounds(optimizer=optax.yogi(SERVER_LEARNING_RATE, b1=B1, b2=B2, eps=TAU)))

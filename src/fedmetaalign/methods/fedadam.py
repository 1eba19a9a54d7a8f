"""FedAdam (Reddi et al., 2021, "Adaptive federated optimization", Algorithm 2): Adam on the server.

    delta = sum_k  n_k / n  (w_k - w)
    m  <-  b1 m + (1 - b1) delta
    v  <-  b2 v + (1 - b2) delta^2
    w  <-  w + eta m / (sqrt(v) + tau)

optax's Adam starts v at 0 and corrects the bias of m and v, as Kingma and Ba do; Algorithm 2 starts v at tau^2
or more and corrects nothing.
"""

import optax

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds

B1, B2, TAU = 0.9, 0.99, 1e-3
SERVER_LEARNING_RATE = 1e-2
"""All four as for CIFAR-10 in Reddi et al. Like every method's, only the devices' learning rate is tuned."""

METHOD = Method(parallel_rounds(optimizer=optax.adam(SERVER_LEARNING_RATE, b1=B1, b2=B2, eps=TAU)))

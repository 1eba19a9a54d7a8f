"""FedProx (Li et al., 2020): FedAvg whose devices are held near the global weights.

w_k  <-  argmin_w  L_k(w) + mu / 2 |w - w_global|^2,    w  <-  sum_k  n_k / n  w_k
"""

from functools import partial

from fedmetaalign.methods._device import minimising
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.model.objective import Objective

MU = 0.01
"""The paper's section IV.C."""

METHOD = Method(parallel_rounds(), local=minimising(partial(Objective.proximal, mu=MU)))

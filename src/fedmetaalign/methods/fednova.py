"""FedNova (Wang et al., 2020): FedAvg whose deltas are averaged per local step.

w  <-  w + tau sum_k  n_k / n  (w_k - w) / tau_k,    tau = sum_k  n_k / n  tau_k

with tau_k the steps that device k takes in the round; see `aggregation.fednova`.
"""

from fedmetaalign.aggregation import stacked
from fedmetaalign.aggregation.fednova import fednova as rule
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds

METHOD = Method(parallel_rounds(stacked(rule)))

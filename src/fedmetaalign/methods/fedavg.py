"""FedAvg (McMahan et al., 2017, the paper's [2]): train locally, average by samples.

w  <-  sum_k  n_k / n  w_k
"""

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds

METHOD = Method(parallel_rounds())

"""FedAvgM (Hsu et al., 2019, "Measuring the effects of non-identical data distribution"): FedAvg with momentum.

v  <-  beta v + sum_k  n_k / n  (w_k - w),    w  <-  w + v
"""

import optax

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds

BETA = 0.9
"""As Reddi et al. (2021) run FedAvgM; Hsu et al. try 0.7 to 0.997."""

METHOD = Method(parallel_rounds(optimizer=optax.sgd(1.0, momentum=BETA)))

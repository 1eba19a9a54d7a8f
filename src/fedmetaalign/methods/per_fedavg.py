"""Per-FedAvg (Fallah et al., 2020, "Personalized Federated Learning with Theoretical Guarantees"), first order.

FedAvg of L_k(w - alpha grad L_k(w)) in place of L_k(w): global weights from which one gradient step on a device
makes a good model. Without second derivatives (the paper's FO variant), each gradient on a sample of its own:

    w_k  <-  w_k - eta grad L_k(w_k - alpha grad L_k(w_k))

A step costs two gradients, so a round sees half of its samples. The device's own step is phase 3's fine-tuning,
which is longer than one step, as for every method.
"""

from fedmetaalign.methods._device import minimising
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds
from fedmetaalign.model.objective import Objective

ALPHA = 0.01
"""Of the paper's experiments."""

METHOD = Method(parallel_rounds(), local=minimising(lambda weights: Objective(lookahead=ALPHA), share=0.5))

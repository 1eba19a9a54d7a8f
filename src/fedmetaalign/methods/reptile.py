"""Reptile (Nichol et al., 2018, the paper's [6]): an initialisation from which each device is soon at home.

w  <-  w + eps (w_k - w)    after each device, with w_k trained from w on device k

One device after the other, as in their serial version, in a fresh random order each round; eps falls linearly
from 1 towards 0 over the rounds, as in their experiments. They train with Adam and beta_1 = 0; our stream has
beta_1 = 0.9, and moments that start at zero on every device.
"""

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import tour_rounds
from fedmetaalign.phases.budget import exchanges
from fedmetaalign.phases.server import Round, Server


def rounds(server: Server) -> list[Round]:
    """Lists the tours, on which the weights go a shorter way each time."""
    count = exchanges(server.recipe)
    return tour_rounds(server, count, eps=lambda number: 1 - (number - 1) / count)


METHOD = Method(rounds)

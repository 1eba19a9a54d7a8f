"""CyclicFL (Zhang et al., 2023): the weights tour the devices first, which makes a start for FedAvg.

    tours:   w <- w_k                    after each device in turn, with w_k trained from w on device k
    rounds:  w <- sum_k  n_k / n  w_k

There are as many tours as in the paper's phase 1, and what is left of the rounds is FedAvg's.
"""

from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import parallel_rounds, tour_rounds
from fedmetaalign.phases.budget import tours
from fedmetaalign.phases.server import Round, Server


def rounds(server: Server) -> list[Round]:
    """Lists the tours, then FedAvg's rounds."""
    return tour_rounds(server, tours(server.recipe)) + after_tours(server)


after_tours = parallel_rounds(after_tours=lambda server: tours(server.recipe))

METHOD = Method(rounds)

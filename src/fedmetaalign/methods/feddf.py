"""FedDF (Lin et al., 2020, the paper's [10]): the devices' ensemble teaches the global model on public samples.

    w  <-  sum_k  n_k / n  w_k
    w  <-  argmin_w  KL(sigmoid(mean_k z(w_k, x)) || sigmoid(z(w, x)))    over unlabelled public samples x

with z the logit. The gradient is that of the cross-entropy with the ensemble's probability as a soft label. The
server's steps are taken from those of the round's devices, so that the budget is that of the other methods.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import expit, logit, softmax

from fedmetaalign.federation.messages import Train, Update
from fedmetaalign.federation.records import Record
from fedmetaalign.methods._device import minimising
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._server import exchange_round
from fedmetaalign.model.learner import Learner
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.budget import exchanges
from fedmetaalign.phases.client import Client, check_finite, passes
from fedmetaalign.phases.server import Round, Server, State
from fedmetaalign.recipe import Recipe

SHARE = 0.2
"""Of a round's steps, for the server. Lin et al. let it take up to 10,000 beside the devices' own."""

most = minimising(share=1 - SHARE)


def rounds(server: Server) -> list[Round]:
    """Lists the rounds."""
    count = exchanges(server.recipe)
    return [Round("parallel", i, partial(distilled_round, server, i)) for i in range(1, count + 1)]


def distilled_round(server: Server, number: int, state: State) -> tuple[State, list[Record]]:
    """Averages the devices' weights, then lets their ensemble teach the mean."""
    after, updates, records = exchange_round(server, state, number)
    steps = sum(each.left_steps for each in updates.values())
    if steps == 0 or server.public is None:
        return after, records
    x, _ = passes(server.public.support, 0, steps, server.recipe.seed, "distil", number)
    ensemble = [state.weights + each.delta for each in updates.values()]
    samples = Samples(x, soft_targets(server.learner, ensemble, x))
    weights = server.learner.train(after.weights, samples, "distil", number).weights
    check_finite(weights, f"after parallel round {number}")
    return replace(after, weights=weights), records


def soft_targets(learner: Learner, ensemble: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Returns what the ensemble says of samples: the sigmoid or softmax of its mean logits (AVGLOGITS).

    Args:
        learner: gives the probabilities.
        ensemble: each device's weights, (parameters,) float32.
        x: (rows, inputs) float32.

    Returns:
        (rows,) float32, the probability of a fault; of more than two classes (rows, classes), that of each.
    """
    tiny = np.finfo(np.float64).eps  # a probability nearer to 1 is rounded to it, and has lost its logit
    said = [np.clip(learner.probabilities(weights, x), tiny, 1 - tiny) for weights in ensemble]
    if learner.target.outputs == 1:
        return np.asarray(expit(np.mean([logit(p) for p in said], axis=0)), np.float32)
    # A softmax takes no notice of what a row's logits have in common, and log p differs from them by no more.
    return np.asarray(softmax(np.mean([np.log(p) for p in said], axis=0), axis=1), np.float32)


def local(client: Client, request: Train) -> Update:
    """Trains as FedAvg does, but for the steps that are the server's."""
    left = len(client.stretch(request)) - len(client.stretch(request, 1 - SHARE))
    return replace(most(client, request), left_steps=left)


def lacking(recipe: Recipe) -> str:
    """Says so where the recipe has no public samples."""
    if recipe.foundation.enabled:
        return ""
    return (
        "feddf distils on public samples, and the recipe has none: give [foundation] a table or a simulator"
        " and set foundation.enabled = true, or leave feddf out."
    )


METHOD = Method(rounds, local=local, lacking=lacking)

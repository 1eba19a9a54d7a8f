"""Phase 0: foundational model initialisation (the paper's Algorithm 1)."""

from collections.abc import Callable

import numpy as np

from fedmetaalign.fleet.device import Part
from fedmetaalign.model.mlp import Network, initialize, losses, scores
from fedmetaalign.model.online import ignore_steps, train
from fedmetaalign.phases.records import Record, record
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Foundation, Optimizer


def initial(network: Network, seed: int) -> np.ndarray:
    """Draws the random weights that everything starts from, (parameters,) float32."""
    return initialize(network, generator(seed, "initialize"))


def pretrain(
    network: Network,
    weights: np.ndarray,
    public: Part,
    settings: Foundation,
    optimizer: Optimizer,
    seed: int,
    on_steps: Callable[[int], None] = ignore_steps,
) -> tuple[np.ndarray, list[Record]]:
    """Trains the base model phi_0 on public data.

    Args:
        network: the architecture A.
        weights: (parameters,) float32, random.
        public: D_public; its query part is a diagnostic only.
        settings: E epochs, and the learning rate eta where it is not the optimizer's.
        optimizer: how to train.
        seed: the recipe's seed.
        on_steps: told of the steps taken.

    Returns:
        (parameters,) float32, and one record an epoch.
    """
    trained = train(
        network,
        weights,
        public.support,
        learning_rate=settings.learning_rate or optimizer.learning_rate,
        epochs=settings.epochs,
        random=generator(seed, "stream", "foundation"),
        on_steps=on_steps,
    )
    records = [record(0, epoch, "public", support_loss=loss) for epoch, loss in enumerate(trained.losses, 1)]
    correct = (scores(network, trained.weights, public.query.x) > 0.5) == (public.query.y > 0)
    records[-1] |= {
        "query_loss": float(losses(network, trained.weights, *public.query).mean()),
        "accuracy": float(correct.mean()),
    }
    return trained.weights, records

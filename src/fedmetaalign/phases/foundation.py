"""Phase 0: foundational model initialisation (the paper's Algorithm 1)."""

import numpy as np

from fedmetaalign.federation.records import Record, record
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.learner import Learner
from fedmetaalign.recipe import Foundation


def pretrain(
    learner: Learner, weights: np.ndarray, public: Part, settings: Foundation
) -> tuple[np.ndarray, list[Record]]:
    """Trains the base model phi_0 on public data.

    Args:
        learner: how to train; its network is the architecture A.
        weights: (parameters,) float32, random.
        public: D_public; its query part is a diagnostic only.
        settings: E epochs, and the learning rate eta where it is not the learner's.

    Returns:
        (parameters,) float32, and one record an epoch.
    """
    trained = learner.train(
        weights,
        public.support,
        "foundation",
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
    )
    records = [record(0, epoch, "public", support_loss=loss) for epoch, loss in enumerate(trained.losses, 1)]
    query_loss, accuracy = learner.evaluate(trained.weights, public.query)
    records[-1] |= {"query_loss": query_loss, "accuracy": accuracy}
    return trained.weights, records

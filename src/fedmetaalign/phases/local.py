"""What one device does when asked to train: the step that phases 1 and 2 share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedmetaalign.engine.compression import Packed
from fedmetaalign.fleet.device import Part
from fedmetaalign.model.mlp import Network, cross_entropy, logits, score
from fedmetaalign.model.online import train
from fedmetaalign.recipe import Optimizer


@dataclass(frozen=True)
class Local:
    """A device's weights after training on its support set, and how they do on its query set.

    Attributes:
        weights: (parameters,) float32.
        support_loss: mean binary cross-entropy met while training, over the last epoch.
        query_loss: mean binary cross-entropy on the query set afterwards, the paper's L_t^Q.
        accuracy: on the query set, at a threshold of 0.5.
        samples: number of support samples.
    """

    weights: np.ndarray
    support_loss: float
    query_loss: float
    accuracy: float
    samples: int


@dataclass(frozen=True)
class Update:
    """What a device sends to the server in one round.

    Attributes:
        delta: (parameters,) float32, local weights minus the round's global weights.
        score: s = 1 / (1 + query loss), in (0, 1].
        samples: number of support samples.
        support_loss: diagnostic, see `Local`.
        query_loss: diagnostic.
        accuracy: diagnostic, on the query set.
        packed: the delta as it travels; None where it travels as it is.
    """

    delta: np.ndarray
    score: float
    samples: int
    support_loss: float
    query_loss: float
    accuracy: float
    packed: Packed | None = None


def train_locally(
    network: Network,
    weights: np.ndarray,
    part: Part,
    optimizer: Optimizer,
    epochs: int,
    random: np.random.Generator,
    on_steps: Callable[[int], None],
) -> Local:
    """Trains sample by sample on the support set, then evaluates on the query set."""
    trained = train(
        network,
        weights,
        part.support,
        learning_rate=optimizer.learning_rate,
        epochs=epochs,
        random=random,
        on_steps=on_steps,
    )
    z = logits(network, trained.weights, part.query.x)
    correct = (score(z) > 0.5) == (part.query.y > 0)
    return Local(
        weights=trained.weights,
        support_loss=trained.loss,
        query_loss=float(cross_entropy(z, part.query.y).mean()),
        accuracy=float(correct.mean()),
        samples=len(part.support),
    )

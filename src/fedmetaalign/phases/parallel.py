"""Phase 2: parallel similarity-aware federated learning (the paper's section III.C and Algorithm 3)."""

from collections.abc import Callable

import numpy as np

from fedmetaalign.aggregation import Cohort, Rule
from fedmetaalign.engine import Engine
from fedmetaalign.errors import RunError
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases.local import Update, train_locally
from fedmetaalign.phases.records import Record, record
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Optimizer, Parallel


def local_update(
    network: Network,
    device: Device,
    weights: np.ndarray,
    number: int,
    settings: Parallel,
    optimizer: Optimizer,
    seed: int,
    on_steps: Callable[[int], None] = ignore_steps,
) -> Update:
    """The device's step: trains w^(r-1) on S_t,p2, scores it on Q_t,p2 and takes the difference."""
    random = generator(seed, "stream", "parallel", number, device.name)
    part = device.parts["parallel"]
    local = train_locally(network, weights, part, optimizer, settings.epochs, random, on_steps)
    return Update(
        delta=local.weights - weights,
        score=1 / (1 + local.query_loss),
        samples=local.samples,
        support_loss=local.support_loss,
        query_loss=local.query_loss,
        accuracy=local.accuracy,
    )


def cohort(names: tuple[str, ...], number: int, share: float, seed: int) -> tuple[str, ...]:
    """Draws the devices of a round, C_r: a share of all, at least one, sorted by name."""
    size = max(1, round(share * len(names)))
    chosen = generator(seed, "cohort", number).choice(len(names), size, replace=False)
    return tuple(names[i] for i in sorted(chosen))


def fl_round(
    engine: Engine, weights: np.ndarray, number: int, rule: Rule, settings: Parallel, seed: int
) -> tuple[np.ndarray, list[Record]]:
    """One communication round: broadcast, local training, aggregation.

    Args:
        engine: reaches the devices.
        weights: (parameters,) float32, the global model w^(r-1).
        number: the round r, from 1.
        rule: how the server weights the deltas.
        settings: the recipe's section.
        seed: the recipe's seed.

    Returns:
        The global model w^(r) = w^(r-1) + alpha * step, and one record a device that answered.

    Raises:
        RunError: no device answered.
    """
    names = cohort(engine.names, number, settings.cohort, seed)
    replies = engine.train(names, weights, number)
    if not replies:
        raise RunError(f"No device answered in parallel round {number}: see that they run, then use --resume.")
    names = tuple(sorted(replies))  # the order of summing is that of the names, not of the answers
    updates = [replies[name] for name in names]
    aggregate = rule(
        Cohort(
            deltas=np.stack([update.delta for update in updates]),
            scores=np.array([update.score for update in updates]),
            samples=np.array([update.samples for update in updates]),
        )
    )
    with np.errstate(over="ignore"):  # weights that are no longer finite are told of by whoever runs the rounds
        stepped = (weights + settings.server_learning_rate * aggregate.step).astype(np.float32)
    records = [
        record(
            2,
            number,
            name,
            support_loss=update.support_loss,
            query_loss=update.query_loss,
            score=update.score,
            alignment=None if aggregate.alignment is None else float(aggregate.alignment[i]),
            weight=float(aggregate.weights[i]),
            delta_norm=float(np.linalg.norm(update.delta.astype(np.float64))),
            accuracy=update.accuracy,
        )
        for i, (name, update) in enumerate(zip(names, updates, strict=True))
    ]
    return stepped, records

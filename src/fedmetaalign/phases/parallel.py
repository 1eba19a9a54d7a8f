"""Phase 2: parallel similarity-aware federated learning (the paper's section III.C and Algorithm 3)."""

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np

from fedmetaalign.aggregation import Cohort, Memory, Rule
from fedmetaalign.engine import Engine
from fedmetaalign.engine.messages import Train
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import Samples, ignore_steps, train
from fedmetaalign.phases.budget import cohort_size
from fedmetaalign.phases.local import Update, train_locally
from fedmetaalign.phases.records import Record, RoundError, record
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Optimizer, Parallel

Root = Callable[[np.ndarray, int, int], np.ndarray]
"""The server's own step: from the global weights, the round and a number of samples to its delta."""


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


def root_update(
    network: Network,
    public: Samples,
    weights: np.ndarray,
    number: int,
    size: int,
    settings: Parallel,
    optimizer: Optimizer,
    seed: int,
    on_steps: Callable[[int], None] = ignore_steps,
) -> np.ndarray:
    """The server's step, for a rule that compares with it: trains w^(r-1) as a device does, on public samples.

    Args:
        network: the architecture.
        public: what the samples are drawn from, anew in each round, so that in time all of them are seen.
        weights: (parameters,) float32, w^(r-1).
        number: the round.
        size: samples to draw; all are taken where there are fewer.
        settings: epochs, as for a device.
        optimizer: as for a device.
        seed: the recipe's seed.
        on_steps: told of the steps taken.

    Returns:
        The delta, (parameters,) float32.
    """
    random = generator(seed, "stream", "root", number)
    drawn = random.permutation(len(public))[:size]
    trained = train(
        network,
        weights,
        Samples(public.x[drawn], public.y[drawn]),
        learning_rate=optimizer.learning_rate,
        epochs=settings.epochs,
        random=random,
        on_steps=on_steps,
    )
    return np.asarray(trained.weights - weights)


def root_size(samples: Sequence[int]) -> int:
    """Returns how many samples the server trains on beside devices that have so many: their mean.

    It then takes as many steps as the mean device, so that its delta is as long as theirs, which a rule that
    scales theirs to its length relies on; and it costs no more than one device.
    """
    return round(sum(samples) / len(samples))


def cohort(names: tuple[str, ...], number: int, share: float, seed: int) -> tuple[str, ...]:
    """Draws the devices of a round, C_r: a share of all, at least one, sorted by name."""
    size = cohort_size(share, len(names))
    chosen = generator(seed, "cohort", number).choice(len(names), size, replace=False)
    return tuple(names[i] for i in sorted(chosen))


def fl_round(
    engine: Engine,
    weights: np.ndarray,
    number: int,
    rule: Rule,
    settings: Parallel,
    seed: int,
    memory: Memory = MappingProxyType({}),
    root: Root | None = None,
    ask: Callable[[np.ndarray, int], Train] = Train,
) -> tuple[np.ndarray, list[Record], Memory]:
    """One communication round: broadcast, local training, aggregation.

    Args:
        engine: reaches the devices.
        weights: (parameters,) float32, the global model w^(r-1).
        number: the round r, from 1.
        rule: how the server weights the deltas.
        settings: the recipe's section.
        seed: the recipe's seed.
        memory: what the rule remembers of the rounds before.
        root: the server's own step, where the rule compares with it.
        ask: from the weights and the round to what the devices are sent.

    Returns:
        The global model w^(r) = w^(r-1) + alpha * step, one record a device, and what the rule
        remembers.

    Raises:
        RoundError: fewer than the least number of devices answered.
    """
    asked = cohort(engine.names, number, settings.cohort, seed)
    replies = engine.exchange(asked, ask(weights, number))
    names = tuple(sorted(replies.answers))  # the order of summing is that of the names, not of the answers
    if len(names) < settings.minimum_devices:
        raise RoundError(
            f"In parallel round {number} {len(names) or 'none'} of {len(asked)} devices gave a sound answer,"
            f" and parallel.minimum_devices is {settings.minimum_devices}{replies.why}: see to them, then use"
            " --resume.",
            replies.misses(2, number),
        )
    updates = [replies.answers[name] for name in names]
    samples = [update.samples for update in updates]
    aggregate = rule(
        Cohort(
            deltas=np.stack([update.delta for update in updates]),
            scores=np.array([update.score for update in updates]),
            samples=np.array(samples),
            steps=settings.epochs * np.array(samples),
            names=names,
            root=root(weights, number, root_size(samples)) if root else None,
            memory=memory,
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
    return stepped, records + replies.misses(2, number), aggregate.memory

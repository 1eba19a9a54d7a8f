"""Phase 2: parallel similarity-aware federated learning (the paper's section III.C and Algorithm 3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.aggregation import Aggregate, Aggregator, Contribution, aggregate
from fedmetaalign.federation import transport
from fedmetaalign.federation.messages import Train, Update, Vectors
from fedmetaalign.federation.records import Record, RoundError, record, why
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server, State
from fedmetaalign.randomness import generator


def local_update(client: Client, request: Train) -> Update:
    """The device's step: trains w^(r-1) on S_t,p2, scores it on Q_t,p2 and takes the difference.

    D_t,p2 is split into the two once, before the first round (`fleet.splits`).
    """
    part, epochs = client.device.parts["parallel"], client.recipe.parallel.epochs
    trained = client.learner.train(
        request.weights,
        part.support,
        *("parallel", request.number, client.name),
        epochs=epochs,
    )
    query_loss, accuracy = client.learner.evaluate(trained.weights, part.query)
    return Update(
        delta=trained.weights - request.weights,
        query_score=1 / (1 + query_loss),
        samples=len(part.support),
        steps=epochs * len(part.support),
        support_loss=trained.loss,
        query_loss=query_loss,
        accuracy=accuracy,
    )


def fl_round(
    server: Server, state: State, number: int, aggregator: Aggregator[object]
) -> tuple[State, list[Record]]:
    """One communication round r: broadcast, local training, aggregation.

    Args:
        server: reaches the devices.
        state: has the global model w^(r-1), and what the rule remembers.
        number: the round, from 1.
        aggregator: how the server weights the deltas.

    Returns:
        The state with the global model w^(r) = w^(r-1) + alpha * step, and one record a device.

    Raises:
        RoundError: fewer than the least number of devices answered.
    """
    updates, failed = broadcast(server, state.weights, number)
    root = root_delta(server, state.weights, number, updates) if server.recipe.parallel.needs_root else None
    found = aggregate(aggregator, Sent(updates), state.memory, root)
    alpha = server.recipe.parallel.server_learning_rate
    with np.errstate(
        over="ignore"
    ):  # weights that are no longer finite are reported by whoever runs the rounds
        weights = (state.weights + alpha * found.step).astype(np.float32)
    return replace(state, weights=weights, memory=found.memory), records_of(number, updates, found) + failed


def broadcast(
    server: Server, weights: np.ndarray, number: int, vectors: Vectors | None = None, first: int = 0
) -> tuple[Mapping[str, Update], list[Record]]:
    """Sends the global weights to the devices of a round, and returns their updates.

    Args:
        server: reaches the devices.
        weights: (parameters,) float32.
        number: the round, over all phases of the method.
        vectors: what else the method sends.
        first: rounds of the phases before, which the records do not count.

    Returns:
        The updates by device, in the order of the names, whatever that of the answers; and a record of each
        answer that cannot be used.

    Raises:
        RoundError: fewer than the least number of devices answered.
    """
    recipe, asked = server.recipe, server.cohort(number)
    request = Train(weights, number, len(server.engine.names), vectors or {})
    replies = server.engine.exchange(
        asked, transport.packed_request(request, recipe.transport, server.learner.layer_sizes)
    )
    failed, least = replies.failed_records(2, number - first), recipe.parallel.minimum_devices
    if len(replies.answers) < least:
        raise RoundError(
            f"In parallel round {number - first} {len(replies.answers) or 'none'} of {len(asked)} devices gave"
            f" a sound answer, and parallel.minimum_devices is {least}{why(failed)}: see to them, then use"
            " --resume.",
            failed,
        )
    return {name: replies.answers[name] for name in sorted(replies.answers)}, failed


@dataclass(frozen=True)
class Sent:
    """Yields what an aggregation rule may know of updates, as often as it is asked, and holds no delta."""

    updates: Mapping[str, Update]

    def __iter__(self) -> Iterator[Contribution]:
        """Yields one after the other."""
        for n, u in self.updates.items():
            yield Contribution(n, u.delta, u.query_score, u.samples, u.steps)


def records_of(number: int, updates: Mapping[str, Update], found: Aggregate) -> list[Record]:
    """Returns one record a device of a parallel round."""
    return [
        record(
            2,
            number,
            name,
            support_loss=update.support_loss,
            query_loss=update.query_loss,
            score=update.query_score,
            alignment=None if found.alignment is None else float(found.alignment[i]),
            weight=float(found.weights[i]),
            delta_norm=float(np.linalg.norm(update.delta.astype(np.float64))),
            accuracy=update.accuracy,
        )
        for i, (name, update) in enumerate(updates.items())
    ]


def root_delta(server: Server, weights: np.ndarray, number: int, updates: Mapping[str, Update]) -> np.ndarray:
    """The server's own step, for a rule that compares with it: trains w^(r-1) as a device, on public samples.

    They are drawn again in each round, so that in time all of them are seen.

    Args:
        server: has the public samples.
        weights: (parameters,) float32, w^(r-1).
        number: the round.
        updates: of the round's devices, beside which it trains on as many samples as the mean of them.

    Returns:
        The delta, (parameters,) float32.
    """
    if server.public is None:
        raise ValueError("The rule compares with the server's own delta, and there are no public samples.")
    public, seed = server.public.support, server.recipe.seed
    random = generator(seed, "stream", "root", number)
    drawn = random.permutation(len(public))[: root_size([update.samples for update in updates.values()])]
    samples = Samples(public.x[drawn], public.y[drawn])
    epochs = server.recipe.parallel.epochs
    trained = server.learner.train(weights, samples, epochs=epochs, random=random)
    return np.asarray(trained.weights - weights)


def root_size(samples: Sequence[int]) -> int:
    """Returns how many samples the server trains on beside devices that have so many: their mean.

    It then takes as many steps as the mean device, so that its delta is as long as theirs, which a rule that
    scales theirs to its length relies on; and it costs no more than one device.
    """
    return round(sum(samples) / len(samples))

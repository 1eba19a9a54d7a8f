"""Phase 2 that waits for nobody: buffered asynchronous aggregation.

Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation" (FedBuff), AISTATS 2022, Algorithm 1:
the server takes a step as soon as K deltas are in. Who has sent one starts again from the weights after that,
the others go on from those that they were given, and a delta that comes late counts less:

    delta_k  <-  delta_k / sqrt(1 + tau_k)     tau_k: steps taken since k was given its weights, its staleness

The rule makes one step of these as it would of a round's. Over Flower they come as they come. In one process
the order of arrival is simulated: a device takes |z| for a training, z ~ N(0, 1), as in the paper, but drawn
once a device, by the recipe's seed, so that the slow ones stay slow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.aggregation import Aggregator, aggregate
from fedmetaalign.errors import RunError
from fedmetaalign.federation import transport
from fedmetaalign.federation.messages import Train, Update
from fedmetaalign.federation.records import Record, RoundError, why
from fedmetaalign.phases.parallel import Sent, records_of
from fedmetaalign.phases.server import Server, State
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe

PREFIX = "asynchronous."
"""What the names of this phase's arrays begin with in the state's memory."""

_NOW, _WEIGHTS, _DEVICE = f"{PREFIX}now", f"{PREFIX}weights.", f"{PREFIX}device."


@dataclass(frozen=True)
class Training:
    """What a device is at work on.

    Attributes:
        given: the round that it was given its weights in.
        due: when it is done, in simulated time.
    """

    given: int
    due: float


def check_buffer(recipe: Recipe, devices: int) -> None:
    """Raises a RunError where the server would wait for more deltas than there are devices."""
    wanted = recipe.parallel.asynchronous
    if wanted is not None and wanted > devices:
        raise RunError(
            f"parallel.asynchronous = {wanted} waits for {wanted} deltas, and {devices} devices train: set it"
            f" to {devices} or less."
        )


def buffered_round(
    server: Server, state: State, number: int, aggregator: Aggregator[object]
) -> tuple[State, list[Record]]:
    """One step r of the server, of the first deltas that come.

    Args:
        server: reaches the devices.
        state: has the global model w^(r-1), what each device is at work on, and what the rule remembers.
        number: the round, from 1.
        aggregator: how the server weights the deltas.

    Returns:
        The state with w^(r), and one record for each device that answered.

    Raises:
        RoundError: fewer than the least number of devices answered.
        RunError: it would wait for more devices than there are.
    """
    parallel, names = server.recipe.parallel, server.engine.names
    assert parallel.asynchronous is not None  # noqa: S101 - else the round is another
    check_buffer(server.recipe, len(names))
    now, at_work, given_weights = _read(state.memory)
    given_weights[number] = state.weights
    for name in names:
        at_work.setdefault(name, Training(number, now + _duration(server.recipe.seed, name)))
    packed = {
        given: transport.packed_request(
            Train(weights, given, len(names)), server.recipe.transport, server.learner.layer_sizes
        )
        for given, weights in given_weights.items()
    }
    order = sorted(names, key=lambda name: (at_work[name].due, name))
    replies = server.engine.first({n: packed[at_work[n].given] for n in order}, parallel.asynchronous)
    failed = replies.failed_records(2, number)
    if len(replies.answers) < parallel.minimum_devices:
        raise RoundError(
            f"In parallel round {number} {len(replies.answers) or 'none'} of {len(names)} devices gave a sound"
            f" answer, and parallel.minimum_devices is {parallel.minimum_devices}{why(failed)}: see to them,"
            " then use --resume.",
            failed,
        )
    answers = {name: replies.answers[name] for name in sorted(replies.answers)}
    staleness = {name: number - at_work[name].given for name in answers}
    remembered = {key: array for key, array in state.memory.items() if not key.startswith(PREFIX)}
    found = aggregate(aggregator, Sent(_discounted(answers, staleness)), remembered)
    with np.errstate(over="ignore"):  # as in a round that waits
        weights = (state.weights + parallel.server_learning_rate * found.step).astype(np.float32)
    now = max(at_work[name].due for name in answers)
    over = answers.keys() | {each.device for each in replies.failed if each.kind != "late"}
    left = {name: training for name, training in at_work.items() if name not in over}
    memory = dict(found.memory)
    if number < parallel.rounds:
        memory |= _written(now, left, given_weights)
    records = records_of(number, answers, found)
    records = [each | {"staleness": staleness[each["device"]]} for each in records]
    return replace(state, weights=weights, memory=memory), records + failed


def _discounted(answers: Mapping[str, Update], staleness: Mapping[str, int]) -> dict[str, Update]:
    return {
        name: replace(update, delta=(update.delta / np.sqrt(1 + staleness[name])).astype(np.float32))
        for name, update in answers.items()
    }


def _duration(seed: int, name: str) -> float:
    return float(abs(generator(seed, "duration", name).standard_normal()))


def _read(memory: Mapping[str, np.ndarray]) -> tuple[float, dict[str, Training], dict[int, np.ndarray]]:
    """Returns the simulated time, what each device is at work on, and the weights that each round gave."""
    now = float(memory[_NOW][0]) if _NOW in memory else 0.0
    at_work = {
        key.removeprefix(_DEVICE): Training(int(array[0]), float(array[1]))
        for key, array in memory.items()
        if key.startswith(_DEVICE)
    }
    weights = {
        int(key.removeprefix(_WEIGHTS)): array for key, array in memory.items() if key.startswith(_WEIGHTS)
    }
    return now, at_work, weights


def _written(
    now: float, at_work: Mapping[str, Training], weights: Mapping[int, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns what `_read` reads, with those weights alone that somebody still works with."""
    in_use = {training.given for training in at_work.values()}
    return {
        _NOW: np.array([now]),
        **{f"{_DEVICE}{name}": np.array([each.given, each.due]) for name, each in at_work.items()},
        **{f"{_WEIGHTS}{given}": weights[given] for given in sorted(in_use)},
    }

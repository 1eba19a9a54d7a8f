"""What most federated methods share: rounds of local training and aggregation, and fine-tuning at the end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import optax

from fedmetaalign.aggregation import Cohort, Rule
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._task import GLOBAL, Milestone, Model, Outcome, Task
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.randomness import generator

Local = Callable[[Task, Device, np.ndarray, int], np.ndarray]
"""A device's part of a round: from the global weights and the round's number to its local weights."""


def minimising(objective: Callable[[np.ndarray], Objective], share: float = 1.0) -> Local:
    """Returns the usual local part: a pass over the round's samples, starting from the global weights.

    Args:
        objective: what to minimise, given the global weights.
        share: of the round's samples, where the method has another use for the rest of the steps.
    """

    def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
        samples = task.stream(device, number, share)
        return task.train(weights, samples, "shared", number, device.name, objective=objective(weights)).weights

    return local


plain = minimising(lambda weights: LOSS)
"""Local training on the samples' loss alone."""


def rounds(
    task: Task,
    weights: np.ndarray,
    *,
    local: Local = plain,
    rule: Rule = mean,
    server: optax.GradientTransformation | None = None,
    numbers: Iterable[int] | None = None,
    vectors: float = 1.0,
) -> Iterator[np.ndarray]:
    """Runs rounds of exchange, and yields the global weights after each.

    Of its `Cohort` a rule may use the deltas, the samples (all that a device trains on) and the steps (those
    of the whole stretch, whatever share of it the method takes). The scores are equal, and there are no names,
    no memory and no root: a rule that needs those is phase 2's.

    Args:
        task: the race.
        weights: (parameters,) float32, where to start.
        local: what a device does.
        rule: makes one step of the devices' deltas.
        server: what the server's optimiser makes of that step, whose negative it takes for a gradient (Reddi et
            al., 2021, Algorithm 1); by default the step is taken as it is.
        numbers: of the rounds; by default all that the budget has.
        vectors: weight vectors that a message holds.
    """
    server = server or optax.sgd(1.0)
    state = server.init(weights)
    for number in range(1, task.rounds + 1) if numbers is None else numbers:
        devices = task.cohort(number)
        deltas = [local(task, device, weights, number) - weights for device in devices]
        task.send(vectors, 2 * len(devices))  # the global weights down, the delta up
        aggregate = rule(
            Cohort(
                deltas=np.stack(deltas),
                scores=np.ones(len(devices)),
                samples=np.array([len(device.own.support) for device in devices]),
                steps=np.array([len(task.stretch(device, number)) for device in devices]),
            )
        )
        update, state = server.update((-aggregate.step).astype(np.float32), state, weights)
        weights = np.asarray(optax.apply_updates(weights, update))
        yield weights


def tour(task: Task, weights: np.ndarray, number: int, eps: float = 1.0) -> np.ndarray:
    """Takes the weights to the devices of a round one after the other, in a fresh random order.

    Args:
        task: the race.
        weights: (parameters,) float32.
        number: the round.
        eps: the share of the way to each device's weights that they go.

    Returns:
        The weights after the last device.
    """
    devices = task.cohort(number)
    for i in generator(task.recipe.seed, "order", "tour", number).permutation(len(devices)):
        weights = weights + eps * (plain(task, devices[i], weights, number) - weights)
    task.send(messages=2 * len(devices))  # to each device and back
    return weights


def fine_tuned(task: Task, every: Iterable[np.ndarray]) -> Outcome:
    """Runs a method's rounds to their end, and lets every device make the global weights its own by phase 3.

    Args:
        task: the race.
        every: yields the global weights after each round.
    """
    history = list(every)
    weights = history[-1] if history else task.start
    return personalized(task, weights, {GLOBAL: task.milestone(weights)}, history)


def personalized(
    task: Task, weights: np.ndarray, stages: Mapping[str, Milestone], history: Sequence[np.ndarray]
) -> Outcome:
    """Sends the global weights to every device, which makes them its own by phase 3."""
    task.send(messages=len(task.devices))
    return Outcome({d.name: personal(task, d, weights) for d in task.devices}, stages, tuple(history))


def finish(task: Task, every: Iterable[np.ndarray], vectors: float = 1.0) -> np.ndarray:
    """Runs a method's rounds to their end, and sends the weights to every device.

    Args:
        task: the race.
        every: yields the global weights after each round.
        vectors: weight vectors that a message holds.
    """
    weights = task.start
    for weights in every:  # noqa: B007 - the last is what is wanted
        pass
    task.send(vectors, len(task.devices))
    return weights


def personal(task: Task, device: Device, weights: np.ndarray) -> Model:
    """Returns the device's model after the paper's phase 3, which is the same for every method."""
    return task.model(task.learner.fine_tune(task.recipe, device, weights, task.ledger.add_steps))

"""APFL (Deng et al., 2020, "Adaptive Personalized Federated Learning", Algorithm 1).

A device's model is a mixture of its own weights and the global ones, m_k = alpha_k v_k + (1 - alpha_k) w:

    w        by FedAvg
    v_k      <-  v_k - eta grad_v L_k(m_k)
    alpha_k  <-  alpha_k - eta_alpha <v_k - w, grad L_k(m_k)>,  kept within [0, 1]    (equation 10)

As in the authors' code, alpha_k moves once a round; here by the mean gradient that v_k met on its way. The w in
the mixture is the round's global one, which is also what the final mixture is made with.

The steps of a round are halved: w and v_k each see half of the round's samples, the same ones. Those of phase 3
train v_k beside the final w, with alpha_k as it is. A newcomer's v_k starts at that w.
"""

from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.methods._federated import finish, minimising, rounds
from fedmetaalign.methods._task import Outcome, Task
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.model.online import Samples

ALPHA = 0.5
"""Where alpha starts, as in the authors' code (FedTorch)."""
ALPHA_RATE = 0.1
"""eta_alpha. The paper takes the learning rate of its plain gradient descent, 0.1; Adam's is another thing."""

shared = minimising(lambda weights: LOSS, share=0.5)


@dataclass(frozen=True)
class Mixture:
    """A device's share in its model.

    Attributes:
        own: v, (parameters,) float32.
        alpha: in [0, 1].
    """

    own: np.ndarray
    alpha: float = ALPHA

    def weights(self, others: np.ndarray) -> np.ndarray:
        """Returns the model that it makes with the global weights, (parameters,) float32."""
        return np.asarray(self.alpha * self.own + (1 - self.alpha) * others, np.float32)


def apfl(task: Task) -> Outcome:
    """Runs FedAvg, and trains every device's part of the mixture beside it."""
    mixtures: dict[str, Mixture] = {}

    def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
        begin = mixtures.get(device.name, Mixture(weights))
        samples = task.stream(device, number, share=0.5)
        mixtures[device.name] = trained(task, begin, weights, samples, "own", number, device.name)
        return shared(task, device, weights, number)

    weights = finish(task, rounds(task, task.start, local=local))

    def final(device: Device) -> np.ndarray:
        begin = mixtures.get(device.name, Mixture(weights))
        rate = task.recipe.personalize.learning_rate
        end = trained(task, begin, weights, task.own_stream(device), "last", device.name, learning_rate=rate)
        return replace(end, alpha=begin.alpha).weights(weights)

    return Outcome({device.name: task.model(task.own(device, final(device))) for device in task.devices})


def trained(
    task: Task,
    begin: Mixture,
    weights: np.ndarray,
    samples: Samples,
    *address: str | int,
    learning_rate: float | None = None,
) -> Mixture:
    """Trains the device's own weights in the mixture, then moves alpha."""
    mixed = Objective.mixed(begin.alpha, weights)
    end = task.train(
        begin.own, samples, *address, objective=mixed, keep_gradient=True, learning_rate=learning_rate
    )
    slope = np.vdot(end.weights - weights, np.asarray(end.gradient))
    return Mixture(end.weights, float(np.clip(begin.alpha - ALPHA_RATE * slope, 0, 1)))

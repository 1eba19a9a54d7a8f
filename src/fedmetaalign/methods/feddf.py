"""FedDF (Lin et al., 2020, the paper's [10]): the devices' ensemble teaches the global model on public samples.

    w  <-  sum_k  n_k / n  w_k
    w  <-  argmin_w  KL(sigmoid(mean_k z(w_k, x)) || sigmoid(z(w, x)))    over unlabelled public samples x

with z the logit. The gradient is that of the cross-entropy with the ensemble's probability as a soft label. The
server's steps are taken from those of the round's devices, so that the budget is that of the other methods.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit

from fedmetaalign.errors import RecipeError
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import lacking
from fedmetaalign.methods._federated import fine_tuned, minimising, rounds
from fedmetaalign.methods._task import Outcome, Task, passes
from fedmetaalign.model.objective import LOSS
from fedmetaalign.model.online import Samples

SHARE = 0.2
"""Of a round's steps, for the server. Lin et al. let it take up to 10,000 beside the devices' own."""


def feddf(task: Task) -> Outcome:
    """Runs FedDF, then fine-tunes on every device.

    Raises:
        RecipeError: the recipe has no public samples.
    """
    if task.public is None:
        raise RecipeError(lacking(task.recipe)["feddf"])
    return fine_tuned(task, _rounds(task, task.public.support))


def soft_targets(task: Task, ensemble: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Returns what the ensemble says of samples: the sigmoid of its mean logit (AVGLOGITS), (rows,) float32.

    Args:
        task: its learner gives the scores.
        ensemble: each device's weights, (parameters,) float32.
        x: (rows, inputs) float32.
    """
    tiny = np.finfo(np.float64).eps  # a score nearer to 1 is rounded to it, and has lost its logit
    logits = [logit(np.clip(task.learner.scores(weights, x), tiny, 1 - tiny)) for weights in ensemble]
    return np.asarray(expit(np.mean(logits, axis=0)), np.float32)


def _rounds(task: Task, public: Samples) -> Iterator[np.ndarray]:
    train = minimising(lambda weights: LOSS, share=1 - SHARE)
    ensemble: list[np.ndarray] = []

    def local(task: Task, device: Device, weights: np.ndarray, number: int) -> np.ndarray:
        ensemble.append(train(task, device, weights, number))
        return ensemble[-1]

    weights = task.start
    for number in range(1, task.rounds + 1):
        ensemble.clear()
        [weights] = rounds(task, weights, local=local, numbers=[number])
        if (steps := _steps(task, number)) > 0:
            x, _ = passes(public, 0, steps, task.recipe.seed, "distil", number)
            samples = Samples(x, soft_targets(task, ensemble, x))
            weights = task.train(weights, samples, "distil", number).weights
        yield weights


def _steps(task: Task, number: int) -> int:
    """Returns the server's steps in a round: those that its devices do not take."""
    return sum(
        len(task.stretch(device, number)) - len(task.stretch(device, number, 1 - SHARE))
        for device in task.cohort(number)
    )

"""A device's own model, taught by several: chosen on all of its samples, none of which its judge has seen.

A teacher is whatever gives probabilities: a forest or a network of the device's own samples, the model of its
group, the same fine-tuned. A blend is their weighted mean on the scale of log probabilities. Which blend serves
the device is decided by cross-fitting (van der Laan, Polley & Hubbard, "Super learner", 2007, with a discrete
choice in place of free weights, which a hundred samples cannot fit) and by one standard error, in favour of the
joint blend (Breiman et al., "Classification and regression trees", 1984, section 3.4.3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedmetaalign.evaluation.result import Blend
from fedmetaalign.model.target import Target

Teacher = Callable[[np.ndarray], np.ndarray]
"""From (rows, inputs) float32 to the probability of each class, (rows, classes) float64."""

LEAST = 0.018
"""No teacher gives a class less than this: one that is sure and wrong must leave the others a say."""

JOINT = {"forest": 0.23, "own": 0.23, "tuned": 0.27, "fleet": 0.27}
"""Where the device's own two contradict the fleet's two, all as sure as they can be, the fleet's win: it knows
kinds of fault that the device may not have met."""
LOCAL = {"forest": 0.8, "tuned": 0.2}
"""For a device whose samples say that the fleet's do not help it."""
BLENDS = {"joint": JOINT, "local": LOCAL}


@dataclass(frozen=True)
class Chosen:
    """A blend of teachers, and what the choice rests on.

    Attributes:
        verdict: its name and the estimates that it was chosen by.
        weights: of each teacher.
        probabilities: (rows, classes) float64, the blend's on samples that its teachers have not seen.
    """

    verdict: Blend
    weights: Mapping[str, float]
    probabilities: np.ndarray


def blends(teachers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns the blends of some teachers, with weights that sum to 1; one without any of them is left out."""
    found: dict[str, dict[str, float]] = {}
    for name, weights in BLENDS.items():
        own = {teacher: weight for teacher, weight in weights.items() if teacher in teachers}
        shares = {teacher: weight / sum(own.values()) for teacher, weight in own.items()}
        if own and shares not in found.values():
            found[name] = shares
    return found


def blended(said: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Returns the weighted geometric mean of what teachers say, scaled to sum to 1.

    Args:
        said: (rows, classes) by teacher.
        weights: of the teachers, summing to 1.
    """
    logs = sum(weight * np.log(np.maximum(said[name], LEAST)) for name, weight in weights.items())
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def choose(said: Mapping[str, np.ndarray], y: np.ndarray, margin: float) -> Chosen:
    """Chooses the blend of a device: the first, unless another is better beyond chance.

    Args:
        said: (rows, classes) by teacher, on samples that it has not seen.
        y: (rows,), their classes.
        margin: standard errors of the mean difference by which another must be better.
    """
    found = blends([*said])
    return better({name: blended(said, weights) for name, weights in found.items()}, found, y, margin)


def better(
    mixed: Mapping[str, np.ndarray],
    weights: Mapping[str, Mapping[str, float]],
    y: np.ndarray,
    margin: float,
    least: float = 0.0,
) -> Chosen:
    """Chooses among blends, by name, as `choose` does: the first, unless another is better beyond chance.

    Args:
        mixed: (rows, classes) by name, what they say of samples that no teacher has seen.
        weights: of each one's teachers.
        y: (rows,), their classes.
        margin: standard errors of the mean difference by which another must be better.
        least: Brier score by which it must be better, too.
    """
    truth = np.eye(next(iter(mixed.values())).shape[1])[y.astype(np.intp)]
    losses = {name: ((p - truth) ** 2).sum(axis=1) / 2 for name, p in mixed.items()}
    first, *others = mixed
    best = first
    for name in others:
        gain = losses[first] - losses[name]
        sure = gain.mean() > max(least, margin * gain.std() / np.sqrt(len(gain)))
        if sure and losses[name].mean() < losses[best].mean():
            best = name
    estimates = {name: float(loss.mean()) for name, loss in losses.items()}
    return Chosen(Blend(name=best, estimates=estimates), weights[best], mixed[best])


def each_class(probabilities: np.ndarray) -> np.ndarray:
    """Returns what a learner says of a fault, (rows,), or of classes, as the probability of each class."""
    if probabilities.ndim == 1:
        return np.stack([1 - probabilities, probabilities], axis=1)
    return probabilities


def as_learner(probabilities: np.ndarray, target: Target) -> np.ndarray:
    """Returns the probability of each class as a learner says it: of two, that of a fault."""
    return probabilities[:, 1] if target.outputs == 1 else probabilities

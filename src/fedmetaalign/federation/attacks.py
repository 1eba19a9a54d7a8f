"""What hostile and broken devices send: a comparison has some of its devices do so.

They follow the protocol, as everything else is refused where it arrives; only their numbers lie. And they bide
their time: the first delta is an honest one, so that who groups or weighs devices by it takes them for honest.
A step is what a device says that training has changed of the weights that it was sent.

    flip      the step against their own
    scale     a hundred times the step against their own
    noise     a random step of the same length
    copies    all of them the same random step, of the same length as theirs
    nothing   no step at all, with the best score
    huge      the largest weights that the protocol lets through
    little    the mean of their steps less a standard deviation, to hide among honest ones (Baruch et al., 2019)
    inflated  the step against their own, with the best score and a million samples
    labels    an honest step, on labels that are all wrong
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fedmetaalign.federation.messages import Local, Reply, Request, Train, Update, Vectors, Visit
from fedmetaalign.model.mlp import LARGEST_WEIGHT
from fedmetaalign.randomness import generator
from fedmetaalign.recipe.compare import Attack

SCALE = 100.0
SAMPLES = 1_000_000
OWN = ""
"""The name of the weights among the vectors that a method sends besides."""


def hostile(names: tuple[str, ...], share: float) -> tuple[str, ...]:
    """Draws the devices that lie, the same for every seed: a share of all, at least one, sorted by name."""
    drawn = generator(0, "hostile").permutation(len(names))
    return tuple(sorted(names[i] for i in drawn[: max(1, round(share * len(names)))]))


def forged(
    attack: Attack, request: Request[Reply], replies: Mapping[str, Reply], seed: int
) -> Mapping[str, Reply]:
    """Returns what hostile devices send in the place of honest replies.

    Args:
        attack: what they do.
        request: what they were asked; of all but training they tell the truth.
        replies: of theirs, by name, as an honest device would answer.
        seed: of the run.
    """
    if attack == "labels" or not isinstance(request, Visit | Train):
        return replies
    if isinstance(request, Train) and request.number == 1:
        return replies
    before = {OWN: request.weights, **request.vectors}
    steps = {name: steps_of(reply, before) for name, reply in replies.items()}
    lies = dict[str, Any]()
    for name, reply in replies.items():
        told = {}
        for key, step in steps[name].items():
            every = np.stack([each[key] for each in steps.values()])
            address = (request.number, key, OWN if attack == "copies" else name)
            random = generator(seed, "attack", *address).standard_normal(len(step))
            told[key] = lie(attack, step, every, before.get(key, np.zeros_like(step)), random)
        lies[name] = answering(reply, before, told, boasting=attack in ("nothing", "inflated"))
        if attack == "inflated":
            lies[name] = replace(lies[name], samples=SAMPLES)
    return lies


def lie(
    attack: Attack, step: np.ndarray, every: np.ndarray, before: np.ndarray, random: np.ndarray
) -> np.ndarray:
    """Returns the step that a device says it has taken, (parameters,) float32.

    Args:
        attack: what it does.
        step: (parameters,) that it has taken.
        every: (devices, parameters), those of all that lie.
        before: (parameters,), the weights that it was sent.
        random: (parameters,) standard normal numbers.
    """
    match attack:
        case "flip" | "inflated":
            told = -step
        case "scale":
            told = -SCALE * step
        case "nothing":
            told = np.zeros_like(step)
        case "huge":
            told = 0.99 * LARGEST_WEIGHT - before
        case "little":
            told = every.mean(0) - (every.std(0) if len(every) > 1 else np.abs(step))
        case _:
            told = random * (np.linalg.norm(step) / np.linalg.norm(random))
    return told.astype(np.float32)


def steps_of(reply: Any, before: Vectors) -> dict[str, np.ndarray]:
    """Returns the steps of an `Update` or a `Local`, by name."""
    if isinstance(reply, Local):
        return {key: each - before[key] for key, each in {OWN: reply.weights, **reply.vectors}.items()}
    return {OWN: reply.delta, **reply.vectors}


def answering(reply: Any, before: Vectors, steps: Vectors, boasting: bool) -> Any:
    """Returns the reply with other steps, and the best score where it boasts."""
    vectors = {key: each for key, each in steps.items() if key != OWN}
    if isinstance(reply, Local):
        moved = {key: before[key] + each for key, each in vectors.items()}
        reply = replace(reply, weights=before[OWN] + steps[OWN], vectors=moved)
    else:
        reply = replace(reply, delta=steps[OWN], vectors=vectors, packed=None)
    if boasting:
        reply = replace(reply, query_loss=0.0, accuracy=1.0)
    return replace(reply, query_score=1.0) if boasting and isinstance(reply, Update) else reply

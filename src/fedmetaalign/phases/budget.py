"""How many gradient steps the paper's phases give a device: the budget of every method that is compared."""

import math
from collections.abc import Sequence

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.recipe import Recipe

MOST_STEPS = 100_000
"""Of a teacher's training: a network this small has learnt by then what a device's samples can teach it."""


def cohort_size(share: float, devices: int) -> int:
    """Returns how many of the devices take part in a parallel round: the share, and at least one."""
    return max(1, round(share * devices))


def participation(recipe: Recipe, devices: int) -> float:
    """Returns the share of the parallel rounds that a device may expect to take part in.

    Args:
        recipe: says how many deltas a round is made of, or the cohort, which whole devices make a little more
            or less.
        devices: in the federation.
    """
    wanted = recipe.parallel.asynchronous
    return (cohort_size(recipe.parallel.cohort, devices) if wanted is None else min(wanted, devices)) / devices


def cosine(done: int, steps: int, least: float) -> float:
    """Returns the share of a learning rate that falls along half a cosine, from 1 to `least`.

    Loshchilov & Hutter, "SGDR", 2017, without restarts.

    Args:
        done: steps taken before this one, of so many.
        steps: all of them.
        least: the share is no smaller.
    """
    return max(0.5 * (1 + math.cos(math.pi * done / steps)), least)


def tours(recipe: Recipe) -> int:
    """Returns how often the weights tour the devices."""
    return recipe.serial.rounds * recipe.serial.tours


def exchanges(recipe: Recipe) -> int:
    """Returns the rounds of exchange that every method has: as many as phases 1 and 2."""
    return tours(recipe) + recipe.parallel.rounds


def shared_steps(recipe: Recipe, device: Device, devices: int) -> float:
    """Returns the steps that a device may take for the global model: those of phases 1 and 2.

    Args:
        recipe: decides the rounds and epochs.
        device: has the samples.
        devices: in the federation; of the parallel rounds, those count that one of them may expect.
    """
    parallel = recipe.parallel
    passes = tours(recipe) * recipe.serial.epochs
    rounds = parallel.rounds * participation(recipe, devices) * parallel.epochs
    return passes * len(device.parts["serial"].support) + rounds * len(device.parts["parallel"].support)


def own_steps(recipe: Recipe, device: Device) -> int:
    """Returns the steps that a device may take for its own model: those of phase 3."""
    steps: int = recipe.personalize.epochs * len(device.parts["personalize"].support)
    return steps


def all_steps(recipe: Recipe, whose: Sequence[Device], devices: int) -> int:
    """Returns the steps that a device may take in all: its own, or those of the mean of several."""
    each = [shared_steps(recipe, d, devices) + own_steps(recipe, d) for d in whose]
    return round(float(np.mean(each)))


def stretch(recipe: Recipe, device: Device, devices: int, number: int, share: float = 1.0) -> range:
    """Returns which of a device's shared steps, counted over the whole run, a round consists of.

    The rounds, from 1, share the steps equally; none is without a step.

    Args:
        recipe: decides the rounds and epochs.
        device: whose.
        devices: in the federation.
        number: the round.
        share: of the steps, for a method that does not take them all in one stream.
    """
    taken = exchanges(recipe) * participation(recipe, devices)
    each = share * shared_steps(recipe, device, devices) / taken
    first = round((number - 1) * each)
    return range(first, max(first + 1, round(number * each)))


def fleet_steps(recipe: Recipe, devices: Sequence[Device], left: int) -> int:
    """Returns about how many steps the method `fleet` takes.

    Args:
        recipe: decides the tours, the folds and the teachers.
        devices: of the federation.
        left: tours that are to come; the groups are made before the first one.
    """
    teaching, settings = recipe.teaching, recipe.personalize
    sizes = np.array([len(device.own.support) + len(device.own.query) for device in devices])
    capped = np.minimum(sizes, recipe.groups.cap * np.median(sizes))
    total = left * teaching.folds * capped.sum()  # the weights of all, and of each fold without it
    if left == recipe.serial.rounds:
        total += recipe.groups.epochs * sizes.sum()
    passes = [
        settings.epochs,
        *([recipe.serial.rounds + settings.epochs] if "own" in teaching.teachers else []),
    ]
    for count in passes:
        parts = np.minimum(count * sizes * (teaching.folds - 1) / teaching.folds, MOST_STEPS)
        total += teaching.folds * parts.sum() + np.minimum(count * sizes, MOST_STEPS).sum()
    return int(total) + teaching.samples * len(devices)

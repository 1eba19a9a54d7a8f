"""How many gradient steps the paper's phases give a device: the budget of every method that is compared."""

from fedmetaalign.fleet.device import Device
from fedmetaalign.recipe import Recipe


def cohort_size(share: float, devices: int) -> int:
    """Returns how many of the devices take part in a parallel round: the share, and at least one."""
    return max(1, round(share * devices))


def participation(share: float, devices: int) -> float:
    """Returns the share of the parallel rounds that a device may expect to take part in.

    Args:
        share: the recipe's cohort, which whole devices make a little more or less.
        devices: in the federation.
    """
    return cohort_size(share, devices) / devices


def shared_steps(recipe: Recipe, device: Device, devices: int) -> float:
    """Returns the steps that a device may take for the global model: those of phases 1 and 2.

    Args:
        recipe: decides the rounds and epochs.
        device: has the samples.
        devices: in the federation; of the parallel rounds, those count that one of them may expect.
    """
    serial, parallel = recipe.serial, recipe.parallel
    tours = serial.rounds * serial.tours * serial.epochs
    rounds = parallel.rounds * participation(parallel.cohort, devices) * parallel.epochs
    return tours * len(device.parts["serial"].support) + rounds * len(device.parts["parallel"].support)


def own_steps(recipe: Recipe, device: Device) -> int:
    """Returns the steps that a device may take for its own model: those of phase 3."""
    steps: int = recipe.personalize.epochs * len(device.parts["personalize"].support)
    return steps

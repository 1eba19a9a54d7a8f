"""Fed-Meta-Align for devices that must not lose by joining: each keeps the better of two models, on validation.

Half of the budget goes to Fed-Meta-Align with half its rounds and epochs, half to training alone; the device
deploys the one with the smaller Brier score on its validation part. This is stacking at its simplest: selection
by hold-out (Wolpert, "Stacked generalization", 1992). What it costs is what half of the steps were worth.
"""

from dataclasses import replace

import numpy as np

from fedmetaalign.methods._task import Model, Outcome, Task
from fedmetaalign.methods.fed_meta_align import fed_meta_align
from fedmetaalign.methods.local_only import train_alone
from fedmetaalign.model.online import Samples
from fedmetaalign.recipe import Recipe


def fed_meta_align_guarded(task: Task) -> Outcome:
    """Runs both at half the budget, and lets each device choose."""
    half = replace(task, recipe=_halved(task.recipe))
    federated = fed_meta_align(half)
    models = {}
    for device in task.devices:
        rest = task.all_steps(device) - half.all_steps(device)
        alone = task.model(train_alone(task, device, rest))
        models[device.name] = _better(device.own.query, federated.models[device.name], alone)
    return replace(federated, models=models)


def _halved(recipe: Recipe) -> Recipe:
    serial, parallel, personalize = recipe.serial, recipe.parallel, recipe.personalize
    return recipe.model_copy(
        update={
            "serial": serial.model_copy(update={"rounds": serial.rounds // 2}),
            "parallel": parallel.model_copy(update={"rounds": parallel.rounds // 2}),
            "personalize": personalize.model_copy(update={"epochs": max(1, personalize.epochs // 2)}),
        }
    )


def _better(validation: Samples, *models: Model) -> Model:
    """Returns the model with the least Brier score."""

    def brier(model: Model) -> float:
        return float(np.mean((model.scores(validation.x) - validation.y) ** 2))

    return min(models, key=brier)

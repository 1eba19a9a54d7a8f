"""Whole methods to compare: one file each, whose name is the method's name on the command line.

A method is a function named like its file, from a `Task` to an `Outcome`. Files that begin with an underscore
are the parts that methods share.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from fedmetaalign.errors import RecipeError

if TYPE_CHECKING:
    from fedmetaalign.methods._task import Outcome, Task
    from fedmetaalign.recipe import Recipe

    Method = Callable[[Task], Outcome]


ALONE = "local_only"
"""The method that gains are measured against."""
NO_RIVALS = frozenset({"majority", "one_rule", "pooled"})
"""Methods to judge the others by that are in no race with them: two have no network, one has all data."""
CONTROLS = NO_RIVALS | {ALONE}
"""Methods that federate nothing."""
UNTRAINED = frozenset({"majority", "one_rule"})
"""Methods that take no gradient step, and so have no learning rate."""


def runnable(recipe: "Recipe") -> list[str]:
    """Returns the methods that a recipe has what it takes for, the controls first."""
    able = set(names()) - set(lacking(recipe))
    return sorted(able, key=lambda name: (name not in CONTROLS, name))


def lacking(recipe: "Recipe") -> dict[str, str]:
    """Returns the methods that cannot run on a recipe, each with the sentence that says why and what to do."""
    from fedmetaalign.model.mlp import Network
    from fedmetaalign.phases.personalize import frozen_layers

    found = {}
    if not recipe.foundation.enabled:
        found["feddf"] = (
            "feddf distils on public samples, and the recipe has none: give [foundation] a table or a simulator"
            " and set foundation.enabled = true, or leave feddf out."
        )
    freeze = recipe.personalize.freeze
    if frozen_layers(Network(recipe.model.inputs, recipe.model.hidden), freeze) == 0:
        found["fedrep"] = (
            f"fedrep shares the layers that phase 3 freezes, and personalize.freeze = {freeze:g} freezes none:"
            " raise it, give the network more layers, or leave fedrep out."
        )
    return found


def names() -> tuple[str, ...]:
    """Returns the names of all methods."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def find(name: str) -> "Method":
    """Returns a method by its name.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in names():
        raise RecipeError(f"There is no method {name!r}: choose among {', '.join(names())}.")
    method: Method = getattr(import_module(f"{__name__}.{name}"), name)
    return method

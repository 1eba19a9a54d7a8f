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


CONTROLS = frozenset({"majority", "one_rule", "pooled", "local_only"})
"""Methods to judge the others by: they federate nothing."""
UNTRAINED = frozenset({"majority", "one_rule"})
"""Methods that take no gradient step, and so have no learning rate."""
NEED_PUBLIC = frozenset({"feddf"})
"""Methods that need public samples on the server."""


def runnable(recipe: "Recipe") -> list[str]:
    """Returns the methods that a recipe's data suffice for, the controls first."""
    able = [name for name in names() if recipe.foundation.enabled or name not in NEED_PUBLIC]
    return sorted(able, key=lambda name: name not in CONTROLS)


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

"""Whole methods: one file each, whose name is the method's name on the command line, and in it a `METHOD`.

Files that begin with an underscore are the parts that methods share. Another package adds a method by an entry
point of the group `fedmetaalign.methods`.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from fedmetaalign.errors import RecipeError
from fedmetaalign.system import plugins

if TYPE_CHECKING:
    from fedmetaalign.methods._method import Method
    from fedmetaalign.recipe import Recipe

ALONE = "local_only"
"""The method that gains are measured against."""
FORESTS = ("forest_alone", "forest_pooled")
"""What whoever has the data would try first; the better one is what all methods are held against."""
COLLECTING = frozenset({"pooled", "forest_pooled", "boosting_pooled"})
"""Methods that have all samples in one place."""
NO_RIVALS = COLLECTING | {"majority", "one_rule", "forest_alone", "boosting_alone"}
"""Methods to judge the others by that do not compete with them: they have no network, or all data."""
CONTROLS = NO_RIVALS | {ALONE}
"""Methods that federate nothing."""


def names() -> tuple[str, ...]:
    """Returns the names of all methods."""
    return tuple(sorted({*_own(), *plugins.names(plugins.METHODS)}))


@cache
def find(name: str) -> "Method":
    """Returns a method by its name.

    Raises:
        RecipeError: there is none of this name, or what a plug-in gives is none.
    """
    if name not in names():
        raise RecipeError(f"There is no method {name!r}: choose among {', '.join(names())}.")
    kind: type[Method] = import_module(f"{__name__}._method").Method
    if name not in _own():
        return plugins.load(plugins.METHODS, name, kind)
    method: Method = import_module(f"{__name__}.{name}").METHOD
    return method


def runnable(recipe: "Recipe") -> list[str]:
    """Returns the methods that a recipe has what it takes for, the controls first."""
    able = [name for name in names() if not find(name).lacking(recipe)]
    return sorted(able, key=lambda name: (name not in CONTROLS, name))


def deployable(recipe: "Recipe", *, elsewhere: bool) -> "Method":
    """Returns a recipe's method, if it can run on it and ends in bundles.

    Args:
        recipe: names the method.
        elsewhere: whether the devices are in other processes.

    Raises:
        RecipeError: it cannot; the sentence says why and what to do.
    """
    method = find(recipe.method)
    why = method.lacking(recipe) or method.no_bundle or (method.in_process if elsewhere else "")
    if why:
        raise RecipeError(why)
    return method


def _own() -> frozenset[str]:
    return frozenset(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
